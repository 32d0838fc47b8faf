"""Small networks of every family, and what they can do."""

import torch

from tests.networks.convolutional import example as convolutional
from tests.networks.csi_alm import example as csi_alm
from tests.networks.csi_alm_light import example as csi_alm_light
from tests.networks.gaussian_mixture import example as gaussian_mixture
from tests.networks.karhunen_loeve import example as karhunen_loeve
from tests.networks.llm4cp import example as llm4cp
from tests.networks.lmmse import example as lmmse
from tests.networks.lwm import example as lwm
from tests.networks.lwm_temporal import example as lwm_temporal
from tests.networks.recurrent import example as recurrent
from tests.networks.spectral_predictor import example as spectral_predictor
from tests.networks.transformer_predictor import example as transformer_predictor
from tests.networks.truncated_angle_delay import example as truncated_angle_delay
from tests.networks.wifo import example as wifo
from tests.networks.wifo_cf import example as wifo_cf
from tests.networks.wimamba import example as wimamba
from wavefoundry.networks.family import FamilyOptions, model_module

EXAMPLES = {
    "convolutional": convolutional.options(),
    "csi_alm": csi_alm.options(),
    "csi_alm_light": csi_alm_light.options(),
    "gaussian_mixture": gaussian_mixture.options(),
    "karhunen_loeve": karhunen_loeve.options(),
    "llm4cp": llm4cp.options(),
    "lmmse": lmmse.options(),
    "lwm": lwm.options(),
    "lwm_temporal": lwm_temporal.options(),
    "recurrent": recurrent.options(),
    "spectral_predictor": spectral_predictor.options(),
    "transformer_predictor": transformer_predictor.options(),
    "truncated_angle_delay": truncated_angle_delay.options(),
    "wifo": wifo.options(),
    "wifo_cf": wifo_cf.options(),
    "wimamba": wimamba.options(),
}
# Those that continue single sequences of a channel in time.
SEQUENCES = ("convolutional", "csi_alm", "csi_alm_light", "llm4cp", "recurrent", "transformer_predictor")
# Those of them that are built on a language model.
ON_LANGUAGE_MODELS = {"csi_alm": csi_alm.csi_alm, "llm4cp": llm4cp.llm4cp}
# Those that feed back channels, and do nothing else.
CODECS = ("karhunen_loeve", "truncated_angle_delay", "wifo_cf")
# Those that give representations.
EMBEDDING = ("lwm", "lwm_temporal", "wifo", "wimamba")
PREDICTING = ["gaussian_mixture", "lmmse", "lwm_temporal_predictor", "spectral_predictor", "wifo", *SEQUENCES]
NETWORKS = {
    "convolutional": convolutional.convolutional,
    "csi_alm": csi_alm.csi_alm,
    "csi_alm_light": csi_alm_light.light,
    "gaussian_mixture": lambda: model_module("gaussian_mixture").build(gaussian_mixture.options(), 1.0),
    "karhunen_loeve": lambda: model_module("karhunen_loeve").build(karhunen_loeve.options(), 1.0),
    "llm4cp": llm4cp.llm4cp,
    "lmmse": lambda: model_module("lmmse").build(lmmse.options(), 1.0),
    "lwm": lwm.lwm,
    "lwm_temporal": lwm_temporal.backbone,
    "lwm_temporal_predictor": lwm_temporal.predictor,
    "recurrent": recurrent.recurrent,
    "spectral_predictor": spectral_predictor.spectral_predictor,
    "transformer_predictor": transformer_predictor.transformer_predictor,
    "truncated_angle_delay": truncated_angle_delay.truncated_angle_delay,
    "wifo": wifo.wifo,
    "wifo_cf": wifo_cf.wifo_cf,
    "wimamba": wimamba.wimamba,
}


def fresh(name: str, options: FamilyOptions | None = None, delay_fraction: float = 0.5):
    """A network of a family, with the options of its example unless others are given."""
    if name in ON_LANGUAGE_MODELS:
        return ON_LANGUAGE_MODELS[name]()
    return model_module(name).build(options or EXAMPLES[name], delay_fraction)


def with_weights_that_count(network):
    """The network with weights of which none is zero, and covariances that say something of the future."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            if weights.requires_grad:
                weights.add_(0.1 * torch.randn(weights.shape, generator=generator))
            elif weights.ndim == 4:
                weights[..., 0] += 0.5
    return network.eval()
