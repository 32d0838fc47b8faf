"""The series that a mixture is fitted on: bins of samples over time, and over frequency."""

import torch

from wavefoundry.csi.angle_delay import to_angle_delay
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.networks.gaussian_mixture.options import Mixture


def over_time(csi: torch.Tensor) -> torch.Tensor:
    """(batch, time, antenna, subcarrier) -> (batch, angle-delay bin, slot)."""
    return to_angle_delay(csi, (1, 1, csi.shape[2]), csi.shape[3]).permute(0, 2, 3, 1).flatten(1, 2)


def over_frequency(csi: torch.Tensor) -> torch.Tensor:
    """(batch, time, antenna, subcarrier) -> (batch, slot and angle bin, subcarrier)."""
    return torch.fft.fft(csi, dim=2, norm="ortho").flatten(1, 2)


class Draw:
    """Series drawn from samples, bins with more energy more often, each then scaled to unit power.

    Every sample gives the same number of series, whatever its size and power. The channel is taken for stationary, so
    half of the series are turned round: step n becomes the conjugate of step -n, which has the same covariance. Doppler
    shifts of either sign are alike, so half of those over time are conjugated besides.
    """

    def __init__(self, mixture: Mixture, name: str, either_sign: bool, generator: torch.Generator):
        """
        Args:
            mixture: says how many series, and how long at most.
            name: of the steps, in messages.
            either_sign: whether series are conjugated.
            generator: of all that is drawn.
        """
        self._mixture, self._name, self._either_sign, self._generator = mixture, name, either_sign, generator
        self._drawn: dict[int, list[torch.Tensor]] = {}

    def add(self, series: torch.Tensor, count: int) -> None:
        """Draw `count` of complex series (batch, bin, step) of each sample of a batch."""
        series = series[..., : self._mixture.length]
        energy = series.abs().square().sum(-1)
        # Silent samples have nothing to tell.
        series, energy = series[energy.sum(1) > 0], energy[energy.sum(1) > 0]
        if not len(series):
            return
        places = torch.multinomial(energy, count, replacement=True, generator=self._generator)
        drawn = series.gather(1, places[..., None].expand(-1, -1, series.shape[-1])).flatten(0, 1)
        drawn = drawn / rms_scale(drawn)
        drawn = torch.where(self._coin(len(drawn)), drawn.conj().flip(-1), drawn)
        if self._either_sign:
            drawn = torch.where(self._coin(len(drawn)), drawn.conj(), drawn)
        self._drawn.setdefault(series.shape[-1], []).append(drawn)

    def groups(self) -> list[torch.Tensor]:
        """Complex64 (series, step), one tensor for each length.

        Raises:
            InputError: nothing was drawn, or no sample is as long as the mixture.
        """
        if not self._drawn:
            raise InputError("there is no sample with any power to learn from")
        if max(self._drawn) < self._mixture.length:
            raise InputError(
                f"the mixture's length is {self._mixture.length} {self._name}, but no sample has more than "
                f"{max(self._drawn)}"
            )
        return [torch.cat(parts) for _, parts in sorted(self._drawn.items())]

    def _coin(self, count: int) -> torch.Tensor:
        return torch.rand(count, 1, generator=self._generator) < 0.5
