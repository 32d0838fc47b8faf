"""All tasks on one input: every representation and patch size at one fraction of the labels, the best at all fractions.

What is best is chosen on the validation split; the test split only scores.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from wavefoundry.config import EvaluateDownstream
from wavefoundry.evaluation.downstream.heads import project
from wavefoundry.evaluation.downstream.inputs import Input, embed_all
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.tasks import (
    CHANNEL_TASKS,
    FEATURE_TASKS,
    TASKS,
    ChannelExamples,
    Examples,
    Scores,
    Snapshots,
    degraded,
    examples,
    score_channel_head,
    score_head,
)
from wavefoundry.models.representations import Representations

PER_PATCH = "per_patch"  # what channel tasks read: one linear head for all patches
Choice = tuple[str, str]  # representation, patch size
BySeed = dict[str, dict[str, list[float]]]  # {"validation" or "test": {metric: one value per seed}}


@dataclass(frozen=True)
class Result:
    """What heads reach on one input.

    table: {task: {representation: {patch size: BySeed}}}, at the fraction of the choice, of the first seed.
    chosen: {task: (representation, patch size)}, the best of the table on the validation split.
    curves: {task: {fraction: BySeed}} of what was chosen.
    last_window: BySeed of beam tracking that sees the last window only, at the fraction of the choice.
    round_trip: {patch size: test NMSE [dB]} of a linear head that shall give back, patch by patch, the clean channel
        that was read: what a representation has lost of it.
    """

    table: dict[str, dict[str, dict[str, BySeed]]]
    chosen: dict[str, Choice]
    curves: dict[str, dict[str, BySeed]]
    last_window: BySeed
    round_trip: dict[str, float]


class InputEvaluation:
    """Heads of all tasks on one input.

    Args:
        by_patch: the input at each of its patch sizes.
        snapshots: channels and labels.
        section: parameters.
        choices: of another input: these alone are tried instead of all representations and patch sizes, with all seeds,
            and at the fraction of the choice alone.
    """

    def __init__(
        self,
        by_patch: dict[str, Input],
        snapshots: Snapshots,
        section: EvaluateDownstream,
        choices: dict[str, Choice] | None = None,
    ):
        self._by_patch = by_patch
        self._snapshots = snapshots
        self._section = section
        self._choices = choices
        self._search_seeds = section.seeds[:1] if choices is None else section.seeds
        self._round_trip: dict[str, float] = {}

    def run(self) -> Result:
        table: dict = {task: {} for task in TASKS}
        best: dict[str, tuple[float, Choice, Examples | None]] = {}
        for patch_size in self._by_patch:
            for task, kind, data, scores in self._tried(patch_size):
                table[task].setdefault(kind, {})[patch_size] = scores
                reached = float(np.mean(scores["validation"][TASKS[task].metric]))
                if task not in best or TASKS[task].better(reached, best[task][0]):
                    best[task] = reached, (kind, patch_size), data
        curves = {
            task: self._curve(task, patch_size, data)
            if self._choices is None
            else {f"{self._section.choice_fraction:g}": table[task][kind][patch_size]}
            for task, (_, (kind, patch_size), data) in best.items()
        }
        tracking = best["beam_tracking"][2]
        width = tracking.features.shape[1] // self._section.tracking.past
        last_window = replace(tracking, features=tracking.features[:, -width:])
        return Result(
            table,
            {task: choice for task, (_, choice, _) in best.items()},
            curves,
            self._score_features("beam_tracking", last_window, self._section.choice_fraction, self._section.seeds),
            self._round_trip,
        )

    def _is_wanted(self, task: str, kind: str, patch_size: str) -> bool:
        return self._choices is None or self._choices[task] == (kind, patch_size)

    def _tried(self, patch_size: str) -> Iterator[tuple[str, str, Examples | None, BySeed]]:
        """Task, representation, examples to go on with, and scores at the fraction of the choice."""
        source, fraction = self._by_patch[patch_size], self._section.choice_fraction
        seen = None
        for kind in source.representations:
            tasks = [task for task in FEATURE_TASKS if self._is_wanted(task, kind, patch_size)]
            if not tasks:
                continue
            if seen is None:
                seen = embed_all(source, self._snapshots.csi)
            values = seen.patches.flatten(1) if kind == "flattened" else getattr(seen, kind)
            features = project(values.numpy(), self._snapshots.rows["train"], self._section.max_features)
            for task in tasks:
                past = self._section.tracking.past
                data = examples(task, self._snapshots, features, seen.scale.numpy(), past)
                yield task, kind, data, self._score_features(task, data, fraction, self._search_seeds)
        for task in CHANNEL_TASKS:
            if self._is_wanted(task, PER_PATCH, patch_size):
                data = self._read_degraded(task, source, fraction, self._search_seeds)
                yield task, PER_PATCH, None, self._score_channels(data, fraction, self._search_seeds)
        if self._choices is None:
            everyone = np.arange(len(self._snapshots.csi))
            data = self._channel_examples(source, seen or embed_all(source, self._snapshots.csi), everyone)
            score = score_channel_head(data, self._snapshots.rows, fraction, self._section.seeds[0], self._section)
            self._round_trip[patch_size] = round(score["test"]["nmse_db"], 6)

    def _curve(self, task: str, patch_size: str, data: Examples | None) -> dict[str, BySeed]:
        """Scores at every fraction."""
        seeds, fractions = self._section.seeds, self._section.label_fractions
        if task in FEATURE_TASKS:
            return {f"{fraction:g}": self._score_features(task, data, fraction, seeds) for fraction in fractions}
        known = self._read_degraded(task, self._by_patch[patch_size], max(fractions), seeds)
        return {f"{fraction:g}": self._score_channels(known, fraction, seeds) for fraction in fractions}

    def _read_degraded(self, task: str, source: Input, fraction: float, seeds: list[int]) -> ChannelExamples:
        """Of the snapshots that heads need at a fraction of the labels: reading them all takes its time."""
        rows = self._snapshots.rows
        labelled = [labelled_subset(rows["train"], fraction, seed) for seed in seeds]
        members = np.unique(np.concatenate([*labelled, rows["validation"], rows["test"]]))
        known = degraded(task, self._snapshots.csi, self._section)[members]
        return self._channel_examples(source, embed_all(source, known), members)

    def _channel_examples(self, source: Input, seen: Representations, members: np.ndarray) -> ChannelExamples:
        clean = self._snapshots.csi[members] / seen.scale[:, None, None]
        shape = (clean.shape[1], clean.shape[2])
        return ChannelExamples(
            members, seen.patches, source.cut(clean), lambda tokens: source.join(tokens, shape), clean
        )

    def _score_features(self, task: str, data: Examples, fraction: float, seeds: list[int]) -> BySeed:
        return collect([score_head(task, data, fraction, seed, self._section) for seed in seeds])

    def _score_channels(self, data: ChannelExamples, fraction: float, seeds: list[int]) -> BySeed:
        # All labels are the same labels for every seed, and a linear head is found exactly.
        drawn = seeds[:1] if fraction == 1 else seeds
        by_seed = [score_channel_head(data, self._snapshots.rows, fraction, seed, self._section) for seed in drawn]
        return collect(by_seed * (len(seeds) // len(drawn)))


def collect(by_seed: list[dict[str, Scores]]) -> BySeed:
    """Scores of several seeds side by side."""
    return {
        split: {metric: [round(one[split][metric], 6) for one in by_seed] for metric in scores}
        for split, scores in by_seed[0].items()
    }
