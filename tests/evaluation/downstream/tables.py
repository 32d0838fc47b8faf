"""Tables of downstream results with given scores."""

from typing import Any

import pandas

from tests.evaluation.downstream.example import OPTIONS
from wavefoundry.evaluation.downstream.options import Downstream
from wavefoundry.evaluation.downstream.parts import CURVE, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH
from wavefoundry.evaluation.downstream.task import PER_PATCH, DownstreamTask, tasks_of
from wavefoundry.evaluation.results import as_table

Row = dict[str, Any]
SPLITS = {"validation": 10, "test": 20}


def score_rows(model: str, question: str, part: str, choice: tuple[str, str], fraction: float, metric: str,
               values: dict[str, list[float]]) -> list[Row]:  # fmt: skip
    """Rows of one metric, `values` by split and seed."""
    return [
        {
            "evaluation": "downstream",
            "model": model,
            "dataset": "snapshots",
            "question": question,
            "part": part,
            "representation": choice[0],
            "patch_size": choice[1],
            "label_fraction": fraction,
            "seed": seed,
            "split": split,
            "metric": metric,
            "value": value,
            "samples": SPLITS[split],
        }
        for split, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]


def as_score(task: DownstreamTask, error: float) -> float:
    """An error as a value of the task's metric, so that less is better in every task."""
    return -error if task.higher_is_better else error


def errors_of(section: Downstream, model: str, validation: float, test: list[float], patch_size: str = "4",
              fractions: tuple[float, ...] = (0.1,)) -> list[Row]:  # fmt: skip
    """A model with the given errors at some fractions of the labels, in every task; its patches have lost -15 dB."""
    rows = []
    for name, task in tasks_of(section).items():
        values = {
            "validation": [as_score(task, validation)] * len(test),
            "test": [as_score(task, value) for value in test],
        }
        for fraction in fractions:
            choice = (PER_PATCH, patch_size)
            rows += score_rows(model, name, CURVE, choice, fraction, task.metric, values)
        rows += score_rows(model, name, SEARCH, (PER_PATCH, "4"), fractions[0], task.metric, values)
    rows += score_rows(
        model, ROUND_TRIP, ROUND_TRIP, (PER_PATCH, patch_size), fractions[0], "nmse_db", {"test": [-15.0]}
    )
    return rows


def reference_rows(section: Downstream) -> list[Row]:
    """What is reached without learning: 0 in every task."""
    rows = []
    for name, task in tasks_of(section).items():
        common = {
            "evaluation": "downstream", "model": "raw", "question": name, "part": REFERENCE,
            "representation": "a guess",
        }  # fmt: skip
        rows.append(common | {"split": "test", "metric": task.metric, "value": 0.0})
        rows.append(common | {"split": "train", "metric": SAMPLES, "value": 70.0})
    return rows


def table(*groups: list[Row]) -> pandas.DataFrame:
    """Rows as the joined table of results."""
    return as_table(row for group in groups for row in group)


ALL_TASKS = tuple(OPTIONS)
