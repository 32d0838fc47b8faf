"""Settings of LWM, a transformer encoder over the patches of a channel."""

from typing import Self

from pydantic import model_validator

from wavefoundry.networks.snapshots.snapshot_options import SnapshotArchitecture, SnapshotOptions
from wavefoundry.section import Count, Positive, require_whole_heads


class Architecture(SnapshotArchitecture):
    hidden_size: Count
    heads: Count
    mlp_ratio: Positive

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("heads", self.heads, "hidden_size", self.hidden_size)
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size {self.hidden_size} is odd; sines and cosines of positions go in pairs")
        return self


class Options(SnapshotOptions):
    """Settings of one LWM.

    Source: Alikhani et al., "Large Wireless Model (LWM): A Foundation Model for Wireless Channels", arXiv:2411.08872.
    """

    architecture: Architecture
