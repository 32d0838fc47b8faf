"""Series of bins that turn on as they did: what a predictor with the reference "rotation" begins from.

The bin of one path turns steadily, from slot to slot by its Doppler shift, from subcarrier to subcarrier by its delay.
"""

import torch


def continued(series: torch.Tensor, steps: int) -> torch.Tensor:
    """Linear prediction of first order: complex (..., entry) -> (..., steps).

    The coefficient is that of Burg's method (J. P. Burg, "Maximum Entropy Spectral Analysis", PhD thesis, Stanford
    University, 1975), whose magnitude is at most 1. A series of one entry is continued by zeros.
    """
    before, after = series[..., :-1], series[..., 1:]
    cross = (after * before.conj()).sum(dim=-1, keepdim=True)
    power = (after.abs().square() + before.abs().square()).sum(dim=-1, keepdim=True) / 2
    coefficient = cross / power.clamp_min(torch.finfo(power.dtype).tiny)
    ahead = torch.arange(1, steps + 1, device=series.device)
    return series[..., -1:] * torch.polar(coefficient.abs() ** ahead, coefficient.angle() * ahead)


def with_missing_band(known: torch.Tensor, subcarriers: int) -> torch.Tensor:
    """CSI (batch, time, antenna, subcarrier) with as many subcarriers more: every angle-Doppler bin is continued."""
    if not subcarriers:
        return known  # torch transforms no empty band
    bins = torch.fft.fft2(known, dim=(1, 2), norm="ortho")
    return torch.cat([known, torch.fft.ifft2(continued(bins, subcarriers), dim=(1, 2), norm="ortho")], dim=3)
