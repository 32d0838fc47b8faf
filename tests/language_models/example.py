"""Tiny language models of two architectures, and a Python package that carries one."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

BLOCKS, WIDTH, WORDS = 4, 32, 64
ARCHITECTURES = {
    "gpt2": {"n_layer": BLOCKS, "n_embd": WIDTH, "n_head": 4, "n_positions": 48, "resid_pdrop": 0.0},
    "llama": {
        "num_hidden_layers": BLOCKS,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 48,
    },
}
TOKENS = {"vocab_size": WORDS, "bos_token_id": 1, "eos_token_id": 2}


def tiny(kind: str, **changes):
    """A language model with random weights, as one with its head."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **ARCHITECTURES[kind] | TOKENS | changes)
    return AutoModelForCausalLM.from_config(config).eval()


def write_gguf(path: Path, model) -> None:
    """The weights of a tiny llama in the format of llama.cpp, which orders queries and keys otherwise."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, value in model.state_dict().items():
        values = value.numpy()
        for part, count in heads.items():
            if part in name:
                values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder: Path, files: dict[str, bytes], licence: str | None = "Be kind.\n") -> Path:
    """A wheel `tiny_lm` 1.0 that pip takes, with more files in it."""
    inside = "tiny_lm-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: tiny-lm\nVersion: 1.0\nLicense: Apache-2.0\n"
    listed = files | {
        f"{inside}/METADATA": metadata.encode(),
        f"{inside}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{inside}/RECORD": b"",
    }
    if licence is not None:
        listed[f"{inside}/LICENSE"] = licence.encode()
    path = folder / "tiny_lm-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in listed.items():
            archive.writestr(name, content)
    return path
