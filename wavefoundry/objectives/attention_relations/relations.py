"""Self-attention relations of a student and its teacher, whatever the widths of the two.

Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
Distillation", arXiv:2505.12729, equations 22 to 25, after "MiniLMv2: Multi-Head Self-Attention Relation Distillation
for Compressing Pretrained Transformers", arXiv:2012.15828.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from wavefoundry.errors import InputError
from wavefoundry.section import why_no_whole_heads


def log_relations(values: torch.Tensor, heads: int) -> torch.Tensor:
    """How much every token is like every other, head by head.

    Args:
        values: queries, keys or values of a layer, all heads side by side, (sequence, token, width).
        heads: relation heads; they must divide the width.

    Returns:
        (sequence, head, token, token), the logarithm of a softmax over the last axis.
    """
    if reason := why_no_whole_heads("relation_heads", heads, "the width", values.shape[-1]):
        raise InputError(f"{reason} of an attention layer")
    split = values.unflatten(-1, (heads, -1)).transpose(1, 2)
    return (split @ split.transpose(-1, -2) / math.sqrt(split.shape[-1])).log_softmax(-1)


def relation_loss(student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], heads: int) -> torch.Tensor:
    """Kullback-Leibler divergence of the student's relations from the teacher's, mean over sequences, heads and tokens,
    summed over query-query, key-key and value-value.

    Args:
        student, teacher: queries, keys and values, each (sequence, token, width); the widths may differ.
        heads: relation heads of both.

    Raises:
        InputError: the numbers of tokens differ, or the heads do not divide a width.
    """
    terms = []
    for own, shown in zip(student, teacher, strict=True):
        if own.shape[1] != shown.shape[1]:
            raise InputError(f"the student has {own.shape[1]} tokens and its teacher {shown.shape[1]}")
        ours, theirs = log_relations(own, heads), log_relations(shown.detach(), heads)
        terms.append(F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean())
    return torch.stack(terms).sum()
