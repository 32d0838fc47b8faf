"""Registered predictors: the ONNX form (ONNX Runtime and numpy) against the network in torch, in latency and rounding.

python -m benchmarks.onnx_predictors, after `make run`: one thread; every network that predicts, its first seed, on all
test samples that predictors are compared on, every question of the study, without noise. "rounding" is the relative
norm of the difference of one answer: of ONNX from torch, and of torch from itself for the same channel in another unit
(three times as large), which rounds differently too. Where LWM-Temporal's routing decides between two keys of nearly
equal score, either can be large.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.timing import medians
from stages import params
from stages.loading import load_network, load_split
from stages.paths import model_folder
from stages.stage import clear_errors
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.networks.family import serving_module

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


def questions(parameters: params.Params, data: dict[str, torch.Tensor]) -> Iterator[tuple[torch.Tensor, int, int]]:
    """Batches of all data: what is known, and how many slots and subcarriers are asked for."""
    for csi in data.values():
        for part in csi.split(BATCH):
            for question in parameters.evaluate.prediction.questions.values():
                known, wanted = question.sizes(part.shape[1], part.shape[3])
                yield part[:, : known[0], :, : known[1]], *wanted


def one_question(parameters: params.Params, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int, int]:
    known, *wanted = next(questions(parameters, data))
    return known[:1], *wanted


def measure(name: str, parameters: params.Params, data: dict[str, torch.Tensor]) -> dict:
    entry = parameters.models[name]
    model = load_network(parameters, name, model_folder(name, entry.seeds[0]))
    with tempfile.TemporaryDirectory() as folder:
        serving_module(entry.family).export(model, Path(folder))
        served = ServedPredictor(folder)
    onnx, other_unit = [], []
    for known, *wanted in questions(parameters, data):
        expected = model.predict(known, *wanted)
        onnx.append(nmse(torch.from_numpy(served.predict(known.numpy(), *wanted)), expected))
        other_unit.append(nmse(model.predict(UNIT * known, *wanted) / UNIT, expected))
    known, *wanted = one_question(parameters, data)
    seconds = medians(
        {"torch": lambda: model.predict(known, *wanted), "onnx": lambda: served.predict(known.numpy(), *wanted)}, ROUNDS
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
    data = {dataset: load_split(dataset, "test") for dataset in parameters.compared}
    networks = [name for name in parameters.answering if name in parameters.models]
    with torch.inference_mode():
        results = {name: measure(name, parameters, data) for name in networks}
    known = list(one_question(parameters, data)[0].shape)
    print(json.dumps({"threads": 1, "batch": 1, "known": known, **results}))


if __name__ == "__main__":
    main()
