"""Teacher and student at the edge: one prediction in single precision (fp32) and in INT8, on one thread.

python -m benchmarks.edge [--models models]: WiFo and Tiny-WiFo in the sizes of params.yaml, as they are served; with
the trained weights of their first seeds in a folder of models, such as that of a study that has run, and otherwise with
fresh weights, which cost the same. A batch of 1 and of 8 channels of noise, with the sizes of the first data set that
both read and every question about it; INT8 calibrated on other channels of noise. All in turn, warm-up first, medians
of 30. "vnni": whether the processor has instructions for sums of products of eight bits.
"""

import argparse
import json
import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import medians
from stages import params
from stages.loading import load_network
from stages.stage import clear_errors
from wavefoundry.deployment.quantisation import quantise
from wavefoundry.deployment.served_folder import mebibytes
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.networks.family import model_module, serving_module
from wavefoundry.report.tables import markdown_table

TEACHER, STUDENT = "wifo", "tiny_wifo"
BATCHES = (1, 8)
ROUNDS = 30
CALIBRATION_SAMPLES = 8
VNNI = {"avx512_vnni", "avx_vnni"}


def has_vnni() -> bool:
    """Whether the processor says so of itself (Linux)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return bool(VNNI & set(flags))


def noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Complex Gaussian channels (batch, time, antenna, subcarrier) of unit power."""
    real, imaginary = generator.normal(scale=0.5**0.5, size=(2, *shape)).astype(np.float32)
    return real + 1j * imaginary


def sizes(parameters: params.Params) -> tuple[str, dict[str, tuple[tuple[int, ...], tuple[int, int]]]]:
    """A data set that both networks read, and by question (time, antenna, subcarrier) of what is known of it, with the
    slots and subcarriers that are asked for."""
    both = [pair for pair in parameters.answered(TEACHER) if pair in parameters.answered(STUDENT)]
    dataset = both[0][1]
    facts, found = parameters.facts(dataset), {}
    for question in (asked for asked, about in both if about == dataset):
        blocks = parameters.evaluate.prediction.questions[question].about(dataset)
        assert blocks is not None
        known, wanted = blocks.sizes(facts.slots, facts.subcarriers)
        found[question] = ((known[0], facts.antennas, known[1]), wanted)
    return dataset, found


def network(parameters: params.Params, name: str, models: Path | None):
    """The trained network of the first seed of an entry, or a fresh one."""
    model = parameters.models[name]
    if models is not None:
        return load_network(parameters, name, models / name / f"seed_{model.seeds[0]}")
    return model_module(model.family).build(model.options, parameters.angle_delay.delay_fraction).eval()


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["network", "question", "batch", "fp32 [ms]", "INT8 [ms]", "times as fast", "of the teacher's fp32"]
    rows = [
        [
            name,
            question,
            batch,
            *(f"{form[precision]:.2f}" for precision in ("fp32", "int8")),
            f"{form['times_as_fast']:.2f}",
            f"{form['fp32'] / result[TEACHER]['latency_ms'][question][batch]['fp32']:.2f}",
        ]
        for name in (TEACHER, STUDENT)
        for question, batches in result[name]["latency_ms"].items()
        for batch, form in batches.items()
    ]
    return markdown_table(header, rows)


@clear_errors()
def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="trained networks, as ENTRY/seed_N in it")
    models = parser.parse_args().models
    # ONNX Runtime chooses its threads by itself: one core makes them one.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parameters, generator = params.read(), np.random.default_rng(0)
    dataset, asked = sizes(parameters)
    calibration = [(noise(generator, (CALIBRATION_SAMPLES, *known)), wanted) for known, wanted in asked.values()]
    result: dict = {}
    calls = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (TEACHER, STUDENT):
            forms = {precision: Path(folder, name, precision) for precision in ("fp32", "int8")}
            serving_module(parameters.models[name].family).export(network(parameters, name, models), forms["fp32"])
            quantise(forms["fp32"], calibration, forms["int8"])
            size = {precision: mebibytes(path) for precision, path in forms.items()}
            result[name] = {"mebibytes": size, "latency_ms": {question: {} for question in asked}}
            served = {precision: ServedPredictor(path) for precision, path in forms.items()}
            for question, (known, wanted) in asked.items():
                for batch in BATCHES:
                    csi = noise(generator, (batch, *known))
                    for precision, predictor in served.items():
                        calls[name, question, batch, precision] = partial(predictor.predict, csi, *wanted)
        found = medians(calls, ROUNDS)
    for (name, question, batch, precision), seconds in found.items():
        result[name]["latency_ms"][question].setdefault(str(batch), {})[precision] = 1e3 * seconds
    for name in (TEACHER, STUDENT):
        for batches in result[name]["latency_ms"].values():
            for form in batches.values():
                form["times_as_fast"] = form["fp32"] / form["int8"]
    weights = "fresh" if models is None else "trained"
    print(json.dumps({"threads": 1, "vnni": has_vnni(), "weights": weights, "dataset": dataset, **result}))


if __name__ == "__main__":
    main()
