"""What a network or a method can do. Evaluations ask for these protocols, never for a class."""

from typing import Any, Protocol, runtime_checkable

import torch

from wavefoundry.networks.representations import Representations


@runtime_checkable
class Predictor(Protocol):
    """Continues CSI in time, in frequency, or in both at once."""

    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """Predict the CSI beyond a known block; silence, a sample of zeros, is continued by silence.

        Args:
            known: complex (batch, time, antenna, subcarrier), the known slots of the known subcarriers.
            slots: how many slots after the known ones are asked for; 0: the known ones.
            subcarriers: how many subcarriers above the known ones are asked for; 0: the known ones.

        Returns:
            complex64 (batch, slots or known slots, antenna, subcarriers or known subcarriers).

        Raises:
            InputError: nothing is asked for, no complex tensor of four axes, values that are not finite, or a size that
                the predictor cannot take.
        """


@runtime_checkable
class ErrorEstimator(Predictor, Protocol):
    """A predictor that says how far off it expects to be."""

    def predict_with_error(
        self, known: torch.Tensor, slots: int, subcarriers: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict as `predict` does, and say how large the error is to be expected.

        Args:
            known, slots, subcarriers: as for `predict`.

        Returns:
            The prediction, and real (batch, slot, subcarrier) of its size: the expected square magnitude of the error
            of an entry against the channel without noise, as a mean over the antennas; 0 of silence.

        Raises:
            InputError: as `predict`.
        """


@runtime_checkable
class FeedbackCodec(Protocol):
    """Compresses the CSI of single slots into bits, and recovers it from the bits alone.

    What is fed back is the channel up to its power, which a base station knows from other reports: `decode` gives
    channels at the scale of unit mean power; a codec that gives back means has less.
    """

    def encode(self, csi: torch.Tensor, rate: int) -> torch.Tensor:
        """Feedback of channels at any scale; that of a sample depends on this sample alone.

        Args:
            csi: complex (batch, antenna, subcarrier).
            rate: bits for every 16 channel entries, 1 to 12.

        Returns:
            uint8 (batch, bit) of 0 and 1, `wavefoundry.feedback.rates.feedback_bits` bits a sample.

        Raises:
            InputError: no complex tensor of three axes, a rate or a size that the codec does not take, or values that
                are not finite.
        """

    def decode(self, bits: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Channels from feedback, whatever of it arrived wrong.

        Args:
            bits: uint8 (batch, bit), as many as `encode` gives at some rate.
            shape: (antenna, subcarrier) of the channels.

        Returns:
            complex64 (batch, antenna, subcarrier).

        Raises:
            InputError: a size or a number of bits that the codec does not take.
        """


@runtime_checkable
class GaussianBound(Protocol):
    """A codec that knows the covariance of channels."""

    def bound(self, bits: int, shape: tuple[int, int]) -> float:
        """The smallest NMSE with which so many bits can describe a Gaussian channel of that covariance.

        Args:
            bits: of one channel.
            shape: (antenna, subcarrier) of it.
        """


@runtime_checkable
class Embedder(Protocol):
    """Gives representations of single slots, token by token."""

    def embed(self, csi: torch.Tensor, patch_size: int | None = None) -> Representations:
        """Representations of CSI at any scale, nothing hidden; finite ones of silence, too.

        Args:
            csi: complex (batch, antenna, subcarrier).
            patch_size: one of the granularities of a network that has the choice; None for others.

        Raises:
            InputError: no complex tensor of three axes, or a size or a granularity that the network does not take.
        """

    def cut(self, csi: torch.Tensor, patch_size: int | None = None) -> torch.Tensor:
        """The part of the channel that each token stands for.

        Args:
            csi: complex (batch, antenna, subcarrier).
            patch_size: as for `embed`.

        Returns:
            real (batch, token, value), as many tokens as `embed` has patches.
        """

    def join(self, tokens: torch.Tensor, shape: tuple[int, int], patch_size: int | None = None) -> torch.Tensor:
        """Inverse of `cut`: complex (batch, antenna, subcarrier) of `shape` (antenna, subcarrier)."""


@runtime_checkable
class SequenceEmbedder(Embedder, Protocol):
    """An embedder that reads sequences, too."""

    def embed_sequence(self, csi: torch.Tensor) -> Representations:
        """Representations of complex (batch, time, antenna, subcarrier)."""


@runtime_checkable
class Tunable(Embedder, Protocol):
    """An embedder whose last layers can be trained together with a head."""

    layers: Any


@runtime_checkable
class OwnOperations(Protocol):
    """A network with operations that counting products of matrices does not see."""

    def uncounted_flops(self, tokens: int, size: tuple[int, int, int]) -> int:
        """Floating-point operations of one sample besides products of matrices.

        Args:
            tokens: of the sample, class token included.
            size: of the sample, (time, antenna, subcarrier).
        """
