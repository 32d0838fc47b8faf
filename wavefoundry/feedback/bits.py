"""Whole numbers as bits, the most significant one first."""

import torch


def to_bits(numbers: torch.Tensor, width: int) -> torch.Tensor:
    """Whole numbers from 0 to 2^width - 1, (...), as bits uint8 (..., width)."""
    return (numbers.long()[..., None] >> _places(width, numbers.device) & 1).to(torch.uint8)


def from_bits(bits: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_bits`: int64 (...)."""
    return (bits.long() << _places(bits.shape[-1], bits.device)).sum(-1)


def _places(width: int, device: torch.device) -> torch.Tensor:
    return torch.arange(width - 1, -1, -1, device=device)
