"""The one form of results: a tidy table with a row for each model, seed, data set, question, split and metric.

Columns that an evaluation has no use for are empty:

- evaluation: "prediction", "downstream", "feedback" or "efficiency".
- model: the entry of params.yaml, or a reference of the evaluation ("raw").
- seed: of the training, of downstream tasks of the head's; empty for what is not trained.
- dataset: the data set that was scored.
- question: a question of prediction, a downstream task, a rate of feedback ("5 bits" for every 16 channel entries), or
  what was costed.
- part: of predictions, the step, speed, sight, SNR or condition that a score is of; of downstream tasks, which of their
  experiments; of costs, where they were measured, or why a size is left out.
- representation, patch_size, label_fraction: of downstream tasks, what a head was given.
- split: "validation" or "test"; empty where no samples were scored.
- metric: what `value` is, with its unit at the end of the name where it has one.
- value: the mean over samples, or the figure itself.
- samples, deviation, median, quantile_90: number of samples, and their standard deviation, median and 90 % quantile.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas

COLUMNS = {
    "evaluation": "string",
    "model": "string",
    "seed": "Int64",
    "dataset": "string",
    "question": "string",
    "part": "string",
    "representation": "string",
    "patch_size": "string",
    "label_fraction": "Float64",
    "split": "string",
    "metric": "string",
    "value": "float64",
    "samples": "Int64",
    "deviation": "float64",
    "median": "float64",
    "quantile_90": "float64",
}


def as_table(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    """Rows with some of the columns as a table with all of them.

    Raises:
        KeyError: a row has a column that the table does not know.
    """
    rows = list(rows)
    unknown = {column for row in rows for column in row} - COLUMNS.keys()
    if unknown:
        raise KeyError(f"unknown columns: {', '.join(sorted(unknown))}")
    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def rows_about(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]]) -> pandas.DataFrame:
    """The rows about some pairs of question and data set.

    Args:
        table: with the columns question and dataset.
        datasets: by question.
    """
    pairs = {(question, dataset) for question, names in datasets.items() for dataset in names}
    found = [pair in pairs for pair in zip(table["question"], table["dataset"], strict=True)]
    return table[np.array(found, dtype=bool)]


# A metric: how many of `samples` a score leaves out, for the channel that was asked for is zero throughout. There is no
# such row where none is.
SILENT = "silent_left_out"


def sample_statistics(values: np.ndarray) -> dict[str, float | int]:
    """The columns value, samples, deviation, median and quantile_90 of one figure per sample (sample,)."""
    return {
        "value": float(np.mean(values)),
        "samples": len(values),
        "deviation": float(np.std(values)),
        "median": float(np.median(values)),
        "quantile_90": float(np.quantile(values, 0.9)),
    }


# Figures of single samples, for whoever wants to draw their own conclusions.
SAMPLE_COLUMNS = {
    "model": "string",
    "seed": "Int64",
    "question": "string",
    "dataset": "string",
    "split": "string",
    "sample": "int64",  # its number in the store
    "trajectory": "Int64",  # samples of one user's way have the same number; empty where it is not known
    "speed": "float64",  # [m/s]
    "line_of_sight": "boolean",
    "nmse": "float64",
    "expected_nmse": "float64",  # that the predictor says before the truth is known; empty where it says nothing
    "spectral_efficiency": "float64",  # [bit/s/Hz]
}


# Statistics of single samples of the test split, of which the deciding metric of a downstream task is made.
DOWNSTREAM_SAMPLE_COLUMNS = {
    "model": "string",
    "seed": "Int64",  # of the labels and the head
    "question": "string",  # the task
    "label_fraction": "float64",
    "sample": "int64",  # its number among the snapshots
    "trajectory": "int64",
    "statistic": "string",  # `DownstreamTask.deciding`
    "value": "float64",
}


def table_of_samples(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] = SAMPLE_COLUMNS
) -> pandas.DataFrame:
    """Columns of figures as one table of samples.

    Args:
        rows: one mapping for each model, seed and question, and what else tells samples apart; a name that it lacks is
            empty.
        columns: of the table.
    """
    parts = [pandas.DataFrame({name: row.get(name) for name in columns}) for row in rows]
    joined = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame(columns=list(columns))
    return joined.astype(dict(columns))
