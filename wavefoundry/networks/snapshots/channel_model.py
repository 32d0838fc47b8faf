"""What the models of snapshots share: masked channel modelling and representations around a backbone of their own."""

import torch
from transformers import PreTrainedModel

from wavefoundry.networks.representations import Representations
from wavefoundry.networks.snapshots.channel_tokens import ChannelTokens, patchify, unpatchify
from wavefoundry.networks.snapshots.snapshot_options import SnapshotOptions
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network


class ChannelModel(PreTrainedModel):
    """A network with `tokens` (ChannelTokens), `layers`, and `encode`, its backbone."""

    main_input_name = "csi"
    tokens: ChannelTokens

    def forward(
        self, csi: torch.Tensor, generator: torch.Generator, patch_size: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Loss of one training step of masked channel modelling.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean, at any scale; one slot of each sample is drawn.
            generator: of granularity, slots and masks; on the CPU.
            patch_size: the granularity; drawn uniformly for the batch if not given.

        Returns:
            "loss", MSE of the masked tokens of snapshots of unit RMS, and "nmse_db".

        Raises:
            InputError: a granularity without an embedding, or more tokens than max_seq_len.
        """
        ratio = self.config.settings.architecture.mask_ratio
        return self.tokens.masked_modelling(self.encode, csi, ratio, generator, patch_size)

    def embed(self, csi: torch.Tensor, patch_size: int | None = None) -> Representations:
        """Representations of complex snapshots (batch, antenna, subcarrier), at any scale.

        Raises:
            InputError: a granularity without an embedding, or more tokens than max_seq_len.
        """
        return self.tokens.represent(self.encode, csi, patch_size)

    def cut(self, csi: torch.Tensor, patch_size: int | None = None) -> torch.Tensor:
        """Patches of snapshots, see `channel_tokens.patchify`."""
        return patchify(csi, self._known(patch_size))

    def join(self, tokens: torch.Tensor, shape: tuple[int, int], patch_size: int | None = None) -> torch.Tensor:
        """Inverse of `cut`, see `channel_tokens.unpatchify`."""
        return unpatchify(tokens, shape, self._known(patch_size))

    def _known(self, patch_size: int | None) -> int:
        return self.tokens.known_granularity(patch_size)

    def encode(self, hidden: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """The backbone, see `channel_tokens.Backbone`."""
        raise NotImplementedError


def train(model: ChannelModel, options: SnapshotOptions, session: TrainingSession) -> Trained:
    """The one phase of these families: masked channel modelling."""
    model, history = train_network(
        model,
        session.dataset,
        config=options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(model, history)
