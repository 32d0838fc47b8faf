"""A network of single antenna ports as a registered predictor."""

from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.onnx_export import export_graph
from wavefoundry.networks.sequences import sequence_served
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace


def export(model: SequenceNetwork, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    link = model.options.link
    inputs = {"features": torch.randn(3, link.known_slots, 2 * link.subcarriers)}
    sizes = {"features": {0: Dim("sequence")}}
    export_graph(SequenceGraph(model), inputs, sizes, settings_of(model), Path(sequence_served.__file__), folder)


def settings_of(model: SequenceNetwork) -> dict:
    """What the code around the graph needs to know of the network."""
    options = model.options
    return options.link.model_dump() | {"statistics": options.statistics, "reference": options.reference}


class SequenceGraph(nn.Module):
    """`continue_features` of a network."""

    def __init__(self, model: SequenceNetwork):
        super().__init__()
        self.model = model

    def forward(self, features):
        """(sequence, known slot, 2 x subcarrier) -> (sequence, horizon, 2 x subcarrier)."""
        return self.model.continue_features(features, Trace())
