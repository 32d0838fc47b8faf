import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.csi.one_path import one_path
from wavefoundry.csi.linear_prediction import continued
from wavefoundry.predictors import pooled_autoregression

ORDERS = {"time": 3, "frequency": 4}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 4), st.integers(1, 7)),
    asked=st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any),
    seed=st.integers(0, 99),
)
def test_what_follows_is_what_the_predictor_pooled_over_bins_says(sizes, asked, seed):
    known = noise(*sizes, seed=seed)
    whole = continued(known, *asked, ORDERS)
    slots, subcarriers = asked
    assert whole.shape == (sizes[0], sizes[1] + slots, sizes[2], sizes[3] + subcarriers)
    assert torch.equal(whole[:, : sizes[1], :, : sizes[3]], known)
    predictor = pooled_autoregression.Predictor(
        pooled_autoregression.Options(time_order=ORDERS["time"], frequency_order=ORDERS["frequency"])
    )
    future, band = whole[:, sizes[1] :], whole[:, : sizes[1], :, sizes[3] :]
    parts = {(slots, 0): future[..., : sizes[3]], (0, subcarriers): band}
    if all(asked):
        parts[asked] = future[..., sizes[3] :]
    for question, found in parts.items():
        if any(question):
            np.testing.assert_allclose(found, predictor.predict(known.numpy(), *question), atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(*[st.floats(-np.pi, np.pi)] * 3)
def test_one_path_goes_on_as_it_did(angle, delay, doppler):
    whole = one_path(angle, delay, doppler, 7, 4, 12).to(torch.complex128)
    found = continued(whole[:, :4, :, :8], 3, 4, ORDERS)
    assert torch.allclose(found, whole, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_silence_goes_on_as_silence_and_the_type_stays(dtype):
    found = continued(torch.zeros(2, 4, 3, 5, dtype=dtype), 2, 3, ORDERS)
    assert found.dtype == dtype and found.shape == (2, 6, 3, 8) and not found.any()
