"""A pretrained language model as networks are handed it."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class LanguageModel:
    """A pretrained language model and the dictionary of its word embeddings.

    name: entry of params.yaml.
    folder: of config.json and model.safetensors, as networks refer to it.
    digest: md5 of model.safetensors.
    config: transformers' config as a dict, with model_type.
    weights: state dict of `AutoModel.from_config(config)`, which has no head.
    dictionary: (rows, width).
    """

    name: str
    folder: str
    digest: str
    config: dict
    weights: dict[str, torch.Tensor] = field(repr=False)
    dictionary: torch.Tensor = field(repr=False)
