"""Channel interpolation: the whole channel from pilots on some antennas and subcarriers.

Source: the downstream tasks of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from wavefoundry.evaluation.downstream.task import ChannelTask, TaskOptions
from wavefoundry.facts import Facts
from wavefoundry.section import Count

if TYPE_CHECKING:
    import torch


class Options(TaskOptions):
    gives_channels: ClassVar[bool] = True

    pilot_spacing: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(
        description="known is one in so many (antennas, subcarriers)"
    )

    def why_not(self, facts: Facts) -> str | None:
        sizes = (facts.antennas, facts.subcarriers)
        if any(step >= size for size, step in zip(sizes, self.pilot_spacing, strict=True)):
            return (
                f"pilot_spacing {self.pilot_spacing} leaves fewer than two pilots along an axis of the "
                f"{facts.antennas} antennas x {facts.subcarriers} subcarriers"
            )
        return None


class Task(ChannelTask):
    """Known are the pilots; all else is zero."""

    title = "channel interpolation"
    without_learning = "linear interpolation"

    def known(self, csi: "torch.Tensor") -> "torch.Tensor":
        return keep_pilots(csi, self.options.pilot_spacing)

    def lattice(self, antennas: int, subcarriers: int) -> np.ndarray:
        known: np.ndarray = np.zeros((antennas, subcarriers), bool)
        known[:: self.options.pilot_spacing[0], :: self.options.pilot_spacing[1]] = True
        return known

    @property
    def noise(self) -> float:
        return 0.0

    def estimate(self, known: "torch.Tensor") -> "torch.Tensor":
        return interpolate_linearly(known, self.options.pilot_spacing)


def keep_pilots(csi: "torch.Tensor", spacing: Sequence[int]) -> "torch.Tensor":
    """CSI (sample, antenna, subcarrier) on a lattice of pilots, one in `spacing` (antennas, subcarriers); else zero."""
    known = csi.new_zeros(csi.shape)
    lattice = (slice(None), slice(None, None, spacing[0]), slice(None, None, spacing[1]))
    known[lattice] = csi[lattice]
    return known


def interpolate_linearly(known: "torch.Tensor", spacing: Sequence[int]) -> "torch.Tensor":
    """Full channels from a lattice of pilots, linear between them and beyond the last ones.

    Args:
        known: complex (sample, antenna, subcarrier), of which one in `spacing` (antennas, subcarriers) is known.
        spacing: as for `keep_pilots`; at least two pilots along each axis.
    """
    import torch
    from scipy.interpolate import RegularGridInterpolator

    antennas, subcarriers = known.shape[1:]
    pilots = tuple(np.arange(0, size, step) for size, step in zip((antennas, subcarriers), spacing, strict=True))
    values = known[:, :: spacing[0], :: spacing[1]].permute(1, 2, 0).numpy()
    lattice = RegularGridInterpolator(pilots, values, bounds_error=False, fill_value=None)
    everywhere = np.stack(np.meshgrid(np.arange(antennas), np.arange(subcarriers), indexing="ij"), axis=-1)
    return torch.from_numpy(lattice(everywhere)).permute(2, 0, 1).to(known.dtype)
