"""A network that continues the CSI of one antenna port at a time: what it is shown, its loss, and its answers.

Every antenna port is a sequence of its own, slots of complex subcarriers ("parallel antennas", "LLM4CP: Adapting Large
Language Models for Channel Prediction", arXiv:2406.14440). A family derives from `SequenceNetwork` and defines
`continue_features`.

With `domain: angle_delay`, which is ours, the sequences are the angles of the array, slots of complex delay taps. A
subcarrier of a port is the sum of all paths, which turn each at its own rate; a tap of an angle holds few of them, and
with `reference: phase` it is shown turned to where it was last, so that taps which turn alike look alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.training.few_shot import FewShot
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network

# Of a prediction, in one pass: a batch of wide bands from large arrays is thousands of sequences.
SEQUENCES_AT_ONCE = 1024


@dataclass
class Trace:
    """Inner values of one pass, for losses.

    terms: scalars that the loss contains or reports.
    queries_keys_values: of the last self-attention layer, each (sequence, token, width).
    """

    terms: dict[str, torch.Tensor] = field(default_factory=dict)
    queries_keys_values: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True)
class Excerpt:
    """What is learnt from in one step, in the domain in which it is continued.

    known: complex (batch, known slot, port or angle, subcarrier or delay), noisy.
    wanted: complex (batch, horizon, port or angle, subcarrier or delay), clean.
    power: mean power of what is wanted at all ports, (batch,).
    """

    known: torch.Tensor
    wanted: torch.Tensor
    power: torch.Tensor


class SequenceNetwork(PreTrainedModel):
    """See the module; `continue_features` is the network proper."""

    main_input_name = "csi"
    options: SequenceOptions

    def __init__(self, config):
        super().__init__(config)
        self.options = config.settings

    def _init_weights(self, module: nn.Module) -> None:
        """The first weights are those of PyTorch's layers, unless a family sets others."""

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """The slots after the known ones.

        Args:
            features: (sequence, known slot, 2 x subcarrier), normalised; real and imaginary parts alternate.
            trace: takes what the loss or an objective of distillation reads.

        Returns:
            (sequence, horizon, 2 x subcarrier), normalised alike.
        """
        raise NotImplementedError

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of window, band, ports and noise, on the CPU.

        Returns:
            "loss", "nmse" and the terms of the family.
        """
        return self.solve(self.draw(csi, generator), Trace())

    def draw(self, csi: torch.Tensor, generator: torch.Generator) -> Excerpt:
        """One window and band for the batch, noise and ports for each sample; only what is known gets noise."""
        link, (batch, slots, antennas, subcarriers) = self.options.link, csi.shape

        def start(room: int) -> int:
            return int(torch.randint(room + 1, (), generator=generator))

        bands = 1 if link.band == "same" else 2
        first = start(slots - link.known_slots - link.horizon)
        low = start(subcarriers - bands * link.subcarriers)
        csi = csi[:, first : first + link.known_slots + link.horizon]
        csi = csi[..., low : low + bands * link.subcarriers]
        ports = torch.rand(batch, antennas, generator=generator).argsort(1)[:, : self.options.ports].to(csi.device)
        lowest, highest = self.options.snr_db
        snr_db = lowest + (highest - lowest) * torch.rand(batch, generator=generator)
        known = add_noise(csi[:, : link.known_slots, :, : link.subcarriers], snr_db, generator)
        wanted = csi[:, link.known_slots :, :, -link.subcarriers :]

        def drawn(box: torch.Tensor) -> torch.Tensor:
            box = self._shown(box)
            return box.gather(2, ports[:, None, :, None].expand(-1, box.shape[1], -1, box.shape[3]))

        return Excerpt(drawn(known), drawn(wanted), wanted.abs().square().mean((1, 2, 3)))

    def solve(self, excerpt: Excerpt, trace: Trace) -> dict[str, torch.Tensor]:
        """NMSE of the continuation of what is known, the mean of the samples' ratios, and the terms of the family."""
        error = (self.continued(excerpt.known, trace) - excerpt.wanted).abs().square().mean((1, 2, 3))
        nmse = (error / excerpt.power.clamp_min(torch.finfo(error.dtype).tiny)).mean()
        reported = {name: term.detach() for name, term in trace.terms.items()}
        return {"loss": self.loss_of(nmse, trace), "nmse": nmse.detach()} | reported

    def loss_of(self, nmse: torch.Tensor, trace: Trace) -> torch.Tensor:
        """What is minimised; a family may add terms of its trace."""
        return nmse

    def continued(self, known: torch.Tensor, trace: Trace, at_once: int | None = None) -> torch.Tensor:
        """Complex (batch, known slot, port, subcarrier) -> (batch, horizon, port, subcarrier), or of angles and delays.

        Args:
            known: what is continued, in the domain in which it is.
            trace: of the pass; of the last one if there are several.
            at_once: most sequences that the network reads in one pass; None: all.
        """
        rows = known.transpose(1, 2).flatten(0, 1)
        features, undo = normalise(rows, self.options.statistics, self._turns(rows))
        parts = features.split(at_once or len(features))
        found = undo(torch.cat([self.continue_features(part.to(self.dtype), trace).float() for part in parts]))
        return found.unflatten(0, (known.shape[0], -1)).transpose(1, 2)

    @torch.inference_mode()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`.

        Bands of `link.subcarriers` are continued each for itself, and beyond the horizon the network reads its own
        answers.
        """
        if reason := self.options.why_not_continue((known.shape[1], known.shape[3]), (slots, subcarriers)):
            raise InputError(reason)
        link = self.options.link
        # (batch x band, time, antenna, subcarrier)
        bands = known[:, -link.known_slots :].to(self.device).unflatten(3, (-1, link.subcarriers)).movedim(3, 1)
        series, found = self._shown(bands.flatten(0, 1)), []
        for _ in range(-(-slots // link.horizon)):
            found.append(self.continued(series[:, -link.known_slots :], Trace(), SEQUENCES_AT_ONCE))
            series = torch.cat([series, found[-1]], dim=1)
        answer = self._given(torch.cat(found, dim=1)[:, :slots])
        return answer.unflatten(0, bands.shape[:2]).movedim(1, 3).flatten(3, 4)

    def _shown(self, csi: torch.Tensor) -> torch.Tensor:
        """CSI (batch, time, antenna, subcarrier) in the domain in which it is continued."""
        if self.options.domain == "antenna_frequency":
            return csi
        return to_angle_delay(csi, (1, 1, csi.shape[2]), csi.shape[3])

    def _given(self, found: torch.Tensor) -> torch.Tensor:
        """Inverse of `_shown`."""
        if self.options.domain == "antenna_frequency":
            return found
        return to_csi(found, (1, 1, found.shape[2]), found.shape[3])

    def _turns(self, rows: torch.Tensor) -> torch.Tensor | None:
        """By which sequences (sequence, slot, subcarrier or delay) are turned, of magnitude 1; None: they are not.

        The phase of the last slot: of the strongest delay tap, (sequence, 1, 1), or of every one, (sequence, 1, delay).
        """
        if self.options.reference == "none":
            return None
        return phase(rows[:, -1:]) if self.options.domain == "angle_delay" else phase(strongest_tap(rows))


def normalise(
    rows: torch.Tensor, statistics: str, turns: torch.Tensor | None
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Sequences as a network reads them, and the way back. A silent sequence comes back as silence.

    Args:
        rows: complex (sequence, slot, subcarrier).
        statistics: whose mean and deviation is used, "sequence" or "batch".
        turns: of magnitude 1, by whose conjugate the sequences are turned, complex (sequence, 1, subcarrier or 1);
            None: they are not.

    Returns:
        real (sequence, slot, 2 x subcarrier) with alternating real and imaginary parts; a function from (sequence, any
        slot, 2 x subcarrier) to complex (sequence, slot, subcarrier).
    """
    features = torch.view_as_real(rows if turns is None else rows * turns.conj()).flatten(-2)
    axes = (1, 2) if statistics == "sequence" else (0, 1, 2)
    mean = features.mean(axes, keepdim=True)
    deviation = (features - mean).square().mean(axes, keepdim=True).sqrt()

    def undo(found: torch.Tensor) -> torch.Tensor:
        csi = torch.view_as_complex((found * deviation + mean).unflatten(-1, (-1, 2)).contiguous())
        return csi if turns is None else csi * turns

    return (features - mean) / deviation.clamp_min(torch.finfo(deviation.dtype).tiny), undo


def strongest_tap(rows: torch.Tensor) -> torch.Tensor:
    """The strongest delay tap of the last slot of sequences (sequence, slot, subcarrier): (sequence, 1, 1)."""
    taps = torch.fft.ifft(rows[:, -1:], dim=-1)
    return taps.gather(2, taps.abs().argmax(2, keepdim=True))


def phase(values: torch.Tensor) -> torch.Tensor:
    """Complex values divided by their magnitudes; 1 where they are 0."""
    magnitude = values.abs()
    return torch.where(magnitude > 0, values / magnitude.clamp_min(1e-30), torch.ones_like(values))


def train(network: SequenceNetwork, session: TrainingSession) -> Trained:
    """The only phase of these families: NMSE of the continuation."""
    model, history = train_network(
        network,
        training_data(network.options, session),
        config=network.options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(model, history)


def training_data(options: SequenceOptions, session: TrainingSession):
    """All samples of the session, or the share of `few_shot`, at least one."""
    if options.few_shot is None:
        return session.dataset
    return FewShot(session.dataset, max(1, round(options.few_shot * len(session.dataset))), session.seed)
