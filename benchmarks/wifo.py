"""WiFo against the published form of its network: a training step and a prediction, one CPU thread

`python -m benchmarks.wifo [WIDTH ...]`. Channels of the published set D1 (24 slots, 4 antennas, 128 subcarriers: 192
tokens), batch 16, encoder of 6 layers and decoder of 4, with 8 heads. The peer is the network of the released code,
rebuilt here from its description and not copied: separate products for queries, keys and values, attention that is not
fused, an embedding of all tokens before visible ones are chosen, a decoder that finishes all tokens, and PyTorch's
AdamW as it comes. Each token has the position of its own place, computed once. A step is three masks in turn with their
noise, the backward pass of their mean loss and the optimiser; ours draws symmetries of the channel besides. A
prediction is the second half of the slots from the first. Both answer alike: the difference is the relative norm
between the two predictions with the same weights. The calls in turn, medians of five after a warm-up. The products of
linear layers that a step cannot do without bound what can be gained: in brackets, the most that it could be, if our
step were these products alone, without those of attention, at the rate of one large product of that width.
"""

import argparse
import json
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published import TRAINING
from benchmarks.timing import medians
from stages.stage import clear_errors
from wavefoundry.errors import InputError
from wavefoundry.networks.axis_positions import position_encoding
from wavefoundry.networks.wifo.model import position_widths
from wavefoundry.networks.wifo.options import Options
from wavefoundry.networks.wifo.published import from_published
from wavefoundry.report.tables import markdown_table

BATCH, SHAPE, PATCH = 16, (24, 4, 128), (4, 4, 4)
GRID = tuple(size // step for size, step in zip(SHAPE, PATCH, strict=True))
HEADS, ENCODER_DEPTH, DECODER_DEPTH = 8, 6, 4
WIDTHS = (128, 256, 512)
KEPT = {"random": 0.15, "time": 0.5, "frequency": 0.5}
SNR_DB = 20.0
RATE, DECAY = 5e-4, 0.05
ROUNDS = 5


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part(tokens).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 2 * width), "fc2": nn.Linear(2 * width, width)})

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(tokens))))


class Published(nn.Module):
    """The network by the names of the released code, whose weights ours can read."""

    positions: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        convolution = nn.Conv3d(2, width, PATCH, stride=PATCH)
        self.Embedding = nn.ModuleDict({"value_embedding": nn.ModuleDict({"tokenConv": convolution})})
        self.blocks = nn.ModuleList(Block(width) for _ in range(ENCODER_DEPTH))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.decoder_blocks = nn.ModuleList(Block(width) for _ in range(DECODER_DEPTH))
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, 2 * math.prod(PATCH))
        self.register_buffer("positions", position_encoding(GRID, position_widths(width)), persistent=False)

    def forward(self, csi: torch.Tensor, order: torch.Tensor, kept: int) -> torch.Tensor:
        """All patches, real (batch, token, value of a patch, part), from the first `kept` tokens of an order.

        Args:
            csi: complex (batch, time, antenna, subcarrier).
            order: (batch, token), places in the grid.
        """
        convolution = self.get_submodule("Embedding.value_embedding.tokenConv")
        tokens = convolution(torch.stack([csi.real, csi.imag], dim=1)).flatten(2).transpose(1, 2) + self.positions
        tokens = tokens.gather(1, order[:, :kept, None].expand(-1, -1, tokens.shape[-1]))
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.decoder_embed(self.norm(tokens))
        masked = self.mask_token.expand(len(csi), order.shape[1] - kept, -1)
        tokens = torch.cat([tokens, masked], dim=1)
        tokens = tokens.gather(1, order.argsort(1)[:, :, None].expand_as(tokens)) + self.positions
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(tokens)).unflatten(-1, (-1, 2))

    def step_loss(self, csi: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean over the three masks, one after the other, of the square error of what is hidden."""
        target = torch.view_as_real(patches(csi))
        losses = []
        for strategy, share in KEPT.items():
            noise = torch.randn(csi.shape, dtype=csi.dtype, generator=generator)
            noisy = csi + noise * (csi.abs().square().mean() * 10 ** (-SNR_DB / 10)).sqrt()
            order, kept = drawn_order(strategy, generator), int(math.prod(GRID) * share)
            error = (self(noisy, order, kept) - target).square().mean((-2, -1))
            hidden = torch.ones_like(error).scatter(1, order[:, :kept], 0.0)
            losses.append((error * hidden).sum() / hidden.sum())
        return torch.stack(losses).mean()

    @torch.inference_mode()
    def predict(self, csi: torch.Tensor) -> torch.Tensor:
        """The second half of the slots of complex (batch, time, antenna, subcarrier), of which the first is read."""
        order = drawn_order("time", torch.Generator())
        found = torch.view_as_complex(self(csi, order, order.shape[1] // 2))
        boxes = found.reshape(-1, *GRID, *PATCH).permute(0, 1, 4, 2, 5, 3, 6)
        return boxes.reshape(csi.shape)[:, SHAPE[0] // 2 :]


def patches(csi: torch.Tensor) -> torch.Tensor:
    """Complex (batch, token, value of a patch)."""
    (t, n, k), (pt, pn, pk) = GRID, PATCH
    return csi.reshape(-1, t, pt, n, pn, k, pk).permute(0, 1, 3, 5, 2, 4, 6).reshape(len(csi), t * n * k, -1)


def drawn_order(strategy: str, generator: torch.Generator) -> torch.Tensor:
    """Places in the grid, visible ones first: (batch, token)."""
    places = torch.arange(math.prod(GRID))
    if strategy == "random":
        return torch.rand(BATCH, len(places), generator=generator).argsort(1)
    if strategy == "frequency":
        places = places.reshape(GRID).permute(2, 0, 1).flatten()
    return places.expand(BATCH, -1)


def options(width: int) -> Options:
    return Options.model_validate(
        {
            "architecture": {
                "patch_size": list(PATCH),
                "hidden_size": width,
                "encoder_depth": ENCODER_DEPTH,
                "decoder_depth": DECODER_DEPTH,
                "heads": HEADS,
                "mlp_ratio": 2.0,
                "position_rule": "own",
                "linear_prediction": None,
            },
            "masking": {strategy: 1 - share for strategy, share in KEPT.items()},
            "snr_db": [SNR_DB, SNR_DB],
            "training": TRAINING,
            "warm_start": False,
        }
    )


def stepping(parameters: list[nn.Parameter], loss: Callable[[], torch.Tensor], fused: bool) -> Callable[[], None]:
    """One training step."""
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY, fused=fused)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def measure(width: int) -> dict:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    csi = torch.randn(BATCH, *SHAPE, dtype=torch.complex64, generator=generator)
    peer = Published(width)
    ours = from_published(peer.state_dict(), options(width))
    known = csi[:, : SHAPE[0] // 2]
    # Ours divides by it before, and multiplies afterwards.
    scale = known.abs().square().mean((1, 2, 3), keepdim=True).sqrt()
    expected, found = scale * peer.predict(csi / scale), ours.predict(known, SHAPE[0] // 2, 0)
    predictions = {
        "ours": lambda: ours.predict(known, SHAPE[0] // 2, 0),
        "published": lambda: peer.predict(csi),
    }
    row = {
        "width": width,
        "parameters": sum(value.numel() for value in ours.parameters()),
        "relative_difference": float((found - expected).norm() / expected.norm()),
        "prediction_seconds": medians(predictions, ROUNDS),
    }
    ours.train()
    steps = {
        "ours": stepping(list(ours.parameters()), lambda: ours(csi, generator)["loss"], fused=True),
        "published": stepping(list(peer.parameters()), lambda: peer.step_loss(csi, generator), fused=False),
    }
    return row | {
        "step_seconds": medians(steps, ROUNDS),
        "step_operations": operations(steps["ours"]),
        "operations_per_second": product_rate(width),
    }


def operations(call: Callable[[], object]) -> int:
    """Floating-point operations of the products of linear layers in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def product_rate(width: int) -> float:
    """Floating-point operations a second of one product of all tokens of a batch with a linear layer's weights."""
    tokens, weights = torch.randn(BATCH * math.prod(GRID), width), torch.randn(width, 2 * width)
    seconds = medians({"product": lambda: tokens @ weights}, 5 * ROUNDS)["product"]
    return 2 * tokens.numel() * weights.shape[1] / seconds


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["width", "parameters"]
    for call in ("step", "prediction"):
        header += [f"{call}, ours [ms]", f"{call}, published [ms]", f"published / ours, {call}"]
    rows = []
    for found in result["widths"]:
        cells = [str(found["width"]), f"{found['parameters']:,}"]
        for call in ("step", "prediction"):
            seconds = found[f"{call}_seconds"]
            cells += [f"{1e3 * seconds[form]:.0f}" for form in ("ours", "published")]
            gained = f"{seconds['published'] / seconds['ours']:.2f}"
            if call == "step":
                least = found["step_operations"] / found["operations_per_second"]
                gained += f" (at most {seconds['published'] / least:.2f})"
            cells.append(gained)
        rows.append([*cells, f"{found['relative_difference']:.1e}"])
    return markdown_table([*header, "relative difference"], rows)


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wifo", description=__doc__.splitlines()[0])
    parser.add_argument("widths", nargs="*", type=int, help=f"multiples of {HEADS}, by default {list(WIDTHS)}")
    widths = parser.parse_args().widths or WIDTHS
    for width in widths:
        if width < HEADS or width % HEADS:
            raise InputError(f"width {width}, allowed: multiples of {HEADS} from {HEADS}")
    torch.set_num_threads(1)
    rows = []
    for width in widths:
        rows.append(measure(width))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"batch": BATCH, "shape": SHAPE, "threads": 1, "widths": rows}))


if __name__ == "__main__":
    main()
