"""What versions of a predictor are judged by: questions about the validation split, and the time of one prediction."""

import hashlib
import json
from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from stages import params
from stages.dependencies import closure
from stages.loading import load_split
from stages.paths import csi_store
from stages.questions import question_about
from storage.digests import digest

if TYPE_CHECKING:
    import numpy as np
    import torch

    from storage.tracking.registry import Version
    from wavefoundry.deployment.served_predictor import ServedPredictor

    # Known blocks, each with the parameters of its prediction.
    Inputs = Sequence[tuple[np.ndarray, dict[str, int]]]


class HeldOut:
    """The validation data and questions that versions of one predictor are judged by."""

    def __init__(self, parameters: params.Params, name: str):
        self._section = parameters.evaluate.prediction
        self._repetitions = parameters.evaluate.efficiency.prediction_repetitions
        answered = parameters.first_answered(name)
        # By the name of the question and the data set that it is about.
        self._questions = {
            (asked, dataset): question_about(parameters, asked, dataset)
            for asked in self._section.questions
            if asked in answered
            for dataset in parameters.compared[asked]
        }
        datasets = dict.fromkeys(dataset for _, dataset in self._questions)
        self.stores = {dataset: digest(csi_store(dataset)) for dataset in datasets}

    @property
    def asked_md5(self) -> str:
        """Equal for two comparisons with the same questions at the same SNR, whatever the data."""
        asked = self._section.model_dump(include={"snr_db", "noise_seed"})
        for name, dataset in self._questions:
            options = self._section.questions[name]
            told = asked.setdefault(name, options.model_dump(include={"known", "wanted"}))
            if blocks := options.exceptions.get(dataset):
                told[dataset] = blocks.model_dump()
        return _md5(asked)

    @property
    def md5(self) -> str:
        """Equal for two comparisons that give the same model the same score."""
        # This module and all that it imports decide about a score, besides the predictor itself.
        code = {str(file): digest(file) for file in closure([__name__])}
        return _md5([self.asked_md5, self.stores, code])

    def example(self) -> tuple["np.ndarray", dict[str, int]]:
        """Input of one prediction and its parameters, as a registered model takes them."""
        (_, dataset), question = next(iter(self._questions.items()))
        known, _, wanted = question.split(load_split(dataset, "validation")[:1])
        return _two_channels(known), _wanted(wanted)

    def latency_ms(self, version: "Version") -> float:
        """Wall time of one prediction by a registered version, of one sample."""
        from storage.tracking.registry import load
        from wavefoundry.evaluation.efficiency import median_ms

        model, (known, wanted) = load(version), self.example()
        return median_ms(lambda: model.predict(known, params=wanted), self._repetitions)

    def score_db(self, version: "Version") -> float:
        """NMSE of a registered version on the validation split [dB], averaged over the questions, as the evaluation
        finds it."""
        from storage.tracking.registry import predict_isolated

        by_question = self._nmse_db(lambda inputs: predict_isolated(version, inputs, self._section.batch_size))
        return mean(by_question.values())

    def served_nmse_db(self, predictor: "ServedPredictor") -> dict[str, float]:
        """NMSE of a served form on the validation split [dB], by question."""
        import numpy as np

        def predict(inputs: "Inputs") -> "list[np.ndarray]":
            size = self._section.batch_size
            return [
                np.concatenate(
                    [predictor.predict(known[first : first + size], **wanted) for first in range(0, len(known), size)]
                )
                for known, wanted in inputs
            ]

        return self._nmse_db(predict)

    def served_latency_ms(self, predictor: "ServedPredictor") -> float:
        """Wall time of one prediction by a served form, of one sample."""
        from wavefoundry.evaluation.efficiency import median_ms

        known, wanted = self.example()
        return median_ms(lambda: predictor.predict(known, **wanted), self._repetitions)

    def _nmse_db(self, predict: "Callable[[Inputs], list[np.ndarray]]") -> dict[str, float]:
        from wavefoundry.evaluation.metrics import nmse, to_db

        work = []
        for (name, dataset), question in self._questions.items():
            csi = load_split(dataset, "validation")
            # As in the evaluation, which says how many they are.
            work.append((name, *question.split(csi[~question.silent(csi)])))
        outputs = predict([(_two_channels(known), _wanted(wanted)) for _, known, _, wanted in work])
        errors: dict[str, list[float]] = {}
        for (name, _, target, _), output in zip(work, outputs, strict=True):
            errors.setdefault(name, []).append(nmse(_complex(output), target).mean().item())
        return {name: to_db(mean(datasets)) for name, datasets in errors.items()}


def _md5(content: Any) -> str:
    return hashlib.md5(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _wanted(wanted: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("slots", "subcarriers"), wanted, strict=True))


def _two_channels(csi: "torch.Tensor") -> "np.ndarray":
    """complex (batch, ...) -> float32 numpy (batch, 2, ...)."""
    import numpy as np

    return np.stack([csi.real.numpy(), csi.imag.numpy()], axis=1)


def _complex(channels: "np.ndarray") -> "torch.Tensor":
    import torch

    real, imaginary = torch.from_numpy(channels).unbind(dim=1)
    return torch.complex(real, imaginary)
