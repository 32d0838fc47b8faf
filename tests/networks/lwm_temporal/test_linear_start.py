"""Predictors that begin from linear prediction."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.csi.one_path import one_path
from tests.networks.lwm_temporal.example import options, predictor
from wavefoundry.csi.linear_prediction import continued

ORDERS = {"time": 3, "frequency": 4}
PHASES = st.floats(-np.pi, np.pi)


def started(**architecture):
    return predictor(architecture={"reference": "rotation"} | architecture, prediction={"linear_start": ORDERS}).eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@settings(max_examples=20, deadline=None)
@given(PHASES, PHASES, PHASES)
def test_an_untrained_predictor_knows_how_one_path_goes_on(angle, delay, doppler):
    """In time also what lies in delay bins that the network does not read."""
    model, whole = started(), one_path(angle, delay, doppler, 7, 8, 24)
    known = whole[:, :4, :, :16]
    assert torch.allclose(model.predict(whole[:, :4], 3, 0), whole[:, 4:], atol=2e-3)
    assert torch.allclose(model.predict(known, 0, 8), whole[:, :4, :, 16:], atol=2e-3)
    assert torch.allclose(model.predict(known, 3, 8), whole[:, 4:, :, 16:], atol=5e-3)


def test_an_untrained_predictor_is_linear_prediction_the_band_first():
    model, known = started(), noise(2, 4, 8, 16)
    band = continued(known, 0, 8, ORDERS)
    assert torch.allclose(model.predict(known, 3, 0), continued(known, 3, 0, ORDERS)[:, 4:], atol=1e-4)
    assert torch.allclose(model.predict(known, 0, 8), band[..., 16:], atol=1e-4)
    assert torch.allclose(model.predict(known, 3, 8), continued(band, 3, 0, ORDERS)[:, 4:, :, 16:], atol=1e-4)


def test_the_network_reads_what_linear_prediction_says_and_corrects_it():
    model, known = started(), noise(2, 4, 8, 16)
    before = model.predict(known, 2, 0)
    with torch.no_grad():
        model.reconstruct.weight.normal_(generator=torch.Generator().manual_seed(1))
        corrected = model.predict(known, 2, 0)
        model.told.normal_(generator=torch.Generator().manual_seed(2))
    assert (corrected - before).norm() > 1e-2 * before.norm()
    assert (model.predict(known, 2, 0) - corrected).norm() > 1e-4 * before.norm()
    # In time alone.
    assert torch.allclose(model.predict(known, 0, 8), continued(known, 0, 8, ORDERS)[..., 16:], atol=1e-4)


def test_the_loss_is_the_nmse_of_what_linear_prediction_leaves():
    model = predictor(prediction={"linear_start": ORDERS, "snr_db": [300.0, 300.0]}).eval()
    maps, losses = noise(3, 6, 8, 12), {}
    for seed in range(6):
        losses |= model(maps, torch.Generator().manual_seed(seed))
    assert losses.keys() == {"loss", "loss_time"}
    still = one_path(0.3, 0.4, 0.5, 6, 8, 24)
    maps = torch.fft.ifft(torch.fft.fft(still, dim=2, norm="ortho"), dim=3, norm="ortho")[..., :12]
    # Of one path nothing is left in time, whatever delays are cut off.
    assert all(model(maps, torch.Generator().manual_seed(seed))["loss"] < 1e-4 for seed in range(6))


def test_without_fine_tuning_there_is_no_start_to_correct():
    with pytest.raises(ValidationError, match="linear_start with inference_only: true"):
        options(prediction={"linear_start": ORDERS, "inference_only": True})
