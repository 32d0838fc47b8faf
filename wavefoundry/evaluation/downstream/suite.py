"""All tasks on one input: every representation and patch size at one fraction of the labels, the best at all fractions.

What is best is chosen on the validation split; the test split only scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from wavefoundry.config import EvaluateDownstream
from wavefoundry.evaluation.downstream.heads import project
from wavefoundry.evaluation.downstream.inputs import Input, embed_all
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

PER_PATCH = "per_patch"  # one linear head for all patches; beside it "flattened", one for the whole channel
Choice = tuple[str, str]  # representation, patch size
BySeed = dict[str, dict[str, list[float]]]  # {"validation" or "test": {metric: one value per seed}}


@dataclass(frozen=True)
class Result:
    """What heads reach on one input.

    table: {task: {representation: {patch size: BySeed}}}, at the fraction of the choice.
    chosen: {task: (representation, patch size)}, the best of the table on the validation split.
    curves: {task: {fraction: BySeed}} of what was chosen.
    last_window: BySeed of beam tracking that sees the last window only, at the fraction of the choice.
    """

    table: dict[str, dict[str, dict[str, BySeed]]]
    chosen: dict[str, Choice]
    curves: dict[str, dict[str, BySeed]]
    last_window: BySeed


def evaluate_input(
    by_patch: dict[str, Input],
    snapshots: Snapshots,
    section: EvaluateDownstream,
    choices: dict[str, Choice] | None = None,
) -> Result:
    """Heads of all tasks on one input.

    Args:
        by_patch: the input at each of its patch sizes.
        snapshots: channels and labels.
        section: parameters.
        choices: tries these alone instead of all representations and patch sizes.
    """
    table: dict = {task: {} for task in TASKS}
    best: dict[str, tuple[float, Choice, Examples | ChannelExamples]] = {}
    for patch_size, source in by_patch.items():
        wanted = {
            task: None if choices is None else [kind for kind, patch in [choices[task]] if patch == patch_size]
            for task in TASKS
        }
        for task, kind, data in _candidates(source, snapshots, section, wanted):
            scores = _score(task, data, section.choice_fraction, section)
            table[task].setdefault(kind, {})[patch_size] = scores
            reached = float(np.mean(scores["validation"][TASKS[task].metric]))
            if task not in best or TASKS[task].better(reached, best[task][0]):
                best[task] = reached, (kind, patch_size), data
    curves = {}
    for task, (_, (kind, patch_size), data) in best.items():
        curves[task] = {
            f"{fraction:g}": table[task][kind][patch_size]
            if fraction == section.choice_fraction
            else _score(task, data, fraction, section)
            for fraction in section.label_fractions
        }
    return Result(
        table,
        {task: choice for task, (_, choice, _) in best.items()},
        curves,
        _score("beam_tracking", _last_window(best["beam_tracking"][2], section), section.choice_fraction, section),
    )


def _candidates(
    source: Input, snapshots: Snapshots, section: EvaluateDownstream, wanted: dict[str, Sequence[str] | None]
) -> Iterator[tuple[str, str, Examples | ChannelExamples]]:
    """(task, representation, examples) of one input; `wanted` has the representations of each task, None for all."""

    def is_wanted(task: str, kind: str) -> bool:
        return wanted[task] is None or kind in wanted[task]

    training, width = snapshots.rows["train"], section.max_features
    kinds = [kind for kind in source.representations if any(is_wanted(task, kind) for task in FEATURE_TASKS)]
    if kinds:
        seen = embed_all(source, snapshots.csi)
        for kind in kinds:
            values = seen.patches.flatten(1) if kind == "flattened" else getattr(seen, kind)
            features = project(values.numpy(), training, width)
            for task in FEATURE_TASKS:
                if is_wanted(task, kind):
                    yield task, kind, examples(task, snapshots, features, seen.scale.numpy(), section.tracking.past)
        del seen, values
    for task in CHANNEL_TASKS:
        kinds = [kind for kind in (PER_PATCH, "flattened") if kind == PER_PATCH or kind in source.representations]
        kinds = [kind for kind in kinds if is_wanted(task, kind)]
        if kinds:
            seen = embed_all(source, degraded(task, snapshots.csi, section))
            clean = snapshots.csi / seen.scale[:, None, None]
            data = _per_patch(source, seen.patches, clean, snapshots.rows)
            if PER_PATCH in kinds:
                yield task, PER_PATCH, data
            if "flattened" in kinds:
                yield task, "flattened", _flattened(data, project(seen.patches.flatten(1).numpy(), training, width))


def _per_patch(
    source: Input, tokens: torch.Tensor, clean: torch.Tensor, rows: dict[str, np.ndarray]
) -> ChannelExamples:
    shape = (clean.shape[1], clean.shape[2])
    return ChannelExamples(tokens, source.cut(clean), lambda found: source.join(found, shape), clean, rows)


def _flattened(data: ChannelExamples, features: np.ndarray) -> ChannelExamples:
    """The same with one token, which stands for the whole channel."""
    size = data.targets.shape[1:]
    return replace(
        data,
        tokens=torch.from_numpy(features)[:, None],
        targets=data.targets.flatten(1)[:, None],
        join=lambda found: data.join(found.unflatten(2, size)[:, 0]),
    )


def _score(task: str, data: Examples | ChannelExamples, fraction: float, section: EvaluateDownstream) -> BySeed:
    if task in CHANNEL_TASKS:
        # All labels are the same labels for every seed, and a linear head is found exactly.
        drawn = section.seeds[:1] if fraction == 1 else section.seeds
        by_seed = [score_channel_head(data, fraction, seed, section) for seed in drawn]
        by_seed *= len(section.seeds) // len(drawn)
    else:
        by_seed = [score_head(task, data, fraction, seed, section) for seed in section.seeds]
    return collect(by_seed)


def collect(by_seed: list[dict[str, Scores]]) -> BySeed:
    """Scores of several seeds side by side."""
    return {
        split: {metric: [round(one[split][metric], 6) for one in by_seed] for metric in scores}
        for split, scores in by_seed[0].items()
    }


def _last_window(data: Examples, section: EvaluateDownstream) -> Examples:
    return replace(data, features=data.features[:, -(data.features.shape[1] // section.tracking.past) :])
