"""Looking up scores in the joined table of results."""

from typing import Any

import pandas

from wavefoundry.evaluation.downstream.options import RAW

KEYS = ["model", "question", "part", "representation", "patch_size", "label_fraction", "split", "metric"]
SAME_FRACTION = 1e-6  # fractions went through text


class ScoreTable:
    """The downstream scores of a table of results (wavefoundry.evaluation.results), the seeds side by side.

    frame: columns KEYS, and `values`, a list with a score for each seed.
    """

    def __init__(self, table: pandas.DataFrame):
        own = table[(table["evaluation"] == "downstream").fillna(False).astype(bool)]
        groups = own.groupby(KEYS, dropna=False, sort=False)["value"]
        self.frame = groups.agg(list).rename("values").reset_index()

    @property
    def models(self) -> list[str]:
        """The raw channel first, and then every other input in the order of the table."""
        found = self.frame["model"].drop_duplicates().tolist()
        return sorted(found, key=lambda name: name != RAW)

    def pick(self, **where: Any) -> pandas.DataFrame:
        """The rows of `frame` with these values in columns of KEYS, in their order."""
        frame = self.frame
        for column, value in where.items():
            same = at_fraction(frame[column], value) if column == "label_fraction" else frame[column] == value
            frame = frame[same.fillna(False).astype(bool)]
        return frame

    def values(self, **where: Any) -> list[float] | None:
        """The scores, one for each seed, of the first row of `pick`; None if there is none."""
        found = self.pick(**where)
        return None if found.empty else found["values"].iloc[0]


def at_fraction(fractions: pandas.Series, fraction: float) -> pandas.Series:
    """Which of a column of fractions are this one."""
    return (fractions - fraction).abs() < SAME_FRACTION
