"""Sample-and-hold as one plain ONNX file."""

from pathlib import Path

from wavefoundry.deployment.graph_writer import Term, Writer
from wavefoundry.deployment.plain_predictor import write_plain
from wavefoundry.predictors.sample_and_hold import Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(prediction, [], folder)


def prediction(writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `sample_and_hold.Predictor.predict` does; see `write_plain`."""
    for axis, beyond in ((1, slots), (3, subcarriers)):
        last, entries = known.size(axis) - 1, writer.where(beyond > 0, beyond, known.size(axis))
        index = writer.range(entries)
        known = known.take(writer.where(beyond > 0, last, index), axis=axis)
    return known
