"""The reference "rotation": what turns steadily goes on as it did, and looks the same whatever its rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.lwm_temporal.example import backbone, predictor
from wavefoundry.networks.lwm_temporal.reference import reference, to_complex, to_features
from wavefoundry.networks.lwm_temporal.rotation import continued
from wavefoundry.predictors import autoregression

PHASES = st.floats(-np.pi, np.pi)


def path(angle: float, delay: float, doppler: float, slots: int, antennas: int, subcarriers: int) -> torch.Tensor:
    """CSI (1, slot, antenna, subcarrier) of one path, by its phase [rad] from one to the next along every axis."""
    axes = [torch.arange(size) * phase for size, phase in ((slots, doppler), (antennas, angle), (subcarriers, -delay))]
    time, antenna, subcarrier = torch.meshgrid(*axes, indexing="ij")
    return torch.polar(torch.ones(slots, antennas, subcarriers), (time + antenna + subcarrier).float())[None]


@settings(max_examples=20, deadline=None)
@given(PHASES, PHASES, PHASES)
def test_an_untrained_predictor_knows_how_one_path_goes_on(angle, delay, doppler):
    """In time also what lies in delay bins that the network does not read."""
    model = predictor(architecture={"reference": "rotation"}).eval()
    whole = path(angle, delay, doppler, 7, 8, 24)
    known = whole[:, :4, :, :16]
    assert torch.allclose(model.predict(whole[:, :4], 3, 0), whole[:, 4:], atol=2e-3)
    assert torch.allclose(model.predict(known, 0, 8), whole[:, :4, :, 16:], atol=2e-3)
    assert torch.allclose(model.predict(known, 3, 8), whole[:, 4:, :, 16:], atol=5e-3)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(0, 5))
def test_the_first_order_is_that_of_burgs_method(seed, known, steps):
    generator = torch.Generator().manual_seed(seed)
    series = torch.randn(2, known, 3, 4, dtype=torch.complex128, generator=generator)
    burg = autoregression.Predictor(autoregression.Options(order=1))
    if steps:
        bins = torch.fft.fftn(series, dim=(2, 3), norm="ortho")
        ours = torch.fft.ifftn(continued(bins.movedim(1, -1), steps).movedim(-1, 1), dim=(2, 3), norm="ortho")
        assert np.allclose(ours, burg.predict(series.numpy(), steps, 0), atol=1e-9)
    else:
        assert continued(series.movedim(1, -1), 0).shape == (2, 3, 4, 0)


def test_silence_and_a_single_entry_go_on_as_silence():
    assert not continued(torch.zeros(2, 5, dtype=torch.complex64), 3).any()
    assert not continued(torch.ones(2, 1, dtype=torch.complex64), 3).any()


@settings(max_examples=20)
@given(st.floats(0.01, 100.0), PHASES, PHASES)
def test_what_is_reconstructed_turns_with_the_channel(size, phase, doppler):
    """A complex factor and a Doppler shift of the channel are those of the reconstruction."""
    model = backbone(architecture={"reference": "rotation"}).eval().double()
    generator = torch.Generator().manual_seed(1)
    bins = to_complex(torch.randn(1, 24, 8, dtype=torch.float64, generator=generator))
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[:, :12] = False  # every position is seen in two frames in a row
    turn = size * torch.polar(torch.ones(4).double(), phase + doppler * torch.arange(4).double())
    factor = turn.repeat_interleave(6)[None, :, None]
    straight = to_complex(model.reconstruction(to_features(bins), mask, (4, 3, 2)))
    turned = to_complex(model.reconstruction(to_features(factor * bins), mask, (4, 3, 2)))
    assert (turned - factor * straight).norm() < 1e-8 * (factor * straight).norm()


@pytest.mark.parametrize("hidden", [slice(3, 5), slice(0, 0)])
def test_a_path_looks_the_same_in_every_frame_unless_nothing_is_hidden(hidden):
    series = torch.polar(torch.tensor(2.0), 0.7 * torch.arange(5))[None, :, None]
    mask = torch.zeros(1, 5, dtype=torch.bool)
    mask[:, hidden] = True
    tokens = to_features(series.masked_fill(mask.unsqueeze(-1), 0))
    mean = tokens.square().mean(dim=-1).sum(dim=1, keepdim=True) / (~mask).sum()
    read = to_complex(tokens) / reference(tokens, mask, mean, 5, "rotation")
    seen = read[~mask]
    if mask.any():
        assert torch.allclose(seen, seen[:1].expand_as(seen), atol=1e-5)
    else:
        assert torch.allclose(seen[1:] / seen[:-1], torch.polar(torch.tensor(1.0), torch.tensor(0.7)), atol=1e-5)
