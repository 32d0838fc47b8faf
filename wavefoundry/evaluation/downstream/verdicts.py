"""Whether pretrained representations beat the raw channel where labels are few, and what was measured about why not."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from wavefoundry.evaluation.downstream.options import RAW, UNTRAINED
from wavefoundry.evaluation.downstream.parts import CURVE, ROUND_TRIP, SEARCH
from wavefoundry.evaluation.downstream.scores import SAME_FRACTION, ScoreTable
from wavefoundry.evaluation.downstream.task import PER_PATCH, ChannelTask, DownstreamTask
from wavefoundry.evaluation.downstream.wording import show
from wavefoundry.evaluation.over_seeds import spread


@dataclass(frozen=True)
class Verdict:
    """Best pretrained input, chosen on the validation split, against the raw channel, both on the test split.

    task: name of its entry.
    best: name of the model.
    score, raw: mean over seeds of the task's metric on the test split, of the best one and of the raw channel.
    margin: by how much the pretrained one is better, in the unit of the task's metric; negative if it is worse.
    spread: the larger standard deviation over seeds of the two.
    reasons: what else was measured about it, one sentence each.
    gained: whether pretraining made the best one better, by more than the spread, than it was before any training, with
        the same features; None where that was not measured.
    """

    task: str
    best: str
    score: float
    raw: float
    margin: float
    spread: float
    reasons: tuple[str, ...]
    gained: bool | None

    @property
    def beats(self) -> bool:
        """By more than the spread."""
        return self.margin > self.spread


def judge(table: pandas.DataFrame, tasks: Mapping[str, DownstreamTask], fraction: float) -> list[Verdict]:
    """One verdict for each task at a fraction of the labels, where both the raw channel and a network were measured.

    Args:
        table: the results of all entries, joined.
        tasks: by the names of their entries.
        fraction: one of those of the curves.
    """
    scores = ScoreTable(table)
    verdicts = (_TaskJudge(name, task, scores, fraction).verdict() for name, task in tasks.items())
    return [verdict for verdict in verdicts if verdict is not None]


class _TaskJudge:
    """One task at one fraction of the labels."""

    def __init__(self, name: str, task: DownstreamTask, scores: ScoreTable, fraction: float):
        self._name = name
        self._task = task
        self._scores = scores
        self._fraction = fraction
        self._sign = 1 if task.higher_is_better else -1
        self._at = scores.pick(question=name, part=CURVE, metric=task.metric, label_fraction=fraction)

    def verdict(self) -> Verdict | None:
        models = self._at["model"].drop_duplicates().tolist()
        pretrained = [model for model in models if model != RAW and not model.endswith(UNTRAINED)]
        if RAW not in models or not pretrained:
            return None
        best = max(pretrained, key=lambda model: self._sign * statistics.mean(self._values(model, "validation")))
        tested = {model: self._values(model, "test") for model in (best, RAW)}
        score, raw = (statistics.mean(values) for values in tested.values())
        return Verdict(
            self._name,
            best,
            score,
            raw,
            self._sign * (score - raw),
            max(map(spread, tested.values())),
            tuple(self._reasons(best)),
            self._gained(best),
        )

    def _values(self, model: str, split: str) -> list[float]:
        rows = self._at[(self._at["model"] == model) & (self._at["split"] == split)]
        return rows["values"].iloc[0] if len(rows) else []

    def _patch_size(self, model: str) -> str:
        return self._at[self._at["model"] == model]["patch_size"].iloc[0]

    def _gained(self, best: str) -> bool | None:
        untrained = self._values(best + UNTRAINED, "test")
        if not untrained:
            return None
        trained = self._values(best, "test")
        gain = self._sign * (statistics.mean(trained) - statistics.mean(untrained))
        return gain > max(spread(trained), spread(untrained))

    def _reasons(self, best: str) -> list[str]:
        reasons = []
        control = self._values(best + UNTRAINED, "test")
        if control:
            reasons.append(f"{best} as it was before any training reaches {self._show(control)} with the same features")
        if isinstance(self._task, ChannelTask):
            reasons += self._reasons_of_patches(best)
        everything = {
            model: self._scores.values(
                model=model, question=self._name, part=CURVE, metric=self._task.metric, label_fraction=1.0, split="test"
            )
            for model in (best, RAW)
        }
        if self._fraction < 1 - SAME_FRACTION and all(everything.values()):
            with_all = {model: self._show(values or []) for model, values in everything.items()}
            reasons.append(f"with all labels {best} reaches {with_all[best]}, the raw channel {with_all[RAW]}")
        return reasons

    def _reasons_of_patches(self, best: str) -> list[str]:
        reasons, patch_size = [], self._patch_size(best)
        common = {"patch_size": patch_size, "metric": self._task.metric, "split": "test"}
        lost = self._scores.values(model=best, part=ROUND_TRIP, **common)
        if lost:
            reasons.append(
                f"what {best} makes of a patch gives a linear head back only so much of the clean channel itself: "
                f"{self._show(lost)}"
            )
        same_size = self._scores.values(model=RAW, question=self._name, part=SEARCH, representation=PER_PATCH, **common)
        if same_size and patch_size != self._patch_size(RAW):
            reasons.append(
                f"in patches of {patch_size} x {patch_size} too, the raw channel reaches {self._show(same_size)}"
            )
        return reasons

    def _show(self, values: Sequence[float]) -> str:
        return show(self._task, statistics.mean(values))
