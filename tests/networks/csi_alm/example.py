"""A small CSI-ALM on a small language model with random weights."""

import torch
from transformers import AutoConfig, AutoModel

from tests.networks.example import TRAINING
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.csi_alm.model import CSIALM, on
from wavefoundry.networks.csi_alm.options import Options

CONFIGS = {
    "gpt2": {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 32,
        "n_head": 4,
        "vocab_size": 48,
        "n_positions": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "llama": {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "vocab_size": 48,
        "max_position_embeddings": 64,
    },
}
TARGETS = {"gpt2": ["c_attn", "c_proj", "c_fc"], "llama": ["q_proj", "v_proj"]}
PORTS = {
    "link": {"known_slots": 6, "horizon": 3, "subcarriers": 4, "band": "same"},
    "sequences": {"kind": "antenna_ports", "drawn": 2},
    "linear_prediction": None,
    "statistics": "sequence",
    "reference": "none",
    "snr_db": [20.0, 20.0],
    "few_shot": None,
    "training": TRAINING,
}


def language_model(kind: str = "llama", folder: str = "nowhere", digest: str = "0", seed: int = 3) -> LanguageModel:
    """A fresh language model of two blocks, and a dictionary of random rows."""
    torch.manual_seed(seed)
    weights = AutoModel.from_config(AutoConfig.for_model(**CONFIGS[kind])).state_dict()
    return LanguageModel(kind, folder, digest, CONFIGS[kind], weights, torch.randn(12, 32))


def options(kind: str = "llama", **changes) -> Options:
    """Options with some values replaced, mapping by mapping."""
    small = PORTS | {
        "language_model": kind,
        "blocks": True,
        "lora": {"rank": 2, "alpha": 4, "dropout": 0.1, "targets": TARGETS[kind]},
        "patch": 4,
        "conv_channels": 4,
        "conv_blocks": 1,
        "dropout": 0.1,
        "alignment": {"rows": 8, "heads": 4, "feed_forward": 16},
        "prompts": {"pool": 10, "chosen": 2, "similarity_weight": 0.1},
    }
    return Options.model_validate(small).changed(changes)


def csi_alm(kind: str = "llama", seed: int = 0, model: LanguageModel | None = None, **changes) -> CSIALM:
    """A fresh network in evaluation mode."""
    model = model or language_model(kind)
    torch.manual_seed(seed)
    return on(options(kind, **changes), model).eval()
