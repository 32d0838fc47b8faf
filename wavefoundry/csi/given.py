"""CSI that somebody gives to a network: checked, and in the type that networks compute with."""

import torch

from wavefoundry.errors import InputError

SNAPSHOTS = ("batch", "antenna", "subcarrier")
SEQUENCES = ("batch", "time", "antenna", "subcarrier")


def as_csi(csi: torch.Tensor, axes: tuple[str, ...]) -> torch.Tensor:
    """CSI of any complex type as complex64.

    Args:
        csi: complex, with these axes.
        axes: SNAPSHOTS or SEQUENCES.

    Raises:
        InputError: no complex tensor, or another number of axes.
    """
    allowed = f"allowed: a complex tensor ({', '.join(axes)})"
    if not isinstance(csi, torch.Tensor):
        raise InputError(f"csi is a {type(csi).__name__}; {allowed}, such as torch.from_numpy makes of an array")
    if not csi.is_complex() or csi.ndim != len(axes):
        raise InputError(f"csi is {str(csi.dtype).removeprefix('torch.')} of shape {tuple(csi.shape)}; {allowed}")
    return csi.to(torch.complex64)


def require_finite(csi: torch.Tensor) -> None:
    """Refuse values that no network can read.

    Args:
        csi: (sample, ...), as `as_csi` gives it.

    Raises:
        InputError: a value is NaN or infinite, or was too large for complex64; the message names the first such sample.
    """
    finite = csi.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise InputError(
            f"csi has values that are not finite, first in sample {first}; allowed: finite values of single precision"
        )
