"""WiFo-CF: a codec of channel feedback for every size of channel and several rates, with experts.

Source: Liu et al., "WiFo-CF: Wireless Foundation Model for CSI Feedback", arXiv:2508.04068, and its released code, from
which this network differs where the code is at fault or says nothing:

- attention runs over the tokens of a sample; in the released code it runs over the batch, so that a reconstruction
  depends on who else is in the batch, and tokens do not see each other;
- the experts of the decoder read the normalised residual stream, not the bare output of the cross attention;
- codewords are normalised within a sample (`codeword`), and quantised to exactly 2^bits levels (`quantiser`);
- there is one embedding of tokens, for the two others of the released code are never used; and one user a sample, for
  its samples of several users are put together at random;
- in training, bits arrive wrong as often as over the uplink of the options (`wavefoundry.feedback.uplink`).
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from wavefoundry.csi.augmentation import random_symmetry
from wavefoundry.csi.given import SNAPSHOTS, as_csi, require_finite
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.rates import ENTRIES, HIGHEST, LOWEST, feedback_bits
from wavefoundry.feedback.uplink import bit_error_rate
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.trace import HiddenStates, Trace
from wavefoundry.networks.wifo_cf.codeword import WIDTH, Compressor, Expander
from wavefoundry.networks.wifo_cf.experts import ExpertLayer, Routing, balance_loss
from wavefoundry.networks.wifo_cf.options import STRIDE, Architecture, Options, why_not_cut
from wavefoundry.networks.wifo_cf.quantiser import compress, dequantise, expand, quantise, straight_through
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network

# Start of training, see WiFoCF._start_in_the_middle.
ROUTER_START = 0.02
HEAD_START = 0.2
CONVOLUTION_START = 0.1  # beside a shortcut


class WiFoCFConfig(NetworkConfig):
    """config.json of a WiFo-CF."""

    model_type = "wifo_cf"
    options_class = Options


@dataclass(frozen=True)
class Report:
    """One step of training: what is fed back, at which rates, and which bits arrive wrong.

    seen: complex (batch, antenna, subcarrier), noisy, of unit power.
    target: the same without noise.
    rates: int64 (batch, 1).
    wrong: uint8 (batch, value, HIGHEST), 1 where a bit would be turned; the first so many of a value count.
    """

    seen: torch.Tensor
    target: torch.Tensor
    rates: torch.Tensor
    wrong: torch.Tensor


class Attention(nn.Module):
    def __init__(self, architecture: Architecture):
        super().__init__()
        size = architecture.hidden_size
        self.heads = architecture.heads
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor, weights: list[torch.Tensor] | None) -> torch.Tensor:
        """What (batch, token, size) takes from the memory (batch, token, size) of its own sample."""
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if weights is None:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            # Fused attention does not give its weights away.
            weights.append((query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1))
            mixed = weights[-1] @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm transformer layer with experts in place of the feed-forward network; of the decoder with an attention
    to the decoder's input."""

    def __init__(self, architecture: Architecture, decodes: bool):
        super().__init__()
        size, experts = architecture.hidden_size, architecture.experts
        self.attention = Attention(architecture)
        self.attention_norm = nn.RMSNorm(size)
        self.memory_attention = Attention(architecture) if decodes else None
        self.memory_norm = nn.RMSNorm(size) if decodes else None
        self.experts = ExpertLayer(size, experts, experts.shared if decodes else 0)
        self.experts_norm = nn.RMSNorm(size)
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(
        self, tokens: torch.Tensor, memory: torch.Tensor, routing: Routing, weights: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, HiddenStates]:
        """Output of the layer, and the hidden states of its last attention sub-layer."""
        maps: list[torch.Tensor] | None = None if weights is None else []
        mixed = self.dropout(self.attention(tokens, tokens, maps))
        tokens = self.attention_norm(tokens + mixed)
        if self.memory_attention is not None and self.memory_norm is not None:
            mixed = self.dropout(self.memory_attention(tokens, memory, maps))
            tokens = self.memory_norm(tokens + mixed)
        if weights is not None and maps is not None:
            # The maps of both attentions count as heads of one layer.
            weights.append(torch.cat(maps, dim=1))
        hidden = HiddenStates(mixed, tokens)
        return self.experts_norm(tokens + self.dropout(self.experts(tokens, routing))), hidden


class Stack(nn.Module):
    def __init__(self, architecture: Architecture, depth: int, decodes: bool):
        super().__init__()
        self.layers = nn.ModuleList(Layer(architecture, decodes) for _ in range(depth))
        self.norm = nn.RMSNorm(architecture.hidden_size)

    def forward(
        self, tokens: torch.Tensor, routing: Routing, weights: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, HiddenStates]:
        """Normalised output, and the hidden states of the last attention sub-layer."""
        memory, hidden = tokens, HiddenStates(tokens, tokens)
        for layer in self.layers:
            tokens, hidden = layer(tokens, memory, routing, weights)
        return self.norm(tokens), hidden


class WiFoCF(PreTrainedModel):
    """The codec; nothing in it depends on the size of the channel."""

    config_class = WiFoCFConfig
    main_input_name = "csi"

    def __init__(self, config: WiFoCFConfig):
        super().__init__(config)
        self.options: Options = config.settings
        architecture = self.options.architecture
        size = architecture.hidden_size
        self.patches = nn.Conv2d(2, WIDTH, STRIDE, stride=STRIDE)
        self.embedding = nn.Linear(WIDTH, size)
        self.encoder = Stack(architecture, architecture.encoder_depth, decodes=False)
        self.to_image = nn.Linear(size, WIDTH)
        self.compressor = Compressor(architecture.channels, architecture.shortcut)
        self.expander = Expander(architecture.channels, architecture.shortcut)
        self.from_image = nn.Linear(WIDTH, size)
        self.decoder = Stack(architecture, architecture.decoder_depth, decodes=True)
        self.head = nn.Linear(size, 2 * STRIDE**2)
        self.post_init()
        # from_pretrained builds on the meta device and fills in what it loads.
        if self.device.type != "meta":
            self._start_in_the_middle()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, (nn.RMSNorm, nn.GroupNorm)):
            init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.GroupNorm) and module.bias is not None:
            init.zeros_(module.bias)

    @torch.no_grad()
    def _start_in_the_middle(self) -> None:
        """Let fresh codewords lie around the middle step of the quantiser, gates be nearly flat and answers small.

        Choice: around 1/2, where a sigmoid starts, the steps of the mu-law are so wide that the first codewords would
        tell nothing, and what tells nothing learns slowly.
        """
        middle = torch.tensor(0.5)
        bias = self.compressor.last.bias
        assert bias is not None
        init.constant_(bias, expand(middle, self.options.companding).logit().item())
        for module in self.modules():
            if isinstance(module, ExpertLayer):
                init.normal_(module.router.weight, std=ROUTER_START)
        self.head.weight.mul_(HEAD_START)
        if self.options.architecture.shortcut:
            for part in (self.compressor, self.expander):
                part.last.weight.mul_(CONVOLUTION_START)

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean; one slot of each sample is fed back.
            generator: of the slots, their symmetries, the rates, the noise and the bit errors; on the CPU.

        Returns:
            "loss"; "reconstruction_loss", the mean square error relative to the power of the sample;
            "quantisation_loss" and "balance_loss", unweighted; and for every layer and routed expert
            "share_STACK_LAYER_EXPERT", its share of the choices.

        Raises:
            InputError: a size that the codec does not take.
        """
        return self.solve(self.draw(csi, generator))

    def draw(self, csi: torch.Tensor, generator: torch.Generator) -> Report:
        """Draw what is fed back. In training mode the channels are varied first by their symmetries."""
        samples = len(csi)
        csi = csi[torch.arange(samples), torch.randint(csi.shape[1], (samples,), generator=generator)][:, None]
        if self.training:
            csi = random_symmetry(csi, generator)
        csi = csi[:, 0]
        low, high = self.options.snr_db
        noisy = add_noise(csi, low + (high - low) * torch.rand(samples, generator=generator), generator)
        scale = rms_scale(noisy)
        lowest, highest = self.options.rates
        rates = torch.randint(lowest, highest + 1, (samples, 1), generator=generator)
        uplink = self.options.uplink
        wrong = torch.zeros(samples, csi.shape[1] * csi.shape[2] // ENTRIES, HIGHEST)
        if uplink is not None:
            wrong = torch.rand(wrong.shape, generator=generator) < bit_error_rate(uplink)
        return Report(noisy / scale, csi / scale, rates.to(csi.device), wrong.to(csi.device, torch.uint8))

    def draw_all(self, csi: torch.Tensor, generator: torch.Generator) -> list[Report]:
        """What `draw` draws: feedback has no masking strategies."""
        return [self.draw(csi, generator)]

    def solve(self, task: Report, trace: Trace | None = None) -> dict[str, torch.Tensor]:
        """Loss on what was drawn, as `forward` returns it; inner values go into `trace`."""
        options, encoding, decoding = self.options, Routing(), Routing()
        values = self.codeword(task.seen, task.rates, encoding, trace)
        steps = quantise(values.detach(), task.rates, options.companding)
        quantised = dequantise(steps, task.rates, options.companding)
        received = dequantise(_disturbed(steps, task), task.rates, options.companding)
        found = self.reconstruct(straight_through(values, received), task.rates, task.seen.shape[1:], decoding, trace)
        # |.|^2 by parts: the modulus of a complex tensor costs a square root, and its gradient a division.
        error = torch.view_as_real(found - task.target).square().sum(-1).mean()
        quantisation = (quantised - values).square().mean()
        balances = [
            balance_loss(gates, chosen, options.balance)
            for routing in (encoding, decoding)
            for gates, chosen in zip(routing.gates, routing.chosen, strict=True)
        ]
        balance = torch.stack(balances).sum()
        loss = error + options.quantisation_weight * quantisation + options.balance_weight * balance
        losses = {"reconstruction_loss": error, "quantisation_loss": quantisation, "balance_loss": balance}
        detached = {name: value.detach() for name, value in losses.items()}
        return {"loss": loss} | detached | _shares("encoder", encoding) | _shares("decoder", decoding)

    def codeword(
        self, csi: torch.Tensor, rates: torch.Tensor, routing: Routing, trace: Trace | None = None
    ) -> torch.Tensor:
        """Values in (0, 1), one for each token.

        Args:
            csi: complex (batch, antenna, subcarrier), of unit power.
            rates: int64 (batch, 1).
            routing: filled with what the gates do.
            trace: if given, filled with inner values; attention is then not fused.

        Raises:
            InputError: a size that the codec does not take.
        """
        if reason := why_not_cut(*csi.shape[1:]):
            raise InputError(reason)
        # Complex numbers have no kernels of lower precision: the parts are split before.
        parts = torch.view_as_real(csi).permute(0, 3, 1, 2)
        embedded = self.embedding(self.patches(parts).flatten(2).transpose(1, 2))
        weights = None if trace is None else trace.encoder_attention
        positions = self._positions(rates, csi.shape[1:])
        encoded, hidden = self.encoder(embedded + positions, routing, weights)
        if trace is not None:
            trace.embedding, trace.encoder_hidden = embedded, hidden
        return self.compressor(self.to_image(encoded)[:, None]).flatten(1).float().sigmoid()

    def reconstruct(
        self,
        values: torch.Tensor,
        rates: torch.Tensor,
        shape: tuple[int, int] | torch.Size,
        routing: Routing,
        trace: Trace | None = None,
    ) -> torch.Tensor:
        """Channels from the values of codewords as they were received.

        Args:
            values: (batch, value).
            rates, routing, trace: as for `codeword`.
            shape: (antenna, subcarrier).

        Returns:
            complex (batch, antenna, subcarrier), of about unit power.
        """
        # In the quantiser's own scale, in which its steps are equal, from -1 to 1.
        steps = 2 * compress(values, self.options.companding) - 1
        image = self.expander(steps.unflatten(1, (1, -1, WIDTH // 8)))
        weights = None if trace is None else trace.decoder_attention
        tokens = self.from_image(image[:, 0]) + self._positions(rates, shape)
        decoded, hidden = self.decoder(tokens, routing, weights)
        parts = self.head(decoded).float().unflatten(-1, (2, STRIDE, STRIDE))
        rows, columns = shape[0] // STRIDE, shape[1] // STRIDE
        # (batch, row, column, part, antenna, subcarrier) -> (batch, row, antenna, column, subcarrier, part)
        grid = parts.unflatten(1, (rows, columns)).permute(0, 1, 4, 2, 5, 3)
        found = torch.view_as_complex(grid.flatten(3, 4).flatten(1, 2).contiguous())
        if trace is not None:
            trace.decoder_hidden, trace.output = hidden, found
        return found

    @torch.inference_mode()
    def encode(self, csi: torch.Tensor, rate: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`."""
        csi = as_csi(csi, SNAPSHOTS)
        feedback_bits(rate, *csi.shape[1:])
        require_finite(csi)
        csi = csi.to(self.device)
        rates = torch.full((len(csi), 1), rate, device=self.device)
        values = self.codeword(csi / rms_scale(csi), rates, Routing())
        return to_bits(quantise(values, rate, self.options.companding), rate).flatten(1).cpu()

    @torch.inference_mode()
    def decode(self, bits: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`."""
        if reason := why_not_cut(*shape):
            raise InputError(reason)
        values = shape[0] * shape[1] // ENTRIES
        rate, rest = divmod(bits.shape[1], values)
        if rest or not LOWEST <= rate <= HIGHEST:
            raise InputError(
                f"{bits.shape[1]} bits for a codeword of {values} values; allowed: {LOWEST} to {HIGHEST} for each"
            )
        steps = from_bits(bits.to(self.device).unflatten(1, (values, rate)))
        rates = torch.full((len(bits), 1), rate, device=self.device)
        return self.reconstruct(dequantise(steps, rate, self.options.companding), rates, shape, Routing()).cpu()

    def _positions(self, rates: torch.Tensor, shape: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Code of row and column of a token in its first half, and of the sample's rate in the second:
        (batch, token, hidden_size)."""
        width, (rows, columns) = self.options.architecture.hidden_size, (size // STRIDE for size in shape)
        row = _sine_cosine(torch.arange(rows), width // 4)[:, None].expand(-1, columns, -1)
        column = _sine_cosine(torch.arange(columns), width // 4).expand(rows, -1, -1)
        place = torch.cat([row, column], dim=-1).flatten(0, 1).to(rates.device)
        rate = _sine_cosine(rates, width // 2)
        return torch.cat([place.expand(len(rates), -1, -1), rate.expand(-1, len(place), -1)], dim=-1)


def _sine_cosine(numbers: torch.Tensor, width: int) -> torch.Tensor:
    """[sin | cos] of numbers at `width / 2` frequencies, (..., width)."""
    frequencies = 10000 ** (-2 * torch.arange(width // 2, device=numbers.device) / width)
    angles = numbers[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _disturbed(steps: torch.Tensor, task: Report) -> torch.Tensor:
    """Steps (batch, value) after the bit errors of a task."""
    # The first bit of a value of b bits has the weight 2^(b-1).
    place = task.rates[..., None] - 1 - torch.arange(HIGHEST, device=steps.device)
    turned = (task.wrong.long() << place.clamp_min(0)) * (place >= 0)
    return steps ^ turned.sum(-1)


def _shares(stack: str, routing: Routing) -> dict[str, torch.Tensor]:
    """Share of every layer's choices that fall on each of its experts."""
    found: dict[str, torch.Tensor] = {}
    for layer, (gates, chosen) in enumerate(zip(routing.gates, routing.chosen, strict=True), start=1):
        shares = torch.bincount(chosen.flatten(), minlength=gates.shape[1]) / chosen.numel()
        found |= {f"share_{stack}_{layer}_{expert}": share for expert, share in enumerate(shares, start=1)}
    return found


def build(options: Options, delay_fraction: float) -> WiFoCF:
    """A fresh codec."""
    return WiFoCF(WiFoCFConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: random slots are fed back at random rates."""
    model, history = train_network(
        build(options, session.delay_fraction),
        session.dataset,
        config=options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(model, history)


NETWORKS = (WiFoCF,)
