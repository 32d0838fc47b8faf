"""Prediction with mixtures of Gaussians, in numpy: what the model computes, and what its graph is held to."""

import numpy as np

# Least power of a bin, as a share of the noise in it: a bin without more than noise is no reason to divide by zero.
LEAST_SIGNAL = 0.1
# Weight of the component that expects nothing, see `Mixture`.
UNKNOWN = 1e-6


def noise_of(snr_db: float) -> float:
    """The share of the noise in the power of what is known, by its SNR [dB]."""
    noise_to_signal = 10 ** (-snr_db / 10)
    return noise_to_signal / (1 + noise_to_signal)


def logarithms(weights: np.ndarray) -> np.ndarray:
    """Of the weights of components, some of which may have died out; in single precision."""
    return np.log(np.maximum(weights, np.finfo(np.float64).tiny)).astype(np.float32)


class GaussianMixtures:
    """The posterior mean of what is wanted, given what is known with noise."""

    def __init__(
        self,
        snr_db: float,
        time_weights: np.ndarray,
        time_covariances: np.ndarray,
        frequency_weights: np.ndarray,
        frequency_covariances: np.ndarray,
    ):
        """
        Args:
            snr_db: assumed SNR of the known block [dB].
            time_weights, frequency_weights: (component), of sum 1.
            time_covariances, frequency_covariances: complex (component, step, step), of series of unit power.
        """
        self._noise = noise_of(snr_db)
        self._time = Mixture(time_weights, time_covariances)
        self._frequency = Mixture(frequency_weights, frequency_covariances)

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """Predict the CSI beyond a known block, sample by sample: none depends on the others of its batch.

        In time, a series is an angle-delay bin over the slots; in frequency an angle bin over the subcarriers, in each
        slot. Both at once are one after the other, time first: the frequency's errors would spread over all delays.

        Args:
            known: complex (batch, time, antenna, subcarrier), finite.
            slots, subcarriers: how many beyond the known ones are asked for; 0: the known ones.

        Returns:
            complex64 (batch, slots or known slots, antenna, subcarriers or known subcarriers).

        Raises:
            ValueError: more slots or subcarriers than the mixtures were learnt for.
        """
        time = self._time.given(known.shape[1], slots, "slots")
        frequency = self._frequency.given(known.shape[3], subcarriers, "subcarriers")
        samples = known.astype(np.complex128)
        return np.stack([self._predict_one(samples[i], time, frequency) for i in range(len(samples))])

    def _predict_one(self, known: np.ndarray, time: "Posterior", frequency: "Posterior") -> np.ndarray:
        scale = np.sqrt(np.square(np.abs(known)).mean())
        # Of unit power, single precision has the digits that the noise leaves.
        known = (known / (scale or 1.0)).astype(np.complex64)
        box = np.fft.fft(known, axis=1, norm="ortho")  # (time, angle, subcarrier)
        if time.wanted:
            delays = np.fft.ifft(box, axis=2, norm="ortho")
            future = time.mean(delays.reshape(len(box), -1).T, self._noise).T
            box = np.fft.fft(future.reshape(time.wanted, *box.shape[1:]), axis=2, norm="ortho")
        if frequency.wanted:
            beyond = frequency.mean(box.reshape(-1, box.shape[2]), self._noise)
            box = beyond.reshape(*box.shape[:2], frequency.wanted)
        return (scale * np.fft.ifft(box, axis=1, norm="ortho")).astype(np.complex64)


class Mixture:
    """Zero-mean complex Gaussians with their weights.

    White noise is one component more. It is the likeliest one of a series that is unlike all that was learnt from, such
    as that of a faster user, and its prediction is 0; the least unlikely of the others would blow its misfit up.
    """

    def __init__(self, weights: np.ndarray, covariances: np.ndarray):
        """
        Args:
            weights: (component), of sum 1.
            covariances: complex (component, step, step), of series of unit power.
        """
        self.length = covariances.shape[-1]
        self.weights = np.append(weights.astype(np.float64), UNKNOWN)
        white = np.eye(self.length, dtype=np.complex128)[None]
        self.covariances = np.concatenate([covariances.astype(np.complex128), white])
        self._made: dict[tuple[int, int], Posterior] = {}

    def given(self, known: int, wanted: int, name: str) -> "Posterior":
        """What belongs to so many known and wanted steps, by the leading blocks of the covariances.

        Args:
            known, wanted: how many.
            name: of the steps, in messages.

        Raises:
            ValueError: they are more than the mixture was learnt for.
        """
        if wanted and known + wanted > self.length:
            raise ValueError(
                f"{known + wanted} {name} are known and wanted; the mixture is learnt for {self.length} of them"
            )
        if (known, wanted) not in self._made:
            self._made[known, wanted] = Posterior(self.weights, self.covariances, known, wanted)
        return self._made[known, wanted]


class Posterior:
    """The posterior mean of `wanted` steps after `known` ones; nothing where none are wanted.

    Each series is divided by the root of the power that it has beyond the noise, and the noise with it. In the
    eigenvectors of a component, noise of any variance only adds to the eigenvalues.
    """

    def __init__(self, weights: np.ndarray, covariances: np.ndarray, known: int, wanted: int):
        self.wanted = wanted
        self._log_weights = logarithms(weights)
        if wanted:
            values, vectors = np.linalg.eigh(covariances[:, :known, :known])
            reach = covariances[:, known : known + wanted, :known] @ vectors
            self._values = np.maximum(values, 0).astype(np.float32)
            self._basis = vectors.conj().transpose(1, 0, 2).reshape(known, -1).astype(np.complex64)
            self._reach = reach.transpose(0, 2, 1).reshape(-1, wanted).astype(np.complex64)

    def mean(self, series: np.ndarray, noise: float) -> np.ndarray:
        """Of series of any power.

        Args:
            series: complex (series, known step).
            noise: variance of the noise.

        Returns:
            complex (series, wanted step).
        """
        power = np.square(np.abs(series)).mean(axis=1)
        power = np.maximum(power - noise, LEAST_SIGNAL * noise)
        scale = np.sqrt(power)[:, None]
        return scale * self.mean_of_scaled(series / scale, noise / power)

    def mean_of_scaled(self, series: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Of complex (series, known step) in the scale of the mixture, with noise of variances (series)."""
        count, known = series.shape
        entries = (series @ self._basis).reshape(count, -1, known)  # (series, component, entry)
        variances = self._values + noise[:, None, None]
        fits = (np.square(entries.real) + np.square(entries.imag)) / variances + np.log(variances)
        likelihoods = self._log_weights - fits.sum(axis=-1)
        shares = np.exp(likelihoods - likelihoods.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        entries *= shares[..., None] / variances
        return entries.reshape(count, -1) @ self._reach
