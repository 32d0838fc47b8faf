"""LMMSE prediction, in numpy: what the model computes, and what its graph is held to."""

import numpy as np


class LMMSE:
    """The best linear prediction of a channel whose covariance in each angle bin is power * time (x) frequency.

    Y = H + noise is the known part of an angle bin (slot, subcarrier). With the covariances C_t and C_f of slots and
    subcarriers, and power p, the estimate of the wanted part is C(wanted, known) (C(known, known) + noise I)^-1 y with
    C = p C_t (x) C_f, computed in the eigenvectors of C_t and C_f.
    """

    def __init__(self, snr_db: float, power: np.ndarray, time: np.ndarray, frequency: np.ndarray):
        """
        Args:
            snr_db: assumed SNR of the known block [dB].
            power: (angle bin), of samples of unit power.
            time: complex (angle bin or 1, slot, slot), of unit power.
            frequency: complex (angle bin or 1, subcarrier, subcarrier), of unit power.
        """
        self._noise = 10 ** (-snr_db / 10)
        self._power, self._time, self._frequency = power.astype(np.float64), time, frequency

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """Predict the CSI beyond a known block; the result for a sample depends on this sample alone.

        Args:
            known: complex (batch, time, antenna, subcarrier), finite.
            slots, subcarriers: how many beyond the known ones are asked for; 0: the known ones.

        Returns:
            complex64 (batch, slots or known slots, antenna, subcarriers or known subcarriers).

        Raises:
            ValueError: more slots or subcarriers than covariances were learnt for.
        """
        bins = nearest_bins(known.shape[2], len(self._power))
        time = Axis(of_bins(self._time, bins), "slots", known.shape[1], slots)
        frequency = Axis(of_bins(self._frequency, bins), "subcarriers", known.shape[3], subcarriers)
        # Angle bins that are narrower or wider than those learnt keep the mean power of an antenna.
        power = (self._power[bins] / max(self._power[bins].mean(), np.finfo(np.float64).tiny))[:, None, None]
        joint = power * time.values[..., :, None] * frequency.values[..., None, :]
        angles = np.fft.fft(known.astype(np.complex128), axis=2, norm="ortho").transpose(0, 2, 1, 3)
        # Of the known block's power the noise is a share, the same in every bin.
        measured = np.square(np.abs(known.astype(np.complex128))).mean(axis=(1, 2, 3))[:, None, None, None]
        unit = np.sqrt(np.maximum(measured / (1 + self._noise), np.finfo(np.float32).tiny))
        inner = time.vectors.conj().swapaxes(-1, -2) @ (angles / unit) @ frequency.vectors.conj()
        inner = power * inner / (joint + self._noise)
        wanted = unit * (time.reach @ inner @ frequency.reach.swapaxes(-1, -2))
        return np.fft.ifft(wanted.transpose(0, 2, 1, 3), axis=2, norm="ortho").astype(np.complex64)


class Axis:
    """One covariance per angle bin, cut to what is known and wanted.

    values, vectors: eigenvalues (bin, entry) and eigenvectors (bin, known, entry) of the known part.
    reach: (bin, wanted, entry), covariance of the wanted and the known part, times the vectors.
    """

    def __init__(self, covariance: np.ndarray, name: str, known: int, wanted: int):
        if known + wanted > covariance.shape[-1]:
            raise ValueError(
                f"{known + wanted} {name} are known and wanted; covariances are learnt for {covariance.shape[-1]}"
            )
        covariance = covariance.astype(np.complex128)
        values, self.vectors = np.linalg.eigh(covariance[:, :known, :known])
        self.values = np.maximum(values, 0)
        rows = slice(known, known + wanted) if wanted else slice(0, known)
        self.reach = covariance[:, rows, :known] @ self.vectors


def of_bins(covariance: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The covariances of some angle bins; a single one stands for all."""
    return covariance if len(covariance) == 1 else covariance[bins]


def nearest_bins(antennas: int, bins: int) -> np.ndarray:
    """For every angle bin of an array, the nearest in direction of the angle bins learnt."""
    return (np.arange(antennas) * bins + antennas // 2) // antennas % bins
