"""Spectral efficiency of several users of one site at once, whose beams are made from predicted channels.

Zero-forcing steers the beam of each user past all others of its group; where a prediction is wrong, they hear each
other (Spencer, Swindlehurst, Haardt, "Zero-forcing methods for downlink spatial multiplexing in multiuser MIMO
channels", IEEE Transactions on Signal Processing 52(2), 2004; here of users with one antenna).
"""

import numpy as np
import torch

from wavefoundry.evaluation.options import ZeroForcing

# Added to the Gram matrix of channels of unit norm, which cannot be inverted where predictions are equal or silent.
RIDGE = 1e-9
_TINY = 1e-200


def why_no_groups(options: ZeroForcing, antennas: int, users: np.ndarray, stations: np.ndarray) -> str | None:
    """Why no group can be drawn from some samples; None if some can.

    Args:
        options: size of a group.
        antennas: of the base station.
        users, stations: whole (sample,), whom a sample is of and which base station saw it.
    """
    if options.users > antennas:
        return f"{antennas} antennas cannot tell {options.users} users apart"
    most = max((len(set(users[stations == one])) for one in set(stations)), default=0)
    if most < options.users:
        return f"no base station sees {options.users} users, {most} at most"
    return None


def draw_groups(options: ZeroForcing, users: np.ndarray, stations: np.ndarray) -> np.ndarray:
    """Groups of samples of different users that one base station has seen.

    Their samples need not be of the same moment. Base stations are drawn by their number of samples, then users, then
    one sample of each; groups may share users.

    Args:
        options: of which `why_no_groups` has said that there are groups.
        users, stations: whole (sample,).

    Returns:
        whole (group, user), numbers of samples.
    """
    generator = np.random.default_rng(options.seed)
    by_station = [np.flatnonzero(stations == one) for one in np.unique(stations)]
    seen = [samples for samples in by_station if len(set(users[samples])) >= options.users]
    shares = np.array([len(samples) for samples in seen], dtype=float)
    groups = []
    for _ in range(options.groups):
        samples = seen[generator.choice(len(seen), p=shares / shares.sum())]
        chosen = generator.choice(np.unique(users[samples]), options.users, replace=False)
        groups.append([generator.choice(samples[users[samples] == user]) for user in chosen])
    return np.array(groups)


def zero_forcing_sum_rate(predicted: torch.Tensor, channel: torch.Tensor, snr_db: float) -> torch.Tensor:
    """What all users of a group carry together, mean over slots and subcarriers.

    sum_k log2(1 + |h_k^H w_k|^2 s / (1 + sum_{j != k} |h_k^H w_j|^2 s)), where s = snr / (users p_k) and p_k is the
    mean power of one antenna of user k: every user sees `snr_db` from a single antenna that has all the power, as in
    `wavefoundry.evaluation.metrics.spectral_efficiency`, and the users share it evenly. The beams w_k are columns of
    the pseudo-inverse of the predicted channels, of norm 1.

    Args:
        predicted: complex (group, user, slot, antenna, subcarrier); the channel itself for the upper bound. A user
            whose prediction is silent is sent nothing. Its scale is of no importance.
        channel: complex, the same shape, as it really is.
        snr_db: [dB].

    Returns:
        real float64 (group,) [bit/s/Hz].
    """
    # (group, slot, subcarrier, user, antenna)
    heard, told = (each.permute(0, 2, 4, 1, 3).to(torch.complex128).contiguous() for each in (channel, predicted))
    users = channel.shape[1]
    power = _power(heard).mean((1, 2, 4))
    share = 10 ** (snr_db / 10) / users / power.clamp_min(_TINY)
    told = _unit(told)
    gram = told.conj() @ told.mT
    beams = _unit(torch.linalg.solve(gram + RIDGE * torch.eye(users, dtype=gram.dtype), told.conj()).conj())
    received = _power(heard.conj() @ beams.mT) * share[:, None, None, :, None]
    own = received.diagonal(dim1=-2, dim2=-1)
    others = (received.sum(-1) - own).clamp_min(0)
    rates = torch.log2(1 + own / (1 + others))
    return rates.sum(-1).mean((1, 2))


def _power(values: torch.Tensor) -> torch.Tensor:
    return values.real.square() + values.imag.square()


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of unit norm along the last axis; 0 stays 0."""
    return vectors / _power(vectors).sum(-1, keepdim=True).sqrt().clamp_min(_TINY)
