"""Mixed precision, as on a GPU, gives nearly the loss and the gradients of single precision."""

import pytest
import torch

from tests.networks.convolutional.example import convolutional
from tests.networks.llm4cp.example import llm4cp
from tests.networks.lwm_temporal.example import backbone, predictor
from tests.networks.recurrent.example import recurrent
from tests.networks.sequences.example import MIXING
from tests.networks.spectral_predictor.example import spectral_predictor
from tests.networks.transformer_predictor.example import transformer_predictor
from tests.networks.wifo.example import wifo
from tests.networks.wifo_cf.example import wifo_cf

TEMPORAL = {"temporal_offsets": [-2, -1]}
MODELS = {
    "convolutional": (convolutional, (4, 8, 8, 8)),
    "llm4cp": (llm4cp, (4, 8, 8, 8)),
    "lwm_temporal": (lambda: backbone(architecture=TEMPORAL), (2, 4, 8, 4)),
    "lwm_temporal_predictor": (lambda: predictor(prediction=TEMPORAL), (2, 4, 8, 4)),
    "recurrent": (recurrent, (4, 8, 8, 8)),
    "spectral_predictor": (spectral_predictor, (4, 8, 8, 8)),
    "transformer_predictor": (transformer_predictor, (4, 8, 8, 8)),
    "wifo": (lambda: wifo(architecture={"patch_size": [4, 4, 4], "hidden_size": 64}), (2, 8, 8, 8)),
    "wifo_mixed": (
        lambda: wifo(architecture={"patch_size": [4, 4, 4], "hidden_size": 64, "linear_prediction": MIXING}),
        (2, 8, 8, 8),
    ),
    "recurrent_mixed": (lambda: recurrent(linear_prediction=MIXING), (4, 8, 8, 8)),
    # All experts at the fixed rate of finest steps: what is rounded otherwise must not choose otherwise.
    "wifo_cf": (lambda: wifo_cf(rates=[12, 12], architecture={"experts": {"chosen": 6}}), (4, 8, 8, 16)),
}


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_autocast_agrees_with_single_precision(name):
    build, shape = MODELS[name]
    model = build()
    csi = torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))

    def run(mixed: bool):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = model(csi, torch.Generator().manual_seed(1))["loss"]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    (full, gradient), (mixed, mixed_gradient) = run(False), run(True)
    assert mixed == pytest.approx(full, rel=0.03)
    assert torch.nn.functional.cosine_similarity(gradient, mixed_gradient, dim=0) > 0.98
