"""A network that continues one sequence of a channel at a time: what it is shown, its loss, and its answers.

A family derives from `SequenceNetwork` and defines `continue_features`. What the sequences are is told in
wavefoundry/networks/sequences/sequence_layout.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.linear_prediction import continued as linearly_continued
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.mixture import Mixture
from wavefoundry.networks.sequences.sequence_layout import among, csi_of, draw, predicted, sequences_of, taken
from wavefoundry.networks.sequences.sequence_options import AntennaPorts, SequenceOptions
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
    """What is learnt from in one step.

    known: complex (batch, sequence, known slot, value), noisy.
    wanted: complex (batch, sequence, horizon, value), clean.
    linear: what linear prediction says of them; None of a network that is not mixed with it.
    weights: what each sequence counts, (batch, sequence).
    power: mean power of all that is wanted of a sample, also of what is not drawn, (batch,).
    """

    known: torch.Tensor
    wanted: torch.Tensor
    linear: torch.Tensor | None
    weights: torch.Tensor
    power: torch.Tensor


class SequenceNetwork(PreTrainedModel):
    """See the module; `continue_features` is the network proper."""

    main_input_name = "csi"
    options: SequenceOptions

    def __init__(self, config):
        super().__init__(config)
        self.options = options = config.settings
        mixing, link = options.linear_prediction, options.link
        values = 2 * options.width * (link.known_slots + 2 * link.horizon)
        self.mixture = mixing and Mixture(mixing, values, link.horizon)

    def _init_weights(self, module: nn.Module) -> None:
        """The first weights are those of PyTorch's layers, unless a family sets others."""

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """The slots after the known ones.

        Args:
            features: (sequence, known slot, 2 x value), normalised; real and imaginary parts alternate.
            trace: takes what the loss or an objective of distillation reads.

        Returns:
            (sequence, horizon, 2 x value), normalised alike.
        """
        raise NotImplementedError

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of window, band, noise and sequences, on the CPU.

        Returns:
            "loss", "nmse" and the terms of the family.
        """
        return self.solve(self.draw(csi, generator), Trace())

    def draw(self, csi: torch.Tensor, generator: torch.Generator) -> Excerpt:
        """One window and band for the batch, noise and sequences for each sample; only what is known gets noise."""
        link, (batch, slots, _, subcarriers) = self.options.link, csi.shape

        def start(room: int) -> int:
            return int(torch.randint(room + 1, (), generator=generator))

        bands = 1 if link.band == "same" else 2
        first = start(slots - link.known_slots - link.horizon)
        low = start(subcarriers - bands * link.subcarriers)
        csi = csi[:, first : first + link.known_slots + link.horizon]
        csi = csi[..., low : low + bands * link.subcarriers]
        lowest, highest = self.options.snr_db
        snr_db = lowest + (highest - lowest) * torch.rand(batch, generator=generator)
        known = add_noise(csi[:, : link.known_slots, :, : link.subcarriers], snr_db, generator)
        wanted = csi[:, link.known_slots :, :, -link.subcarriers :]

        power, linear = wanted.abs().square().mean((1, 2, 3)), self._linear(known, link.horizon)
        known, wanted = sequences_of(known, self.options), sequences_of(wanted, self.options)
        places, weights = draw(known, self.options, generator)
        linear = None if linear is None else taken(sequences_of(linear, self.options), places)
        return Excerpt(taken(known, places), taken(wanted, places), linear, weights, power)

    def solve(self, excerpt: Excerpt, trace: Trace) -> dict[str, torch.Tensor]:
        """NMSE of the continuation of what is known, the mean of the samples' ratios, and the terms of the family."""

        def nmse(found: torch.Tensor) -> torch.Tensor:
            errors = (found - excerpt.wanted).abs().square().mean((2, 3))
            error = (errors * excerpt.weights).mean(1)
            return (error / excerpt.power.clamp_min(torch.finfo(error.dtype).tiny)).mean()

        own = self.continued(excerpt.known, trace)
        reported, found, loss = {}, own, torch.zeros((), device=own.device)
        if self.options.linear_prediction is not None and excerpt.linear is not None:
            found, of_own = self._mixed(excerpt.known, own, excerpt.linear), nmse(own)
            loss = self.options.linear_prediction.own_weight * of_own
            reported = {"own_nmse": of_own.detach()}
        reported |= {name: term.detach() for name, term in trace.terms.items()}
        answer = nmse(found)
        return {"loss": self.loss_of(answer, trace) + loss, "nmse": answer.detach()} | reported

    def loss_of(self, nmse: torch.Tensor, trace: Trace) -> torch.Tensor:
        """What is minimised; a family may add terms of its trace."""
        return nmse

    def continued(self, known: torch.Tensor, trace: Trace, at_once: int | None = None) -> torch.Tensor:
        """The slots after the known ones of each sequence, as the network itself says.

        Args:
            known: complex (batch, sequence, known slot, value).
            trace: of the pass; of the last one if there are several.
            at_once: most sequences that the network reads in one pass; None: all.

        Returns:
            complex (batch, sequence, horizon, value).
        """
        rows = known.flatten(0, 1)
        features, undo = normalise(rows, self.options.statistics, self._turns(rows))
        parts = features.split(at_once or len(features))
        found = undo(torch.cat([self.continue_features(part.to(self.dtype), trace).float() for part in parts]))
        return found.unflatten(0, known.shape[:2])

    @torch.inference_mode()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`.

        Bands of `link.subcarriers` are continued each for itself, and beyond the horizon the network reads its own
        answers, mixed with linear prediction or not.
        """
        if reason := self.options.why_not_continue((known.shape[1], known.shape[3]), (slots, subcarriers)):
            raise InputError(reason)
        link, turns, known = self.options.link, -(-slots // self.options.link.horizon), known.to(self.device)
        linear = self._linear(known, turns * link.horizon)
        # (batch x band, slot, antenna, subcarrier)
        bands = known[:, -link.known_slots :].unflatten(3, (-1, link.subcarriers)).movedim(3, 1)
        series = sequences_of(bands.flatten(0, 1), self.options)
        if linear is None:
            others = series.new_zeros(*series.shape[:2], turns * link.horizon, series.shape[3])
        else:
            others = sequences_of(linear.unflatten(3, (-1, link.subcarriers)).movedim(3, 1).flatten(0, 1), self.options)
        places = predicted(series, self.options)
        series = taken(series, places)
        for following in taken(others, places).split(link.horizon, dim=2):
            past = series[:, :, -link.known_slots :]
            found = self.continued(past, Trace(), SEQUENCES_AT_ONCE)
            found = found if linear is None else self._mixed(past, found, following)
            series = torch.cat([series, found], dim=2)
        answer = csi_of(among(others, series[:, :, link.known_slots :], places)[:, :, :slots], self.options)
        return answer.unflatten(0, bands.shape[:2]).movedim(1, 3).flatten(3, 4)

    def _linear(self, known: torch.Tensor, slots: int) -> torch.Tensor | None:
        """What linear prediction says of so many slots of the wanted band, from known CSI; None: it is not asked."""
        if self.options.linear_prediction is None:
            return None
        above = 0 if self.options.link.band == "same" else self.options.link.subcarriers
        whole = linearly_continued(known, slots, above, self.options.linear_prediction.orders.model_dump())
        return whole[:, known.shape[1] :, :, known.shape[3] if above else 0 :]

    def _mixed(self, known: torch.Tensor, own: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        """Own answers and those of linear prediction, complex (batch, sequence, horizon, value), mixed.

        What weighs them sees what is known and what both say, turned and scaled by what is known, so that a complex
        factor of the channel changes no share. There is one for every sequence and every slot that is predicted.
        """
        assert self.mixture is not None
        rows = torch.cat([known, own, linear], dim=2).flatten(0, 1)
        turns, scale = self._turns(known.flatten(0, 1)), known.abs().square().mean((2, 3)).sqrt().flatten()
        shown = torch.view_as_real(rows if turns is None else rows * turns.conj()).flatten(1)
        share = self.mixture(shown / scale.clamp_min(torch.finfo(scale.dtype).tiny)[:, None])
        return linear + share.view(*known.shape[:2], -1, 1) * (own - linear)

    def _turns(self, rows: torch.Tensor) -> torch.Tensor | None:
        """By which sequences (sequence, slot, value) are turned, of magnitude 1; None: they are not.

        The phase of the last slot: of a port that of its strongest delay tap, (sequence, 1, 1), of taps that of every
        one, (sequence, 1, value).
        """
        if self.options.reference == "none":
            return None
        return phase(strongest_tap(rows) if isinstance(self.options.sequences, AntennaPorts) else rows[:, -1:])


def normalise(
    rows: torch.Tensor, statistics: str, turns: torch.Tensor | None
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Sequences as a network reads them, and the way back. A silent sequence comes back as silence.

    Args:
        rows: complex (sequence, slot, value).
        statistics: whose mean and deviation is used, "sequence" or "batch".
        turns: of magnitude 1, by whose conjugate the sequences are turned, complex (sequence, 1, value or 1);
            None: they are not.

    Returns:
        real (sequence, slot, 2 x value) with alternating real and imaginary parts; a function from (sequence, any
        slot, 2 x value) to complex (sequence, slot, value).
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
