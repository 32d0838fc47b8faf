"""The INT8 form of a network beside the one in single precision: calibrated, measured, and kept where little is lost.

It is calibrated on the training split and judged by the validation split, like all that is registered. What becomes of
it is told in one line, the tag `int8` of the version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.candidates import Candidate
from stages.held_out import HeldOut
from stages.loading import load_split
from stages.questions import question_about
from stages.samples import spread_out

if TYPE_CHECKING:
    import numpy as np

# What became of the INT8 form; its figures are in tags that begin alike.
INT8_TAG = "int8"


@dataclass(frozen=True)
class Int8Form:
    """What became of the INT8 form of a predictor.

    folder: what is served; None where there is none, or where it loses too much.
    tags: what became of it in one line, and what was measured.
    """

    folder: Path | None
    tags: dict[str, str]


def int8_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those tags of a version that tell of its INT8 form."""
    return {key: value for key, value in tags.items() if key.split(".")[0] == INT8_TAG}


def calibration_channels(parameters: params.Params, name: str) -> "Iterator[tuple[np.ndarray, tuple[int, int]]]":
    """Channels that the INT8 form of a network is calibrated on: of the training split of the data sets that it has
    learnt from, evenly spread, with the noise of the evaluation.

    Yields:
        for each data set and question the known blocks, complex64 (sample, time, antenna, subcarrier), and the slots
        and subcarriers that are asked for.
    """
    asked: dict[str, list[str]] = {}
    for question, dataset in parameters.answered(name):
        if dataset in parameters.learnt_by(name):
            asked.setdefault(dataset, []).append(question)
    gate = parameters.register_.int8
    assert gate is not None
    for dataset, names in asked.items():
        csi = load_split(dataset, "train")
        chosen = csi[spread_out(len(csi), gate.calibration_samples)]
        for question in names if len(chosen) else ():
            known, _, wanted = question_about(parameters, question, dataset).split(chosen)
            yield known.numpy(), wanted


def quantised_form(
    parameters: params.Params, candidate: Candidate, served: Path, held_out: HeldOut, folder: Path
) -> Int8Form:
    """Make the INT8 form of a candidate, and keep it where it passes the gate.

    Args:
        parameters: of the study.
        candidate: with its scores in single precision.
        served: the folder of its form in single precision.
        held_out: what it was scored on.
        folder: of the INT8 form.

    Raises:
        InputError: there is nothing to calibrate on.
    """
    from wavefoundry.deployment.quantisation import quantise, why_not
    from wavefoundry.deployment.served_folder import mebibytes
    from wavefoundry.deployment.served_predictor import ServedPredictor

    gate = parameters.register_.int8
    if gate is None:
        return Int8Form(None, {INT8_TAG: "none: register.int8 is null"})
    if reason := why_not(served):
        return Int8Form(None, {INT8_TAG: f"none: {reason}"})
    quantise(served, calibration_channels(parameters, candidate.name), folder)
    forms = {"fp32": served, "int8": folder}
    size = {form: mebibytes(path) for form, path in forms.items()}
    latency = {form: held_out.served_latency_ms(ServedPredictor(path)) for form, path in forms.items()}
    lost = {
        question: nmse_db - candidate.validation_nmse_db[question]
        for question, nmse_db in held_out.served_nmse_db(ServedPredictor(folder)).items()
    }
    figures = {f"nmse_lost_db.{question}": value for question, value in lost.items()}
    figures |= {f"mebibytes.{form}": value for form, value in size.items()}
    figures |= {f"latency_ms.{form}": value for form, value in latency.items()}
    tags = {f"{INT8_TAG}.{name}": f"{value:.4g}" for name, value in figures.items()}
    refused = refusal(lost, gate.loss_limit_db)
    kept = (
        f"{max(lost.values()):.2f} dB lost at most, {latency['fp32'] / latency['int8']:.2g} times as fast as single "
        f"precision, {size['int8'] / size['fp32']:.0%} of its size"
    )
    return Int8Form(None if refused else folder, {INT8_TAG: refused or kept} | tags)


def refusal(lost_db: Mapping[str, float], limit_db: float) -> str | None:
    """Why an INT8 form is kept out of the registry; None if it is not.

    Args:
        lost_db: NMSE lost to single precision by question [dB].
        limit_db: the most that may be lost with any question [dB].
    """
    # What is no number is refused, too.
    over = {question: lost for question, lost in lost_db.items() if not lost <= limit_db}
    if not over:
        return None
    question = max(over, key=lambda name: over[name])
    return (
        f"refused: {over[question]:.2f} dB lost with the question {question!r}, register.int8.loss_limit_db is "
        f"{limit_db:g}"
    )
