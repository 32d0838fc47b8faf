"""A small LWM-Temporal: the backbone, and what is made of it for prediction."""

import torch

from tests.networks.example import TRAINING
from wavefoundry.networks.lwm_temporal.model import LWMTemporal, LWMTemporalConfig, LWMTemporalPredictor, build
from wavefoundry.networks.lwm_temporal.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "patch_size": [2, 2],
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "mlp_ratio": 4.0,
            "same_frame_window": 2,
            "temporal_offsets": [-2, -1, 1],
            "temporal_spatial_window": 2,
            "temporal_drift_h": 1,
            "temporal_drift_w": 1,
            "corridor": "published",
            "routing_topk_enable": True,
            "topk_per_head": True,
            "routing_topk_fraction": 0.2,
            "routing_topk_min": 8,
            "routing_topk_max": 32,
            "class_token": False,
            "positions": "rotary",
            "phase_mode": "real_imaginary",
            "reference": "phase_and_scale",
            "max_seq_len": 5120,
        },
        "masking": {
            "strategies": ["rect", "tube", "comb", "random"],
            "min_mask_ratio": 0.4,
            "max_mask_ratio": 0.6,
            "warmup_epochs": 1,
            "curriculum": "ratio",
        },
        "augmentation": None,
        "training": TRAINING,
        "prediction": {
            "temporal_offsets": [-2, -1, 1],
            "known_fraction": 0.5,
            "horizon": None,
            "few_shot": None,
            "inference_only": False,
            "linear_start": None,
            "snr_db": [20.0, 20.0],
            "training": TRAINING,
        },
    }
)
KEPT = 0.25  # of the delay bins


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(architecture={"depth": 1})."""
    return SMALL.changed(changes)


def backbone(seed: int = 0, delay_fraction: float = KEPT, **changes) -> LWMTemporal:
    """A fresh backbone in training mode."""
    torch.manual_seed(seed)
    return LWMTemporal(LWMTemporalConfig.of(options(**changes), delay_fraction)).train()


def predictor(seed: int = 0, delay_fraction: float = KEPT, **changes) -> LWMTemporalPredictor:
    """A fresh predictor in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), delay_fraction).train()
