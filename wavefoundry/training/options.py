"""Typed parameters that every training has."""

from typing import Annotated, Literal

from pydantic import Field

from wavefoundry.section import Count, NonNegative, Positive, Section


class Training(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of the steps with a rising rate")
    max_grad_norm: Positive
    epochs_per_checkpoint: Count = Field(description="a killed training loses at most this many epochs")
    precision: Literal["float32", "bfloat16"] = Field(
        description="of matrix products; weights, sums and everything else stay in float32"
    )
