"""The blocks of a language model inside a network: frozen, but for what is trained of them.

Sources: "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440, where norms and
positions are trained; "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically
Aligned LLMs and Knowledge Distillation", arXiv:2505.12729, where low-rank adapters are.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.pytorch_utils import Conv1D

from wavefoundry.errors import InputError
from wavefoundry.language_models.adapter_options import LowRankAdapters

# What layers that make queries, keys and values are called: apart in Llama-like blocks, one layer in those of GPT-2.
APART = ("q_proj", "k_proj", "v_proj")
TOGETHER = "c_attn"


class Backbone(nn.Module):
    """A language model that reads embeddings.

    Args:
        config: transformers' config as a dict, with `model_type`.
        trained: "norms" trains its normalisations and learnt positions; low-rank adapters are added and trained alone;
            None leaves all frozen.

    Raises:
        InputError: adapters for a layer that the blocks do not have.
    """

    def __init__(self, config: Mapping[str, Any], trained: Literal["norms"] | LowRankAdapters | None):
        super().__init__()
        self.model = AutoModel.from_config(AutoConfig.for_model(**config), attn_implementation="sdpa")
        self.model.requires_grad_(False)
        if trained == "norms":
            for part in self._norms_and_positions():
                part.requires_grad_(True)
        elif trained is not None:
            self._add_adapters(trained)
        # Now: a network that is loaded forgets what is frozen.
        self._frozen = sorted(name for name, weight in self.named_parameters() if not weight.requires_grad)
        # Otherwise a network around this one would draw its weights again, those of the adapters wrongly.
        for part in self.modules():
            part._is_hf_initialized = True  # type: ignore[assignment]
        self._captured: dict[str, torch.Tensor] = {}
        self._watch_last_attention()

    @property
    def width(self) -> int:
        """Width of embeddings and hidden states."""
        return self.model.config.hidden_size

    @property
    def longest(self) -> int:
        """Most tokens of a sequence."""
        return self.model.config.max_position_embeddings

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Hidden states after the last block and its norm, (sequence, token, width) of the same shape."""
        return self.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state

    @property
    def queries_keys_values(self) -> tuple[torch.Tensor, ...]:
        """Of the last block in the last pass, each (sequence, token, width), before positions are turned in."""
        if TOGETHER in self._captured:
            return self._captured[TOGETHER].chunk(3, dim=-1)
        return tuple(self._captured[name] for name in APART)

    def borrowed(self) -> dict[str, str]:
        """Names of the tensors that stay as the language model has them, and their names there."""
        return {name: _original_name(name) for name in self._frozen}

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy the weights of a language model, those that will be trained among them.

        Args:
            weights: the state dict of `AutoModel.from_config(config)`.
        """
        own = {_original_name(name): weight for name, weight in self.named_parameters() if ".lora_" not in name}
        missing = sorted(set(own) - set(weights))
        if missing:
            raise InputError(f"the language model has no {missing[0]}, which its config.json promises")
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(weights[name])

    def _norms_and_positions(self) -> list[nn.Module]:
        words = self.model.get_input_embeddings()
        return [
            part
            for part in self.model.modules()
            if type(part).__name__.endswith(("LayerNorm", "RMSNorm"))
            or (isinstance(part, nn.Embedding) and part is not words)
        ]

    def _add_adapters(self, options: LowRankAdapters) -> None:
        layers = {name: part for name, part in self.model.named_modules() if isinstance(part, nn.Linear | Conv1D)}
        found = sorted({name.rpartition(".")[2] for name in layers})
        for target in options.targets:
            if target not in found:
                raise InputError(f"lora.targets: {target!r} matches no layer of the language model, found: {found}")
        chosen = [part for name, part in layers.items() if name.rpartition(".")[2] in options.targets]
        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=options.targets,
            fan_in_fan_out=any(isinstance(part, Conv1D) for part in chosen),
        )
        inject_adapter_in_model(config, self.model)

    def _watch_last_attention(self) -> None:
        last = {name.rpartition(".")[2]: part for name, part in self.model.named_modules()}
        for name in (*APART, TOGETHER):
            if name in last:
                last[name].register_forward_hook(self._capture(name))

    def _capture(self, name: str):
        def keep(module, inputs, output):
            self._captured[name] = output

        return keep


def _original_name(name: str) -> str:
    """What a tensor is called where nothing was added to the language model."""
    return name.removeprefix("model.").replace(".base_layer.", ".")
