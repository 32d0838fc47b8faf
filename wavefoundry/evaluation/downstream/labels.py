"""Labels of beam prediction: which beam of a DFT codebook serves a user best."""

import math

import torch

from wavefoundry.errors import InputError


def dft_codebook(antennas: int, beams: int) -> torch.Tensor:
    """Beams of unit norm that share out the spatial frequencies evenly.

    Beam b matches a plane wave of b / beams cycles per element: f_b[n] = exp(j 2 pi n b / beams) / sqrt(antennas).

    Returns:
        complex64 (beam, antenna).

    Raises:
        InputError: fewer beams than antennas, which would leave directions without a beam.
    """
    if beams < antennas:
        raise InputError(f"beams is {beams}, it must be at least the {antennas} antennas of the array")
    turns = torch.outer(torch.arange(beams), torch.arange(antennas)).double() / beams
    return torch.polar(torch.full_like(turns, antennas**-0.5), 2 * math.pi * (turns % 1)).to(torch.complex64)


def best_beams(csi: torch.Tensor, beams: int) -> torch.Tensor:
    """Beam of the highest received power, summed over the subcarriers.

    Args:
        csi: complex (sample, antenna, subcarrier) of a uniform linear array.
        beams: size of the codebook.

    Returns:
        int64 (sample,).

    Raises:
        InputError: as `dft_codebook`.
    """
    received = dft_codebook(csi.shape[1], beams).conj() @ csi
    return received.abs().square().sum(dim=-1).argmax(dim=1)
