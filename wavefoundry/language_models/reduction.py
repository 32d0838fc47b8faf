"""The first blocks of a language model, without its head.

What differs between architectures (the name of the list of blocks, of their number in the configuration) is asked of
the model and of its configuration.
"""

import json
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from wavefoundry.errors import InputError

# What a configuration says of the file that it was read from.
OF_THE_FILE = ("_name_or_path", "_model_name_or_path", "quantization_config")


def reduced(backbone: PreTrainedModel, blocks: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The configuration of a shorter model, and its weights.

    Args:
        backbone: a language model without its head.
        blocks: the first so many are kept, with embeddings, positions and the final norm, where there is one.

    Returns:
        what `AutoConfig.for_model` takes, and the float32 state dict of `AutoModel.from_config` of it.

    Raises:
        InputError: the model has fewer blocks, or none that are known as such.
    """
    total = number_of_blocks(backbone.config)
    if blocks > total:
        raise InputError(f"blocks is {blocks}, allowed: 1 to {total}, the blocks of the model")
    prefix = _blocks_prefix(backbone, total)
    config = reduced_config(backbone, blocks, total)
    gone = tuple(f"{prefix}.{block}." for block in range(blocks, total))
    weights = {
        name: value.detach().to(torch.float32).contiguous().clone()
        for name, value in backbone.state_dict().items()
        if not name.startswith(gone)
    }
    _require_same(config, weights)
    return config, weights


def word_embeddings(backbone: PreTrainedModel) -> torch.Tensor:
    """(word, width)."""
    weight = backbone.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def number_of_blocks(config: PreTrainedConfig) -> int:
    """How many blocks a configuration asks for; architectures have their own names for it, which transformers maps.

    Raises:
        InputError: it tells no number.
    """
    found = getattr(config, "num_hidden_layers", None)
    if not isinstance(found, int) or found < 1:
        raise InputError(f"the configuration of {config.model_type} tells no number of blocks (num_hidden_layers)")
    return found


def reduced_config(backbone: PreTrainedModel, blocks: int, total: int) -> dict[str, Any]:
    """The configuration with another number of blocks, without a word on where it was read."""
    config = backbone.config
    content = json.loads(config.to_json_string())
    key = (config.attribute_map or {}).get("num_hidden_layers", "num_hidden_layers")
    content |= {
        key: blocks,
        "model_type": config.model_type,
        "architectures": [type(backbone).__name__],
        "dtype": "float32",
    }
    for name, value in content.items():
        # Such as layer_types: one item for each block.
        if isinstance(value, list) and "layer" in name and len(value) == total:
            content[name] = value[:blocks]
    return {name: content[name] for name in sorted(content) if name not in OF_THE_FILE}


def _blocks_prefix(backbone: nn.Module, total: int) -> str:
    """The name of the list of blocks: the outermost list of their number."""
    lists = [name for name, part in backbone.named_modules() if isinstance(part, nn.ModuleList) and len(part) == total]
    depth = min((name.count(".") for name in lists), default=0)
    outermost = [name for name in lists if name.count(".") == depth]
    if len(outermost) != 1:
        found = ", ".join(outermost) or "none"
        raise InputError(f"{type(backbone).__name__} has no single list of its {total} blocks, found: {found}")
    return outermost[0]


def _require_same(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are not, one for one, those of the network that a configuration makes."""
    with torch.device("meta"):
        wanted = AutoModel.from_config(AutoConfig.for_model(**config)).state_dict()
    shapes = {name: value.shape for name, value in weights.items()}
    different = sorted(
        name for name in {*wanted, *shapes} if name not in wanted or shapes.get(name) != wanted[name].shape
    )
    if different:
        raise InputError(
            f"{config['model_type']} with fewer blocks is another architecture, and cannot be shortened: "
            f"{', '.join(different[:4])} differ"
        )
