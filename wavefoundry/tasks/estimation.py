"""Channel estimation: the clean channel from a noisy one.

Source: the downstream tasks of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from wavefoundry.evaluation.downstream.task import ChannelTask, TaskOptions
from wavefoundry.section import Seed

if TYPE_CHECKING:
    import torch


class Options(TaskOptions):
    gives_channels: ClassVar[bool] = True

    snr_db: float = Field(description="SNR of the known channel [dB]")
    noise_seed: Seed


class Task(ChannelTask):
    """Known is the whole channel, with noise."""

    title = "channel estimation"
    without_learning = "the noisy channel itself"

    def known(self, csi: "torch.Tensor") -> "torch.Tensor":
        import torch

        from wavefoundry.csi.noise import add_noise

        generator = torch.Generator().manual_seed(self.options.noise_seed)
        return add_noise(csi, self.options.snr_db, generator)

    def lattice(self, antennas: int, subcarriers: int) -> np.ndarray:
        return np.ones((antennas, subcarriers), bool)

    @property
    def noise(self) -> float:
        return 10 ** (-self.options.snr_db / 10)

    def estimate(self, known: "torch.Tensor") -> "torch.Tensor":
        return known
