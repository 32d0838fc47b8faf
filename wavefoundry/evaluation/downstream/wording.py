"""Metrics and scores of downstream tasks as text."""

from wavefoundry.evaluation.downstream.task import DownstreamTask

UNITS = {"_db": "dB", "_m": "m"}  # by the end of a metric's name; metrics without one are shares
ABBREVIATIONS = {"nmse": "NMSE", "f1": "F1"}


def in_words(metric: str) -> str:
    """The name of a metric with its unit: "nmse_db" -> "NMSE [dB]"."""
    ending = _ending(metric)
    words = [ABBREVIATIONS.get(word, word) for word in metric.removesuffix(ending).split("_")]
    return " ".join(words) + (f" [{UNITS[ending]}]" if ending else "")


def digits(metric: str) -> int:
    """Digits after the point that tell scores of a metric apart."""
    return 1 if _ending(metric) else 3


def show(task: DownstreamTask, value: float) -> str:
    """A value of the metric of a task, with its unit."""
    return f"{value:.{digits(task.metric)}f}" + (f" {task.unit}" if task.unit else "")


def heading(task: DownstreamTask) -> str:
    """The title of a task with a capital letter."""
    return task.title[:1].upper() + task.title[1:]


def _ending(metric: str) -> str:
    return next((ending for ending in UNITS if metric.endswith(ending)), "")
