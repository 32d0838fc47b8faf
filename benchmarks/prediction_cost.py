"""What one prediction costs, of every predictor of the study: in torch (methods: in numpy), and as it is served (ONNX
Runtime and numpy); and how far the two answers differ.

python -m benchmarks.prediction_cost, after `make run`: one core, one sample, every question that a predictor answers,
on its first data set; the forms in turn, warm-up first, medians of 30. Memory is the rise of the peak resident size of
a process of its own, in a second call; "file" is the served form on disk. "rounding" is the relative norm of the
difference of one answer, over all test samples that predictors are compared on, without noise: of what is served from
torch, and of torch from itself for the same channel in another unit (three times as large), which rounds differently
too. Where LWM-Temporal's routing decides between two keys of nearly equal score, either can be large.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.timing import medians
from stages import params
from stages.loading import load_predictors, load_split
from stages.stage import clear_errors
from wavefoundry.deployment import method_export
from wavefoundry.deployment.served_folder import mebibytes
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.evaluation.efficiency import peak_memory
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.networks.family import serving_module
from wavefoundry.report.tables import markdown_table

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


def batches(parameters: params.Params, name: str) -> Iterator[tuple[torch.Tensor, int, int]]:
    """All that a predictor is compared on: what is known, and how many slots and subcarriers are asked for."""
    for question, dataset in parameters.answered(name):
        if dataset in parameters.compared[question]:
            for part in load_split(dataset, "test").split(BATCH):
                yield cut(parameters, question, dataset, part)


def cut(parameters: params.Params, question: str, dataset: str, csi: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    blocks = parameters.evaluate.prediction.questions[question].about(dataset)
    assert blocks is not None
    known, wanted = blocks.sizes(csi.shape[1], csi.shape[3])
    return csi[:, : known[0], :, : known[1]], *wanted


def export(parameters: params.Params, name: str, predictor, folder: Path) -> bool:
    """Write the served form of a predictor; False: it has none."""
    if name in parameters.predictors:
        method_export.export(*parameters.method_options(name), folder)
        return True
    serving = serving_module(parameters.models[name].family)
    if serving is None:
        return False
    serving.export(predictor, folder)
    return True


def measure(name: str, parameters: params.Params) -> dict:
    group = "predictors" if name in parameters.predictors else parameters.models[name].group
    model = next(iter(load_predictors(parameters, group, name).values()))
    forms, file = {"torch": lambda known, *wanted: model.predict(known, *wanted)}, {}
    with tempfile.TemporaryDirectory() as folder:
        if export(parameters, name, model, Path(folder)):
            file = {"file_mebibytes": mebibytes(Path(folder))}
            served = ServedPredictor(folder)
            forms["served"] = lambda known, *wanted: torch.from_numpy(served.predict(known.numpy(), *wanted))
    cost = {}
    for question, dataset in parameters.first_answered(name).items():
        asked = cut(parameters, question, dataset, load_split(dataset, "test")[:1])
        calls = {form: partial(call, *asked) for form, call in forms.items()}
        memory = {form: peak_memory(call, call) / 2**20 for form, call in calls.items()}
        latency = {form: 1e3 * value for form, value in medians(calls, ROUNDS).items()}
        cost[question] = {"dataset": dataset, "latency_ms": latency, "peak_mebibytes": memory}
    if "served" not in forms:
        return {"cost": cost} | file
    rounding: dict[str, list[torch.Tensor]] = {"served": [], "torch_in_another_unit": []}
    for known, *wanted in batches(parameters, name):
        expected = model.predict(known, *wanted)
        rounding["served"].append(nmse(forms["served"](known, *wanted), expected))
        rounding["torch_in_another_unit"].append(nmse(model.predict(UNIT * known, *wanted) / UNIT, expected))
    return {"cost": cost, "rounding": {form: summary(values) for form, values in rounding.items()}} | file


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = [
        "predictor", "question", "data set", "torch [ms]", "served [ms]", "torch [MiB]", "served [MiB]",
        "file [MiB]", "largest difference when served", "of torch from itself",
    ]  # fmt: skip
    rows = []
    for name, found in result.items():
        if not isinstance(found, dict):
            continue
        rounding = found.get("rounding", {})
        largest = [
            f"{rounding[form]['largest']:.1e}" if form in rounding else "-"
            for form in ("served", "torch_in_another_unit")
        ]
        for question, cost in found["cost"].items():
            figures = [
                f"{cost[figure][form]:.1f}" if form in cost[figure] else "-"
                for figure in ("latency_ms", "peak_mebibytes")
                for form in ("torch", "served")
            ]
            size = f"{found['file_mebibytes']:.2f}" if "file_mebibytes" in found else "-"
            rows.append([name, question, cost["dataset"], *figures, size, *largest])
    return markdown_table(header, rows)


@clear_errors()
def main():
    # A predictor that is served chooses its threads by itself: one core makes them one. Those of numpy's products of
    # matrices have started by now, and two on one core wait for each other.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    parameters = params.read()
    # Not inference mode: parameters that are loaded in it do not tell when they have changed.
    with threadpool_limits(1), torch.no_grad():
        results = {name: measure(name, parameters) for name in parameters.answering}
    print(json.dumps({"threads": 1, "batch": 1, **results}))


if __name__ == "__main__":
    main()
