"""WiMamba's backbone with our selective scan against the same backbone with other Mambas, and against transformers.

python -m benchmarks.selective_scan: one thread, forward pass of 12 layers of width 128, batch 4, at the tokens of a
240 x 240 channel in patches of 8, 6 and 4. The peers:

- transformers, mambapy: WiMamba with their Mamba block in place of ours, everything else and all weights being equal.
  Their configurations know whole factors `expand` only, so the inner width of 76 is set behind them.
- mamba_model_expand_1, mamba_model_expand_2: transformers' `MambaModel` as it comes, 12 layers of width 128. One
  direction of 128 or 256 channels (WiMamba: two of 76) and no feed-forward layers: fewer weights than WiMamba has.
- lwm: the transformer of the same size, fused attention; lwm_naive: the same with attention that is not fused, up to
  NAIVE_UP_TO tokens (beyond it takes a minute).

Errors are relative to the largest output of WiMamba in double precision, its scan one step after the other.
"""

import copy
import json
from functools import partial
from unittest.mock import patch

import torch
from mambapy.mamba import MambaBlock
from mambapy.mamba import MambaConfig as MambapyConfig
from torch import nn
from transformers import MambaConfig, MambaModel
from transformers.models.mamba.modeling_mamba import MambaMixer

from benchmarks import published
from benchmarks.efficiency_table import BATCH, naive
from benchmarks.timing import medians
from wavefoundry.networks.lwm.model import LWM
from wavefoundry.networks.wimamba import model as wimamba
from wavefoundry.networks.wimamba.model import Layer, WiMamba, inner_size, step_rank
from wavefoundry.report.tables import markdown_table, significant

ROUNDS = {901: 5, 1601: 3, 3601: 3}  # tokens: rounds
NAIVE_UP_TO = 1601
SHAPE = published.WIMAMBA.architecture


class ForeignMambas(nn.Module):
    """The two Mambas of a layer, forwards and backwards, by another package with the same weights."""

    def __init__(self, layer: Layer, build):
        super().__init__()
        self.onward, self.back = build(), build()
        self.onward.load_state_dict(layer.forward_mamba.state_dict())
        self.back.load_state_dict(layer.backward_mamba.state_dict())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        onward, back = tokens.transpose(0, 1).chunk(2, dim=-1)
        return torch.cat([self.onward(onward), self.back(back.flip(1)).flip(1)], dim=-1).transpose(0, 1)


def transformers_block() -> nn.Module:
    config = MambaConfig(
        hidden_size=SHAPE.hidden_size // 2,
        state_size=SHAPE.state_size,
        conv_kernel=SHAPE.conv_kernel,
        time_step_rank=step_rank(SHAPE),
        expand=1,
    )
    config.intermediate_size = inner_size(SHAPE)
    return MambaMixer(config, layer_idx=0)


def mambapy_block() -> nn.Module:
    config = MambapyConfig(
        d_model=SHAPE.hidden_size // 2, n_layers=1, dt_rank=step_rank(SHAPE), d_state=SHAPE.state_size
    )
    config.d_inner = inner_size(SHAPE)
    return MambaBlock(config)


def with_blocks_of(model: WiMamba, build) -> WiMamba:
    model = copy.deepcopy(model)
    for layer in model.layers:
        # Past nn.Module, which would file it as a child and keep calling the method.
        object.__setattr__(layer, "_scan_both", ForeignMambas(layer, build).eval())
    return model


def mamba_model(expand: int) -> MambaModel:
    config = MambaConfig(
        hidden_size=SHAPE.hidden_size,
        state_size=SHAPE.state_size,
        num_hidden_layers=SHAPE.depth,
        conv_kernel=SHAPE.conv_kernel,
        expand=expand,
        vocab_size=1,
        use_cache=False,
    )
    return MambaModel(config).eval()


def sequential_scan(inputs, step, rate, enter, leave):
    """The recurrence as it is written."""
    state = inputs.new_zeros(*inputs.shape[1:3], *rate.shape[1:])
    outputs = torch.empty_like(inputs)
    for t in range(len(inputs)):
        moment = step[t, ..., None]
        state = (moment * rate[:, None]).exp() * state + moment * enter[t, :, :, None] * inputs[t, ..., None]
        outputs[t] = (state * leave[t, :, :, None]).sum(-1)
    return outputs


def measure(tokens: int, wimamba_models: dict[str, WiMamba], others: dict, lwm: LWM) -> dict:
    hidden = torch.randn(BATCH, tokens, SHAPE.hidden_size, generator=torch.Generator().manual_seed(tokens))

    grid = (1, tokens - 1)
    functions = {name: lambda model=model: model.encode(hidden, grid) for name, model in wimamba_models.items()}
    functions |= {name: lambda model=model: model(inputs_embeds=hidden) for name, model in others.items()}
    functions["lwm"] = lambda: lwm.encode(hidden, grid)
    if tokens <= NAIVE_UP_TO:
        functions["lwm_naive"] = partial(naive, functions["lwm"])
    seconds = medians(functions, ROUNDS[tokens])

    with patch.object(wimamba, "selective_scan", sequential_scan):
        exact = copy.deepcopy(wimamba_models["ours"]).double().encode(hidden.double(), grid)
    errors = {
        name: ((model.encode(hidden, grid) - exact).abs().max() / exact.abs().max()).item()
        for name, model in wimamba_models.items()
    }
    return {
        "seconds": seconds,
        "ratio": {name: value / seconds["ours"] for name, value in seconds.items()},
        "error": errors,
    }


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["backbone", "weights", *(f"{int(tokens):,} tokens" for tokens in result["tokens"])]
    names = list(dict.fromkeys(name for found in result["tokens"].values() for name in found["seconds"]))
    rows = []
    for name in names:
        cells = []
        for found in result["tokens"].values():
            if name not in found["seconds"]:
                cells.append("not run")
            elif name == "ours":
                cells.append(f"{found['seconds'][name]:.2f} s")
            else:
                cells.append(f"{significant(found['ratio'][name], 2)} times as long")
        rows.append([name, f"{result['parameters'][name]:,}", *cells])
    for name in ("ours", "transformers", "mambapy"):
        errors = (f"{found['error'][name]:.0e}" for found in result["tokens"].values())
        rows.append([f"error of {name}", "", *errors])
    return markdown_table(header, rows)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = published.wimamba()
    wimamba_models = {
        "ours": model,
        "transformers": with_blocks_of(model, transformers_block),
        "mambapy": with_blocks_of(model, mambapy_block),
    }
    others = {f"mamba_model_expand_{expand}": mamba_model(expand) for expand in (1, 2)}
    lwm = published.lwm(max(ROUNDS))
    with torch.inference_mode():
        results = {tokens: measure(tokens, wimamba_models, others, lwm) for tokens in ROUNDS}
    sizes = {**wimamba_models, **others, "lwm": lwm, "lwm_naive": lwm}
    print(
        json.dumps(
            {
                "batch": BATCH,
                "threads": 1,
                "parameters": {name: sum(p.numel() for p in each.parameters()) for name, each in sizes.items()},
                "tokens": results,
            }
        )
    )


if __name__ == "__main__":
    main()
