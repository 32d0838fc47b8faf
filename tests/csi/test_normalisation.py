"""The scale of a sample, at any amplitude that its type holds."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.normalisation import rms_scale


@given(levels=st.tuples(st.floats(-37, 37), st.floats(-37, 37)), seed=st.integers(0, 99))
def test_the_scale_is_the_root_mean_square_of_each_sample(levels, seed):
    csi = torch.randn(2, 3, 4, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    csi = csi * 10.0 ** torch.tensor(levels)[:, None, None, None]
    expected = csi.to(torch.complex128).abs().square().mean((1, 2, 3), keepdim=True).sqrt()
    assert rms_scale(csi).dtype == torch.float32
    torch.testing.assert_close(rms_scale(csi).double(), expected, rtol=1e-6, atol=0)


@given(power=st.integers(-60, 60), seed=st.integers(0, 99))
def test_a_power_of_two_of_a_sample_is_one_of_its_scale_to_the_bit(power, seed):
    csi = torch.randn(2, 7, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(rms_scale(2.0**power * csi), 2.0**power * rms_scale(csi))
    # And is what squares that fit give.
    assert torch.equal(rms_scale(csi), csi.abs().square().mean((1, 2), keepdim=True).sqrt())


def test_silence_has_the_least_scale():
    assert (rms_scale(torch.zeros(2, 3, 4, dtype=torch.complex64)) == torch.finfo(torch.float32).tiny).all()
