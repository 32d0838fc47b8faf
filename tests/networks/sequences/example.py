"""A network of single sequences with nothing to learn, and what the small ones of the families share."""

import torch
from torch import nn
from torch.utils.data import Dataset

from tests.networks.example import TRAINING
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_options import SequenceOptions

SEQUENCES = {
    "link": {"known_slots": 4, "horizon": 2, "subcarriers": 4, "band": "same"},
    "sequences": {"kind": "antenna_ports", "drawn": 2},
    "linear_prediction": None,
    "statistics": "sequence",
    "reference": "phase",
    "snr_db": [20.0, 20.0],
    "few_shot": None,
    "training": TRAINING,
}
SMALL = SequenceOptions.model_validate(SEQUENCES)
# As `SEQUENCES["linear_prediction"]`: with what a network is mixed.
MIXING = {"orders": {"time": 2, "frequency": 2}, "hidden_size": 3, "first_share": 0.33, "own_weight": 0.5}
# As `SEQUENCES["sequences"]`: delay taps of angles, all of which are predicted.
TAPS = {"kind": "angle_delay_taps", "taps": 2, "drawn": 2, "strongest": None}
# A study of the published size: 16 slots of 48 subcarriers are known, 4 slots are wanted.
PUBLISHED_LINK = {"known_slots": 16, "horizon": 4, "subcarriers": 48, "band": "same"}


class RampConfig(NetworkConfig):
    model_type = "ramp_of_the_tests"
    options_class = SequenceOptions


class Ramp(SequenceNetwork):
    """Every feature goes on as between its last two slots, by a share that depends on the sequence."""

    config_class = RampConfig

    def __init__(self, config: RampConfig):
        super().__init__(config)
        self.share = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        last, rise = features[:, -1:], features[:, -1:] - features[:, -2:-1]
        share = self.share[0] + self.share[1] * features[:, -1:, :1].tanh()
        steps = torch.arange(1, self.options.link.horizon + 1, dtype=features.dtype)[:, None]
        return last + share * rise * steps


def options(**changes) -> SequenceOptions:
    """Options with some values replaced, mapping by mapping: options(link={"horizon": 3})."""
    return SMALL.changed(changes)


def ramp(share: float = 0.3, **changes) -> Ramp:
    """In evaluation mode; a share of 0 continues ramps exactly."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the mixture, where there is one
        network = Ramp(RampConfig.of(options(**changes))).eval()
    with torch.no_grad():
        network.share[1] = share
    return network


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


class Channels(Dataset):
    """Samples one by one, as `wavefoundry.training.few_shot.FewShot` reads them."""

    def __init__(self, csi: torch.Tensor):
        self.csi = csi

    def __len__(self) -> int:
        return len(self.csi)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"csi": self.csi[index]}


def paths(samples: int, slots: int, antennas: int, subcarriers: int) -> torch.Tensor:
    """Channels of two moving paths each, complex (sample, slot, antenna, subcarrier)."""
    generator = torch.Generator().manual_seed(5)
    total = torch.zeros(samples, slots, antennas, subcarriers, dtype=torch.complex64)
    for _ in range(2):
        turns = torch.rand(3, samples, 1, 1, 1, generator=generator) * torch.tensor([0.2, 1.0, 0.3]).view(3, 1, 1, 1, 1)
        phase = turns[0] * torch.arange(slots)[:, None, None] + turns[1] * torch.arange(antennas)[:, None]
        phase = phase - turns[2] * torch.arange(subcarriers)
        total += torch.polar(torch.ones(phase.shape), 2 * torch.pi * phase)
    return total
