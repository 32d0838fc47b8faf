"""What is known of a data set from its parameters alone, before it exists."""

from dataclasses import dataclass, replace
from typing import Self

from wavefoundry.csi.kept_delays import kept_delay_bins


@dataclass(frozen=True)
class Facts:
    """Sizes and physical scales of the CSI samples of one data set.

    slots, antennas, subcarriers: size of a sample (time, antenna, subcarrier).
    array: (polarisations, rows, columns) of the base station's array.
    delay_fraction: share of the delay bins that angle-delay maps keep.
    antenna_spacing: distance of neighbouring elements [wavelengths].
    slot_duration: [s].
    subcarrier_spacing: [Hz].
    carrier_frequency: [Hz].
    """

    slots: int
    antennas: int
    subcarriers: int
    array: tuple[int, int, int]
    delay_fraction: float
    antenna_spacing: float
    slot_duration: float
    subcarrier_spacing: float
    carrier_frequency: float

    @property
    def delay_bins(self) -> int:
        """Number of delay bins that angle-delay maps of so many subcarriers keep."""
        return kept_delay_bins(self.subcarriers, self.delay_fraction)

    @property
    def is_snapshot(self) -> bool:
        """Whether a sample is a single slot, in which there is nothing to predict."""
        return self.slots == 1

    @property
    def why_nothing_to_predict(self) -> str | None:
        """Why no predictor can do anything with the data set; None if some can."""
        return "it has one slot, in which there is nothing to predict" if self.is_snapshot else None

    @property
    def is_linear_array(self) -> bool:
        """Whether the array is a single row of one polarisation."""
        return self.array[0] == self.array[1] == 1

    def with_sizes(self, slots: int, subcarriers: int) -> Self:
        """The same data set with so many slots and subcarriers."""
        return replace(self, slots=slots, subcarriers=subcarriers)
