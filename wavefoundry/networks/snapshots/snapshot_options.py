"""Settings that networks of single channel snapshots share."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count, Probability, Section, Share, require_distinct
from wavefoundry.training.options import Training

Granularities = Annotated[list[Count], Field(min_length=1), AfterValidator(require_distinct)]


class SnapshotArchitecture(Section):
    """Tokens of single snapshots and their masking."""

    patch_sizes: Granularities = Field(description="granularities: side lengths of a patch, one drawn per batch")
    max_seq_len: Count = Field(description="most tokens of a snapshot, class token included")
    mask_ratio: Share
    dropout: Probability
    depth: Count


class SnapshotOptions(FamilyOptions):
    """Settings of a family that reads one slot of CSI at a time."""

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    architecture: SnapshotArchitecture
    training: Training

    def why_not(self, facts: Facts) -> str | None:
        patch = min(self.architecture.patch_sizes)
        tokens = 1 + -(-facts.antennas // patch) * -(-facts.subcarriers // patch)
        if tokens > self.architecture.max_seq_len:
            return (
                f"architecture.max_seq_len {self.architecture.max_seq_len} is less than the {tokens} tokens of "
                f"patches of {patch} x {patch}"
            )
        return None

    def why_not_embed(self, facts: Facts) -> str | None:
        return self.why_not(facts)

    @property
    def granularities(self) -> list[int]:
        return self.architecture.patch_sizes

    @property
    def tunable_layers(self) -> int:
        return self.architecture.depth
