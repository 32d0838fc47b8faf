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
        return self


class Options(SnapshotOptions):
    """Settings of one LWM."""

    architecture: Architecture
