"""A small LLM4CP on a small language model with random weights."""

import torch
from transformers import AutoConfig, AutoModel

from tests.networks.sequences.example import SEQUENCES
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.llm4cp.model import LLM4CP, on
from wavefoundry.networks.llm4cp.options import Options

CONFIGS = {
    "gpt2": {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 16,
        "n_head": 2,
        "n_positions": 32,
        "vocab_size": 24,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "llama": {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 32,
        "vocab_size": 24,
    },
}
SMALL = Options.model_validate(
    SEQUENCES | {"language_model": "gpt2", "patch": 2, "conv_channels": 4, "conv_blocks": 1, "dropout": 0.0}
)


def language_model(kind: str = "gpt2") -> LanguageModel:
    """Of two blocks with random weights."""
    torch.manual_seed(3)
    weights = AutoModel.from_config(AutoConfig.for_model(**CONFIGS[kind])).state_dict()
    return LanguageModel(kind, "nowhere", "0", CONFIGS[kind], weights, torch.randn(5, 16))


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(link={"horizon": 3})."""
    return SMALL.changed(changes)


def llm4cp(kind: str = "gpt2", seed: int = 0, **changes) -> LLM4CP:
    """A fresh network in training mode."""
    model = language_model(kind)
    torch.manual_seed(seed)
    return on(options(language_model=kind, **changes), model).train()
