"""How the blocks of a language model are adapted to CSI."""

from pydantic import Field

from wavefoundry.section import Count, Probability, Section


class LowRankAdapters(Section):
    """Trained matrices of low rank beside the frozen ones ("LoRA: Low-Rank Adaptation of Large Language Models",
    arXiv:2106.09685)."""

    rank: Count
    alpha: Count = Field(description="what the adapters add is multiplied by alpha / rank")
    dropout: Probability
    targets: list[str] = Field(min_length=1, description="names of linear layers in a block, as in q_proj or c_attn")
