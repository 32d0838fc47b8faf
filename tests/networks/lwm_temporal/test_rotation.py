"""The reference "rotation": what turns steadily looks the same whatever its rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.lwm_temporal.example import backbone
from wavefoundry.networks.lwm_temporal.reference import reference, to_complex, to_features

PHASES = st.floats(-np.pi, np.pi)


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
