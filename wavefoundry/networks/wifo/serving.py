"""WiFo as a registered predictor."""

import math
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.onnx_export import export_graph
from wavefoundry.networks.wifo import served
from wavefoundry.networks.wifo.model import WiFo, position_widths


def export(model: WiFo, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    graph = WiFoGraph(model)
    inputs, sizes = graph.example()
    size = model.architecture.hidden_size
    settings = {
        "patch_size": list(model.architecture.patch_size),
        "hidden_size": size,
        "position_widths": position_widths(size),
        "position_rule": model.architecture.position_rule,
    }
    export_graph(graph, inputs, sizes, settings, Path(served.__file__), folder)


class WiFoGraph(nn.Module):
    """`WiFo.reconstruct` with the same positions for all samples."""

    def __init__(self, model: WiFo):
        super().__init__()
        self.model = model

    def forward(self, values, encoder_positions, visible_positions, hidden_positions):
        """Hidden patches (batch, hidden token, feature).

        Args:
            values: (batch, visible token, feature), patches as real parts, then imaginary parts.
            encoder_positions: (visible token, width), encodings that the encoder adds.
            visible_positions, hidden_positions: (token, width), their encodings, which the decoder adds.
        """
        model = self.model
        embedded = nn.functional.linear(values, model.embedding.weight.flatten(1), model.embedding.bias)
        encoded, _ = model.encoder(embedded + encoder_positions, None)
        masked = model.mask_token.expand(values.shape[0], hidden_positions.shape[0], -1)
        tokens = torch.cat([model.bridge(encoded) + visible_positions, masked + hidden_positions], dim=1)
        decoded, _ = model.decoder(tokens, None)
        return model.head(decoded[:, values.shape[1] :])

    def example(self):
        width, batch, visible, hidden = self.model.architecture.hidden_size, Dim("batch"), Dim("visible"), Dim("hidden")
        inputs = {
            "values": torch.randn(2, 6, 2 * math.prod(self.model.architecture.patch_size)),
            "encoder_positions": torch.randn(6, width),
            "visible_positions": torch.randn(6, width),
            "hidden_positions": torch.randn(4, width),
        }
        return inputs, {"values": {0: batch, 1: visible}, "encoder_positions": {0: visible},
                        "visible_positions": {0: visible}, "hidden_positions": {0: hidden}}  # fmt: skip
