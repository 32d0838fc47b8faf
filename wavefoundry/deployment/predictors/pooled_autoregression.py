"""Autoregression pooled over bins as one plain ONNX file, in double precision."""

from functools import partial
from pathlib import Path

from wavefoundry.deployment.graph_writer import FLOAT, Term, Writer
from wavefoundry.deployment.plain_predictor import asked, write_plain
from wavefoundry.deployment.pooled_prediction import with_what_follows
from wavefoundry.predictors.pooled_autoregression import Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(partial(prediction, options), [], folder)


def prediction(options: Options, writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `pooled_autoregression.Predictor.predict` does; see `write_plain`."""
    orders = {"time": options.time_order, "frequency": options.frequency_order}
    box = with_what_follows(known, slots, subcarriers, orders)
    return asked(writer, box, known, slots, subcarriers).cast(FLOAT)
