"""Registers the models with transformers' Auto classes, so that a folder is loaded by what its config.json says."""

from transformers import AutoConfig, AutoModel

from wavefoundry.models.lwm import LWM, LWMConfig
from wavefoundry.models.lwm_temporal import (
    LWMTemporal,
    LWMTemporalConfig,
    LWMTemporalPredictor,
    LWMTemporalPredictorConfig,
)
from wavefoundry.models.wifo import WiFo, WiFoConfig
from wavefoundry.models.wimamba import WiMamba, WiMambaConfig

for config, model in (
    (LWMConfig, LWM),
    (LWMTemporalConfig, LWMTemporal),
    (LWMTemporalPredictorConfig, LWMTemporalPredictor),
    (WiFoConfig, WiFo),
    (WiMambaConfig, WiMamba),
):
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(config, model, exist_ok=True)
