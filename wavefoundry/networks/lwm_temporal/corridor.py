"""Which tokens of a grid (time, angle, delay) a query of sparse spatio-temporal attention may see.

A query at (t, h, w) sees its own frame in a window, and the frames t + o in windows that widen with |o|: the corridor
in which a path can have moved. Source: model card of LWM-Temporal (arXiv:2603.10024).
"""

from dataclasses import dataclass

import torch

from wavefoundry.networks.lwm_temporal.options import Corridor


@dataclass(frozen=True)
class Windows:
    """Which tokens a query may see, in tokens.

    same_frame: half width of the window in the own frame.
    temporal_offsets: the other frames.
    temporal_spatial: half width of the windows there; that of the frame `o` away in angle is
        min(temporal_spatial, drift_h |o|) in the published corridor and temporal_spatial + drift_h |o| in the wide one.
    drift_h, drift_w: by how much a path may move per frame in angle and in delay.
    corridor: "published" ends at the borders of the grid; "wide" goes around the ring of angles, and ends at the
        borders of delay.
    """

    same_frame: int
    temporal_offsets: tuple[int, ...]
    temporal_spatial: int
    drift_h: int
    drift_w: int
    corridor: Corridor

    @property
    def wraps(self) -> bool:
        """Whether windows go around the ring of angles."""
        return self.corridor == "wide"

    def radii(self, offset: int) -> tuple[int, int]:
        """Half widths (angle, delay) of the window in the frame `offset` away."""
        if offset == 0:
            return self.same_frame, self.same_frame
        moved = self.drift_h * abs(offset), self.drift_w * abs(offset)
        if self.corridor == "wide":
            return self.temporal_spatial + moved[0], self.temporal_spatial + moved[1]
        return min(self.temporal_spatial, moved[0]), min(self.temporal_spatial, moved[1])

    def sees(self, query: torch.Tensor, key: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Whether a query may see a key: the definition. Token indices that broadcast against each other."""
        _, rows, columns = grid
        offset = key // (rows * columns) - query // (rows * columns)
        turn = (key // columns % rows - query // columns % rows).abs()
        if self.wraps:
            turn = torch.minimum(turn, rows - turn)
        shift = (key % columns - query % columns).abs()
        seen = torch.zeros_like(offset, dtype=torch.bool)
        for step in (0, *self.temporal_offsets):
            radius_h, radius_w = self.radii(step)
            seen = seen | ((offset == step) & (turn <= radius_h) & (shift <= radius_w))
        return seen


def candidates(grid: tuple[int, int, int], windows: Windows) -> torch.Tensor:
    """Dense boolean mask (N, N) of what each query may see, for tests and small grids only."""
    tokens = torch.arange(grid[0] * grid[1] * grid[2])
    return windows.sees(tokens[:, None], tokens[None, :], grid)
