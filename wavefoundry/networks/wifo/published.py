"""WiFo's published weights: their names and the order of their rows, turned into ours.

Source: Liu et al., "WiFo: Wireless Foundation Model for Channel Prediction", arXiv:2412.08908, and its released code
(github.com/liuboxun/WiFo) with three-dimensional sine-cosine positions. It has one matrix each for query, key and
value, where ours is joined, and its last layer gives real and imaginary part of an entry in turn, where ours gives all
real parts first. Its tables of learnt positions are not used under these positions, and are left out.
"""

from collections.abc import Mapping

import torch

from wavefoundry.errors import InputError
from wavefoundry.networks.wifo.model import WiFo, WiFoConfig
from wavefoundry.networks.wifo.options import Options

# Ours: published. Of the layers and norms, the weight and the bias.
AROUND = {
    "embedding": "Embedding.value_embedding.tokenConv",
    "bridge": "decoder_embed",
    "head": "decoder_pred",
    "encoder.norm": "norm",
    "decoder.norm": "decoder_norm",
}
STACKS = {"encoder": "blocks", "decoder": "decoder_blocks"}
IN_LAYER = {
    "attention_norm": "norm1",
    "attention.out": "attn.proj",
    "mlp_norm": "norm2",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}
JOINED = ("attn.q", "attn.k", "attn.v")
MASK_TOKEN = "mask_token"  # (1, 1, hidden_size)
UNUSED = {
    f"{stack}pos_embed_{axis}" for stack in ("", "decoder_") for axis in ("spatial", "temporal", "fre", "antenna")
}
SHOWN = 4  # names of tensors in a message


def from_published(weights: Mapping[str, torch.Tensor], options: Options) -> WiFo:
    """The network that published weights make.

    Args:
        weights: a state dict of the released code, by its names, of any floating-point type; read as float32.
        options: of the network; its `architecture` says the sizes, which the weights must have, and with
            `position_rule` whose positions are used: the published weights were trained with "published".

    Returns:
        in evaluation mode, on the CPU.

    Raises:
        InputError: tensors are missing, unknown, of another shape than the architecture's, or not finite numbers; or
            the architecture mixes with linear prediction.
    """
    if options.architecture.linear_prediction is not None:
        raise InputError(
            f"architecture.linear_prediction is {options.architecture.linear_prediction.model_dump()}, which published "
            "weights know nothing of; allowed: null"
        )
    with torch.device("meta"):  # every tensor comes from the weights: none is drawn
        model = WiFo(WiFoConfig.of(options))
    names = published_names(model)
    wanted = {name: shape for parts in names.values() for name, shape in parts}
    _check(weights, wanted)
    found = {ours: torch.cat([weights[name].float() for name, _ in parts]) for ours, parts in names.items()}
    found["mask_token"] = found["mask_token"].flatten()
    for name in ("head.weight", "head.bias"):
        # Rows 0, 2, 4 ... are real parts, rows 1, 3, 5 ... imaginary parts.
        found[name] = torch.cat([found[name][0::2], found[name][1::2]])
    model.load_state_dict(found, assign=True)
    return model.eval()


def published_names(model: WiFo) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """Our name of each tensor, and the published names and shapes of what it is joined from along its first axis."""
    architecture = model.architecture
    size = architecture.hidden_size
    modules = dict(AROUND)
    depths = {"encoder": architecture.encoder_depth, "decoder": architecture.decoder_depth}
    for stack, depth in depths.items():
        for layer in range(depth):
            before, published = f"{stack}.blocks.{layer}", f"{STACKS[stack]}.{layer}"
            modules |= {f"{before}.{name}": f"{published}.{other}" for name, other in IN_LAYER.items()}
            modules[f"{before}.attention.qkv"] = published
    names: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, value in model.state_dict().items():
        shape = tuple(value.shape)
        module, _, kind = name.rpartition(".")
        if not module:
            names[name] = [(MASK_TOKEN, (1, 1, size))]
        elif name.endswith(f"qkv.{kind}"):
            names[name] = [(f"{modules[module]}.{part}.{kind}", (size, *shape[1:])) for part in JOINED]
        else:
            names[name] = [(f"{modules[module]}.{kind}", shape)]
    return names


def _check(weights: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    faults = []
    if missing := sorted(wanted.keys() - weights.keys()):
        faults.append(f"missing: {_some(missing)}")
    if unknown := sorted(weights.keys() - wanted.keys() - UNUSED):
        faults.append(f"unknown: {_some(unknown)}")
    there = [(name, weights[name], shape) for name, shape in wanted.items() if name in weights]
    other = [
        f"{name} {tuple(tensor.shape)}, the architecture needs {shape}"
        for name, tensor, shape in there
        if tuple(tensor.shape) != shape
    ]
    if other:
        faults.append(f"of another shape: {_some(other)}")
    wrong = [name for name, tensor, _ in there if not tensor.is_floating_point() or not tensor.isfinite().all()]
    if wrong:
        faults.append(f"not finite floating-point numbers: {_some(wrong)}")
    if faults:
        raise InputError(f"tensors of a published WiFo of these options are needed; {'; '.join(faults)}")


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
