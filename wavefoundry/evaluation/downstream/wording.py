"""Metrics and scores of downstream tasks as text."""

from wavefoundry.evaluation.downstream.task import DownstreamTask

UNITS = {"_db": "dB", "_m": "m"}  # by the end of a metric's name; metrics without one are shares
ABBREVIATIONS = {"nmse": "NMSE", "f1": "F1"}


def in_words(metric: str) -> str:
    """The name of a metric with its unit: "nmse_db" -> "NMSE [dB]"."""
    ending = _ending(metric)
    words = [ABBREVIATIONS.get(word, word) for word in metric.removesuffix(ending).split("_")]
    return " ".join(words) + (f" [{UNITS[ending]}]" if ending else "")


def unit_of(metric: str) -> str:
    """The unit of a metric, "" of a share."""
    return UNITS.get(_ending(metric), "")


def digits(metric: str) -> int:
    """Digits after the point that tell scores of a metric apart."""
    return 1 if _ending(metric) else 3


def heading(task: DownstreamTask) -> str:
    """The title of a task with a capital letter."""
    return task.title[:1].upper() + task.title[1:]


def _ending(metric: str) -> str:
    return next((ending for ending in UNITS if metric.endswith(ending)), "")
