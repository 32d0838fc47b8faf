"""Registered predictors: the ONNX form (ONNX Runtime and numpy) against the network in torch, in latency and rounding.

python -m benchmarks.onnx_predictors, after `make run`: one thread; every predictor, its first seed, on all test samples
that LWM-Temporal reads: the second half of the slots from the first, and of the subcarriers. "rounding" is the relative
norm of the difference of one answer: of ONNX from torch, and of torch from itself for the same channel in another unit
(three times as large), which rounds differently too. Where LWM-Temporal's routing decides between two keys of nearly
equal score, either can be large.
"""

import json
import os
import tempfile
from pathlib import Path

import torch
import wavefoundry.models  # noqa: F401  (registers the architectures)
from stages.model_folders import model_folder
from wavefoundry.deployment.export import export
from wavefoundry.deployment.onnx_predictor import OnnxPredictor

from benchmarks.timing import medians
from stages import params
from stages.evaluate_prediction import load_split
from stages.stage import clear_errors
from storage.models.model_folder import load_model
from wavefoundry.evaluation.metrics import nmse

BATCH = 32
ROUNDS = 30
WITHIN = 1e-4
UNIT = 3.0


def summary(power_ratios: list[torch.Tensor]) -> dict:
    differences = torch.cat(power_ratios).sqrt()
    return {
        "inputs": len(differences),
        "median": differences.median().item(),
        "largest": differences.max().item(),
        "above_1e-4": int((differences > WITHIN).sum()),
    }


def questions(data: dict[str, torch.Tensor]):
    """Batches of all data: (what is known, axis, horizon), half of the slots and half of the subcarriers."""
    for csi in data.values():
        for part in csi.split(BATCH):
            slots, subcarriers = part.shape[1] // 2, part.shape[3] // 2
            yield part[:, :slots], "time", slots
            yield part[..., :subcarriers], "frequency", subcarriers


def one_question(data: dict[str, torch.Tensor]):
    known, axis, horizon = next(questions(data))
    return known[:1], axis, horizon


def measure(name: str, parameters: params.Params, data: dict[str, torch.Tensor]) -> dict:
    model = load_model(model_folder(name, parameters.predictors[name][0]))
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder))
        served = OnnxPredictor(Path(folder))
    onnx, other_unit = [], []
    for known, *asked in questions(data):
        expected = model.predict(known, *asked)
        onnx.append(nmse(torch.from_numpy(served.predict(known.numpy(), *asked)), expected))
        other_unit.append(nmse(model.predict(UNIT * known, *asked) / UNIT, expected))
    known, *asked = one_question(data)
    seconds = medians(
        {"torch": lambda: model.predict(known, *asked), "onnx": lambda: served.predict(known.numpy(), *asked)}, ROUNDS
    )
    return {
        "latency_ms": {form: 1e3 * value for form, value in seconds.items()},
        "ratio": seconds["torch"] / seconds["onnx"],
        "rounding": {"onnx": summary(onnx), "torch_in_another_unit": summary(other_unit)},
    }


@clear_errors()
def main():
    # A predictor that is served chooses its threads by itself: one core makes them one.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    parameters = params.read()
    data = load_split(parameters.learnt_by("lwm_temporal"), "test")
    with torch.inference_mode():
        results = {name: measure(name, parameters, data) for name in parameters.predictors}
    print(json.dumps({"threads": 1, "batch": 1, "known": list(one_question(data)[0].shape), **results}))


if __name__ == "__main__":
    main()
