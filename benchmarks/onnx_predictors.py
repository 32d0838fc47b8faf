"""Registered predictors: the ONNX form (ONNX Runtime and numpy) against the network in torch, in latency and rounding.

python -m benchmarks.onnx_predictors, after `make run`: one thread; every predictor, its first seed, on test inputs of
the default study, the second half of the slots from the first. "rounding" is the relative norm of the difference of one
sample: of ONNX from torch, and of torch from itself for the same channel in another unit (three times as large), which
rounds differently too. Where LWM-Temporal's routing decides between two keys of nearly equal score, either can be large.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

import wavefoundry.models  # noqa: F401  (registers the architectures)
from benchmarks.timing import medians
from stages import params
from stages.evaluate_prediction import load_split
from stages.model_folders import model_folder
from storage.checkpoints import load_model
from wavefoundry.deployment.export import export
from wavefoundry.deployment.onnx_predictor import OnnxPredictor

INPUTS = 800
BATCH = 32
ROUNDS = 30
WITHIN = 1e-4
UNIT = 3.0


def relative(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Norm of the difference of each sample over that of what was expected."""
    difference, size = (np.linalg.norm(csi.reshape(len(csi), -1), axis=1) for csi in (found - expected, expected))
    return difference / size


def summary(differences: list[np.ndarray]) -> dict:
    every = np.concatenate(differences)
    return {
        "inputs": len(every),
        "median": float(np.median(every)),
        "largest": float(every.max()),
        "above_1e-4": int((every > WITHIN).sum()),
    }


def measure(name: str, parameters: params.Params, data: dict[str, torch.Tensor]) -> dict:
    model = load_model(model_folder(name, parameters.predictors[name][0]))
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder))
        served = OnnxPredictor(Path(folder))
    onnx, other_unit = [], []
    left = INPUTS
    for csi in data.values():
        slots = csi.shape[1] // 2
        for part in csi[:left, :slots].split(BATCH):
            expected = model.predict(part, "time", slots).numpy()
            onnx.append(relative(served.predict(part.numpy(), "time", slots), expected))
            other_unit.append(relative(model.predict(UNIT * part, "time", slots).numpy() / UNIT, expected))
        left -= min(left, len(csi))
    one = next(iter(data.values()))[:1]
    slots = one.shape[1] // 2
    seconds = medians(
        {
            "torch": lambda: model.predict(one[:, :slots], "time", slots),
            "onnx": lambda: served.predict(one[:, :slots].numpy(), "time", slots),
        },
        ROUNDS,
    )
    return {
        "latency_ms": {form: 1e3 * value for form, value in seconds.items()},
        "ratio": seconds["torch"] / seconds["onnx"],
        "rounding": {"onnx": summary(onnx), "torch_in_another_unit": summary(other_unit)},
    }


def main():
    # A predictor that is served chooses its threads by itself: one core makes them one.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    parameters = params.read()
    data = load_split(parameters.learnt_by("lwm_temporal"), "test")
    one = next(iter(data.values()))
    with torch.inference_mode():
        results = {name: measure(name, parameters, data) for name in parameters.predictors}
    print(json.dumps({"threads": 1, "batch": 1, "known": list(one[:1, : one.shape[1] // 2].shape), **results}))


if __name__ == "__main__":
    main()
