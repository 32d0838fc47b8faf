"""Tracks of propagation paths between the key positions at which they were traced.

A track that is valid at both ends of a segment goes on between them: its phase is the cubic through the phases and
Doppler shifts at both keys, its magnitude, delay and direction change linearly. A track that is valid at one end only
is born or dies in the segment: it moves on by its own Doppler shift and delay rate, and fades linearly. Source: model
card of LWM-Temporal (arXiv:2603.10024), data; the delay rate of a path is minus its Doppler shift over the carrier.
"""

from dataclasses import dataclass
from math import pi

import torch


@dataclass(frozen=True)
class Tracks:
    """Tracks at key positions; entries that are not `valid` are 0.

    Attributes:
        amplitude: complex64 (link, key, path, polarisation), with the carrier phase.
        delay: float64 (link, key, path) [s].
        doppler: float64 (link, key, path) [Hz].
        direction: float64 (link, key, path, 3), unit vectors of departure in the frame of the array.
        valid: bool (link, key, path).
    """

    amplitude: torch.Tensor
    delay: torch.Tensor
    doppler: torch.Tensor
    direction: torch.Tensor
    valid: torch.Tensor


@dataclass(frozen=True)
class Evolution:
    """Tracks at every slot; delay and direction have one slot where they hold for all.

    Attributes:
        gain: complex64 (link, slot, path, polarisation).
        delay: float64 (link, slot or 1, path) [s].
        direction: float64 (link, slot or 1, path, 3).
    """

    gain: torch.Tensor
    delay: torch.Tensor
    direction: torch.Tensor


def evolve(tracks: Tracks, key_times: torch.Tensor, times: torch.Tensor, carrier_frequency: float) -> Evolution:
    """Tracks at the times of the slots.

    With one key, delay and direction hold for the whole window and the phase follows the Doppler shift, as in the
    channel impulse response of sionna-rt.

    Args:
        tracks: at the keys.
        key_times: float64 (key,) [s], rising; the first and the last slot are keys where there is more than one.
        times: float64 (slot,) [s].
        carrier_frequency: [Hz].
    """
    if len(key_times) == 1:
        turns = _turns(tracks.amplitude) + (tracks.doppler * (times - key_times)[:, None])[..., None]
        return Evolution(_phasor(tracks.amplitude.abs(), turns), tracks.delay, tracks.direction)
    segment = (torch.searchsorted(key_times.contiguous(), times, right=True) - 1).clamp(0, len(key_times) - 2)
    before, after = _at(tracks, segment), _at(tracks, segment + 1)
    # Axes (slot, path); times from the key before and from the key after, which are not negative and not positive.
    since, until = ((times - key_times[index])[:, None] for index in (segment, segment + 1))
    share = since / (since - until)

    goes_on = before.valid & after.valid
    of_before, of_after = (goes_on | side.valid for side in (before, after))
    moved = _moved(before, since, carrier_frequency), _moved(after, until, carrier_frequency)
    turns = torch.where(of_before[..., None], moved[0][0], moved[1][0])
    turns = torch.where(goes_on[..., None], _cubic(before, after, since, until), turns)
    delay = torch.where(of_before, moved[0][1], moved[1][1])
    delay = torch.where(goes_on, torch.lerp(before.delay, after.delay, share), delay)
    weight = torch.where(goes_on, share, torch.where(of_after, 1.0, 0.0))[..., None]
    direction = torch.lerp(before.direction, after.direction, weight)
    # Where a track is not valid its amplitude is 0, so that this is the fade of those that are born or die as well.
    magnitude = torch.lerp(_magnitude(before), _magnitude(after), share[..., None])
    return Evolution(_phasor(magnitude, turns), delay, direction)


def _at(tracks: Tracks, keys: torch.Tensor) -> Tracks:
    """The tracks at one key for each slot, slots in the place of keys."""
    return Tracks(**{name: values[:, keys] for name, values in vars(tracks).items()})


def _turns(amplitude: torch.Tensor) -> torch.Tensor:
    return amplitude.angle().double() / (2 * pi)


def _magnitude(tracks: Tracks) -> torch.Tensor:
    return tracks.amplitude.abs().double()


def _moved(tracks: Tracks, elapsed: torch.Tensor, carrier_frequency: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Phase [turns] and delay [s] that a track has `elapsed` seconds after its key by its own rates."""
    gained = tracks.doppler * elapsed
    return _turns(tracks.amplitude) + gained[..., None], tracks.delay - gained / carrier_frequency


def _cubic(before: Tracks, after: Tracks, since: torch.Tensor, until: torch.Tensor) -> torch.Tensor:
    """Phase [turns] by cubic Hermite interpolation; of the whole turns in between, those that both Dopplers explain."""
    duration = (since - until)[..., None]
    share = since[..., None] / duration
    start, gap = _turns(before.amplitude), _turns(after.amplitude) - _turns(before.amplitude)
    first, last = before.doppler[..., None] * duration, after.doppler[..., None] * duration
    gap = gap + torch.round((first + last) / 2 - gap)
    return start + share * (first + share * (3 * gap - 2 * first - last + share * (first + last - 2 * gap)))


def _phasor(magnitude: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    angle = 2 * pi * torch.remainder(turns, 1.0)
    return torch.polar(magnitude.to(angle.dtype), angle).to(torch.complex64)
