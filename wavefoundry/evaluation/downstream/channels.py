"""One linear layer for all patches that gives back channels: its examples, and its scores."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from wavefoundry.evaluation.downstream.examples import NMSE, SCORED, ChannelExamples, SplitStatistics
from wavefoundry.evaluation.downstream.heads import as_rows, fit_linear
from wavefoundry.evaluation.downstream.inputs import Input
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.networks.representations import Representations


def channel_examples(
    source: Input, seen: Representations, snapshots: Snapshots, members: np.ndarray
) -> ChannelExamples:
    """Examples of some of the snapshots.

    Args:
        source: an input.
        seen: what it makes of what is known of these snapshots.
        snapshots: all of them.
        members: rows of these snapshots, rising.
    """
    clean = snapshots.csi[members] / seen.scale[:, None, None]
    shape = (clean.shape[1], clean.shape[2])
    return ChannelExamples(
        members,
        seen.patches,
        source.cut(clean),
        lambda tokens: source.join(tokens, shape),
        clean,
        snapshots.rows,
    )


def score_channel_head(
    examples: ChannelExamples, fraction: float, seed: int, penalties: Sequence[float]
) -> SplitStatistics:
    """Find one linear head for all patches; {"validation": {"nmse": ratios}, "test": {"nmse": ratios}}.

    Args:
        examples: with all rows of the validation and test splits, and those that the seed draws for training.
        fraction: share of the training rows whose clean channels are known.
        seed: of their draw.
        penalties: see `heads.fit_linear`.
    """

    def members(some: np.ndarray) -> np.ndarray:
        return np.searchsorted(examples.members, some)

    def errors(layer: Callable[[np.ndarray], np.ndarray], split: str) -> np.ndarray:
        at = members(examples.rows[split])
        tokens = examples.tokens[at]
        found = torch.from_numpy(layer(as_rows(tokens))).view(*tokens.shape[:2], -1)
        return nmse(examples.join(found), examples.clean[at]).numpy()

    labelled = members(labelled_subset(examples.rows["train"], fraction, seed))
    layer = fit_linear(
        as_rows(examples.tokens[labelled]),
        as_rows(examples.targets[labelled]),
        penalties,
        lambda layer: float(errors(layer, "validation").mean()),
    )
    return {split: {NMSE: errors(layer, split)} for split in SCORED}
