"""Power normalisation of CSI samples; the scale is kept, so that it can be undone."""

import torch


def rms_scale(csi: torch.Tensor) -> torch.Tensor:
    """Root mean square of each sample, kept away from zero.

    Args:
        csi: complex (sample, ...).

    Returns:
        real (sample, 1, ..., 1), broadcastable against `csi`.
    """
    power = csi.abs().square().mean(dim=tuple(range(1, csi.ndim)), keepdim=True)
    return power.sqrt().clamp_min(torch.finfo(power.dtype).tiny)
