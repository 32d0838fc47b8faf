"""Additive white Gaussian noise at a given signal-to-noise ratio."""

import torch


def add_noise(csi: torch.Tensor, snr_db: torch.Tensor | float, generator: torch.Generator) -> torch.Tensor:
    """CSI plus circular complex Gaussian noise; the SNR is that of each sample's own mean power.

    Args:
        csi: complex (sample, ...).
        snr_db: one SNR, or one per sample (sample,) [dB].
        generator: source of the noise, on the CPU, so that a seed means the same on every device.

    Returns:
        complex, like `csi`.
    """
    snr_db = torch.as_tensor(snr_db, dtype=torch.float32).to(csi.device)
    snr_db = snr_db.expand(csi.shape[0]).reshape(-1, *[1] * (csi.ndim - 1))
    power = csi.abs().square().mean(dim=tuple(range(1, csi.ndim)), keepdim=True)
    noise = torch.randn(csi.shape, dtype=csi.dtype, generator=generator).to(csi.device)
    return csi + noise * (power * 10 ** (-snr_db / 10)).sqrt()
