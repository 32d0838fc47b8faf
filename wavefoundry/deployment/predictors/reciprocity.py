"""Reciprocity as one plain ONNX file."""

from pathlib import Path

from wavefoundry.deployment.graph_writer import Term, Writer
from wavefoundry.deployment.plain_predictor import write_plain
from wavefoundry.predictors.reciprocity import Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(prediction, [], folder)


def prediction(writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `reciprocity.Predictor.predict` does; see `write_plain`."""
    seen, band = known.size(1), known.size(3)
    slot = writer.range(writer.where(slots > 0, slots, seen))
    held = known.take(writer.where(slots > 0, seen - 1, slot), axis=1)
    subcarrier = writer.range(writer.where(subcarriers > 0, subcarriers, band))
    return held.take(subcarrier % band, axis=3)
