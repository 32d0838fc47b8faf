"""What every codec promises; called by the tests of each."""

import pytest
import torch

from wavefoundry.errors import InputError
from wavefoundry.feedback.rates import feedback_bits
from wavefoundry.networks.capabilities import FeedbackCodec


def check_promises(codec, csi: torch.Tensor) -> None:
    """Of a codec in evaluation mode and complex64 channels (sample, antenna, subcarrier) that it takes."""
    assert isinstance(codec, FeedbackCodec)
    shape = tuple(csi.shape[1:])
    for rate in (1, 3, 7, 12):
        bits = codec.encode(csi, rate)
        assert bits.dtype == torch.uint8 and set(bits.unique().tolist()) <= {0, 1}
        assert bits.shape == (len(csi), feedback_bits(rate, *shape))
        found = codec.decode(bits, shape)
        assert found.dtype == torch.complex64 and found.shape == csi.shape and found.isfinite().all()
        # A positive factor is lost, and nothing else: feedback is that of the channel of unit power.
        for factor in (2.0**-63, 2.0**-20, 2.0**63):
            torch.testing.assert_close(codec.decode(codec.encode(factor * csi, rate), shape), found)
        # What arrives wrong is decoded as it is.
        assert codec.decode(1 - bits, shape).isfinite().all()
        silent = codec.decode(codec.encode(torch.zeros_like(csi[:1]), rate), shape)
        assert silent.isfinite().all()
    for rate in (0, 13):
        with pytest.raises(InputError, match=f"^{rate} bits for 16 channel entries; allowed: 1 to 12$"):
            codec.encode(csi, rate)
    with pytest.raises(InputError, match="not finite"):
        codec.encode(csi * float("nan"), 3)
    assert torch.equal(codec.encode(csi.to(torch.complex128), 3), codec.encode(csi, 3))
    for wrong in (csi.real, csi[0], csi.numpy()):
        with pytest.raises(InputError, match=r"allowed: a complex tensor \(batch, antenna, subcarrier\)"):
            codec.encode(wrong, 3)


def check_a_sample_is_coded_alone(codec, csi: torch.Tensor) -> None:
    """Its bits and its reconstruction do not depend on who else is in the batch."""
    shape = tuple(csi.shape[1:])
    bits = codec.encode(csi, 5)
    alone = torch.cat([codec.encode(csi[one : one + 1], 5) for one in range(len(csi))])
    # Sums of other lengths are rounded otherwise, which may move a value over the edge of a step: rarely.
    assert (bits != alone).double().mean() < 2e-3
    torch.testing.assert_close(
        torch.cat([codec.decode(one[None], shape) for one in bits]), codec.decode(bits, shape), rtol=1e-4, atol=1e-5
    )
