"""Power normalisation of CSI samples; the scale is kept, so that it can be undone."""

import torch


def rms_scale(csi: torch.Tensor) -> torch.Tensor:
    """Root mean square of each sample, kept away from zero; squares neither overflow nor vanish on the way.

    Args:
        csi: complex (sample, ...).

    Returns:
        real (sample, 1, ..., 1), broadcastable against `csi`.
    """
    magnitude, axes = csi.abs(), tuple(range(1, csi.ndim))
    peak = magnitude.amax(axes, keepdim=True)
    # Division by a power of two rounds nothing.
    unit = torch.ldexp(torch.ones_like(peak), torch.frexp(peak).exponent - 1)
    power = (magnitude / unit).square().mean(axes, keepdim=True)
    return (power.sqrt() * unit).clamp_min(torch.finfo(power.dtype).tiny)
