"""The labelled channels that every downstream task starts from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Snapshots:
    """Labelled channels of one site.

    csi: complex64 (sample, antenna, subcarrier), what every head reads in some form.
    line_of_sight: bool (sample,).
    beam: int (sample,), the best beam of the millimetre-wave array for the same user at the same place.
    position: (sample, 2) [m].
    keys: int (sample, 3): base station, trajectory, window.
    rows: of the splits "train", "validation" and "test".
    silent: how many others there were that are left out, for they are zero throughout.
    """

    csi: "torch.Tensor"
    line_of_sight: np.ndarray
    beam: np.ndarray
    position: np.ndarray
    keys: np.ndarray
    rows: dict[str, np.ndarray]
    silent: int = 0
