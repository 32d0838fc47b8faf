"""How CSI-ALM meets its language model: tokens look up a dictionary of words, and the nearest anchors go in front.

Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
Distillation", arXiv:2505.12729, equations 13 to 21 and 31.
"""

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.networks.csi_alm.options import Alignment, Prompts


class RowMixing(nn.Module):
    """A linear map over the rows of a dictionary: (rows, width) -> (wanted, width)."""

    def __init__(self, rows: int, wanted: int):
        super().__init__()
        self.map = nn.Linear(rows, wanted)

    def forward(self, dictionary: torch.Tensor) -> torch.Tensor:
        return self.map(dictionary.T).T


class CrossModalAlignment(nn.Module):
    """Self-attention over the tokens, cross attention with the dictionary, and a gate between the two (13 to 18).

    The self-attention is a whole encoder layer, as in the published code. The dictionary is the same for every
    sequence: its keys and values are computed once a pass.
    """

    def __init__(self, width: int, rows: int, options: Alignment, dropout: float):
        super().__init__()
        self.heads = options.heads
        self.enter = nn.Linear(width, width)
        self.encoder = nn.TransformerEncoderLayer(width, options.heads, options.feed_forward, dropout, batch_first=True)
        self.words = RowMixing(rows, options.rows)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, tokens: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
        """
        Args:
            tokens: (sequence, token, width).
            dictionary: (rows, width).
        """
        own = self.encoder(self.enter(tokens))
        looked_up = self._look_up(own, self.words(dictionary))
        gate = self.gate(torch.cat([looked_up, own], dim=-1)).sigmoid()
        return gate * looked_up + (1 - gate) * own

    def _look_up(self, tokens: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Cross attention; all tokens of all sequences are one row of queries."""

        def split(values: torch.Tensor) -> torch.Tensor:
            return values.unflatten(-1, (self.heads, -1)).transpose(0, 1)[None]

        keys, values = self.key_value(words).chunk(2, dim=-1)
        found = F.scaled_dot_product_attention(split(self.query(tokens.flatten(0, 1))), split(keys), split(values))
        return self.leave(found[0].transpose(0, 1).flatten(1)).view_as(tokens)


class SemanticPrompts(nn.Module):
    """The anchors nearest to a sequence, by the cosine with the mean of its tokens (19 to 21, 31)."""

    def __init__(self, rows: int, options: Prompts):
        super().__init__()
        self.chosen = options.chosen
        self.anchors = RowMixing(rows, options.pool)

    def forward(self, tokens: torch.Tensor, dictionary: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            tokens: (sequence, token, width).
            dictionary: (rows, width).

        Returns:
            (sequence, chosen, width), the nearest first; and the mean cosine of the chosen ones.
        """
        anchors = self.anchors(dictionary)
        cosines = F.normalize(tokens.mean(1), dim=-1) @ F.normalize(anchors, dim=-1).T
        nearest = cosines.topk(self.chosen, dim=-1)
        return anchors[nearest.indices], nearest.values.mean()
