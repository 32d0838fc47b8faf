"""What is known of a data set from its parameters alone, before it exists."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Facts:
    """Sizes and physical scales of the CSI samples of one data set.

    slots, antennas, subcarriers: size of a sample (time, antenna, subcarrier).
    array: (polarisations, rows, columns) of the base station's array.
    delay_bins: number of delay bins that the angle-delay maps of the data set keep.
    antenna_spacing: distance of neighbouring elements [wavelengths].
    slot_duration: [s].
    subcarrier_spacing: [Hz].
    carrier_frequency: [Hz].
    """

    slots: int
    antennas: int
    subcarriers: int
    array: tuple[int, int, int]
    delay_bins: int
    antenna_spacing: float
    slot_duration: float
    subcarrier_spacing: float
    carrier_frequency: float

    @property
    def is_snapshot(self) -> bool:
        """Whether a sample is a single slot, in which there is nothing to predict."""
        return self.slots == 1

    @property
    def is_linear_array(self) -> bool:
        """Whether the array is a single row of one polarisation."""
        return self.array[0] == self.array[1] == 1

    def with_sizes(self, slots: int, subcarriers: int) -> Self:
        """The same data set cut to so many slots and subcarriers; delay bins are those of the whole band."""
        return replace(self, slots=slots, subcarriers=subcarriers)
