"""What the models of snapshots share: masked channel modelling and representations around a backbone of their own."""

import torch
from transformers import PreTrainedModel

from wavefoundry.models.representations import Representations


class ChannelModel(PreTrainedModel):
    """A network with `tokens` (ChannelTokens), and `encode`, its backbone."""

    main_input_name = "csi"

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
        return self.tokens.masked_modelling(self.encode, csi, self.config.mask_ratio, generator, patch_size)

    def embed(self, csi: torch.Tensor, patch_size: int) -> Representations:
        """Representations of complex snapshots (batch, antenna, subcarrier), at any scale.

        Raises:
            InputError: a granularity without an embedding, or more tokens than max_seq_len.
        """
        return self.tokens.represent(self.encode, csi, patch_size)

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        """The backbone: (batch, token, hidden_size) -> the same shape."""
        raise NotImplementedError
