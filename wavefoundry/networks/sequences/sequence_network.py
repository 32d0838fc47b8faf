"""A network that continues the CSI of one antenna port at a time: what it is shown, its loss, and its answers.

Every antenna port is a sequence of its own, slots of complex subcarriers ("parallel antennas", "LLM4CP: Adapting Large
Language Models for Channel Prediction", arXiv:2406.14440). A family derives from `SequenceNetwork` and defines
`continue_features`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

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
        known, wanted = self.draw(csi, generator)
        return self.solve(known, wanted, Trace())

    def draw(self, csi: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """One window and band for the batch, ports and noise for each sample; only what is known gets noise.

        Returns:
            complex (batch, known slot, port, subcarrier) and (batch, horizon, port, subcarrier).
        """
        link, (batch, slots, antennas, subcarriers) = self.options.link, csi.shape

        def start(room: int) -> int:
            return int(torch.randint(room + 1, (), generator=generator))

        bands = 1 if link.band == "same" else 2
        first = start(slots - link.known_slots - link.horizon)
        low = start(subcarriers - bands * link.subcarriers)
        csi = csi[:, first : first + link.known_slots + link.horizon]
        csi = csi[..., low : low + bands * link.subcarriers]
        ports = torch.rand(batch, antennas, generator=generator).argsort(1)[:, : self.options.ports].to(csi.device)
        csi = csi.gather(2, ports[:, None, :, None].expand(-1, csi.shape[1], -1, csi.shape[3]))
        lowest, highest = self.options.snr_db
        snr_db = lowest + (highest - lowest) * torch.rand(batch, generator=generator)
        known = add_noise(csi[:, : link.known_slots, :, : link.subcarriers], snr_db, generator)
        return known, csi[:, link.known_slots :, :, -link.subcarriers :]

    def solve(self, known: torch.Tensor, wanted: torch.Tensor, trace: Trace) -> dict[str, torch.Tensor]:
        """NMSE of the continuation of `known`, the mean of the samples' ratios, and the terms of the family."""
        error = (self.continued(known, trace) - wanted).abs().square().sum((1, 2, 3))
        power = wanted.abs().square().sum((1, 2, 3)).clamp_min(torch.finfo(error.dtype).tiny)
        nmse = (error / power).mean()
        reported = {name: term.detach() for name, term in trace.terms.items()}
        return {"loss": self.loss_of(nmse, trace), "nmse": nmse.detach()} | reported

    def loss_of(self, nmse: torch.Tensor, trace: Trace) -> torch.Tensor:
        """What is minimised; a family may add terms of its trace."""
        return nmse

    def continued(self, known: torch.Tensor, trace: Trace, at_once: int | None = None) -> torch.Tensor:
        """Complex (batch, known slot, port, subcarrier) -> (batch, horizon, port, subcarrier).

        Args:
            known: what is continued.
            trace: of the pass; of the last one if there are several.
            at_once: most sequences that the network reads in one pass; None: all.
        """
        rows = known.transpose(1, 2).flatten(0, 1)
        features, undo = normalise(rows, self.options.statistics, self.options.reference)
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
        known = known[:, -link.known_slots :].to(self.device)
        # (batch, time, antenna x band, subcarrier)
        antennas, width = known.shape[2], known.shape[3]
        series = known.unflatten(3, (-1, link.subcarriers)).flatten(2, 3)
        found = []
        for _ in range(-(-slots // link.horizon)):
            found.append(self.continued(series[:, -link.known_slots :], Trace(), SEQUENCES_AT_ONCE))
            series = torch.cat([series, found[-1]], dim=1)
        answer = torch.cat(found, dim=1)[:, :slots]
        return answer.unflatten(2, (antennas, -1)).flatten(3, 4) if width != link.subcarriers else answer


def normalise(
    rows: torch.Tensor, statistics: str, reference: str
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Sequences as a network reads them, and the way back. A silent sequence comes back as silence.

    Args:
        rows: complex (sequence, slot, subcarrier).
        statistics: whose mean and deviation is used, "sequence" or "batch".
        reference: "phase" turns each sequence by the phase of the strongest delay tap of its last slot; or "none".

    Returns:
        real (sequence, slot, 2 x subcarrier) with alternating real and imaginary parts; a function from (sequence, any
        slot, 2 x subcarrier) to complex (sequence, slot, subcarrier).
    """
    turn = _turn(rows) if reference == "phase" else None
    features = torch.view_as_real(rows if turn is None else rows * turn.conj()).flatten(-2)
    axes = (1, 2) if statistics == "sequence" else (0, 1, 2)
    mean = features.mean(axes, keepdim=True)
    deviation = (features - mean).square().mean(axes, keepdim=True).sqrt()

    def undo(found: torch.Tensor) -> torch.Tensor:
        csi = torch.view_as_complex((found * deviation + mean).unflatten(-1, (-1, 2)).contiguous())
        return csi if turn is None else csi * turn

    return (features - mean) / deviation.clamp_min(torch.finfo(deviation.dtype).tiny), undo


def _turn(rows: torch.Tensor) -> torch.Tensor:
    """(sequence, 1, 1) of magnitude 1; 1 where the last slot is silent."""
    taps = torch.fft.ifft(rows[:, -1], dim=-1)
    strongest = taps.gather(1, taps.abs().argmax(1, keepdim=True))
    magnitude = strongest.abs()
    return torch.where(magnitude > 0, strongest / magnitude.clamp_min(1e-30), torch.ones_like(strongest))[:, :, None]


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
