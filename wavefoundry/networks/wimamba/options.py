"""Settings of WiMamba, bidirectional selective state spaces over the patches of a channel."""

from typing import Annotated

from pydantic import Field

from wavefoundry.networks.snapshots.snapshot_options import SnapshotArchitecture, SnapshotOptions
from wavefoundry.section import Count, Positive


class Architecture(SnapshotArchitecture):
    hidden_size: Annotated[int, Field(ge=2, multiple_of=2)] = Field(description="width; each direction has half of it")
    state_size: Count
    conv_kernel: Count
    expand: Positive = Field(description="inner width of a direction over its width")
    mlp_ratio: Positive


class Options(SnapshotOptions):
    """Settings of one WiMamba.

    Source: "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
    """

    architecture: Architecture
