"""A spectral predictor as a registered predictor."""

from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.onnx_export import export_graph
from wavefoundry.networks.spectral_predictor import model as definitions
from wavefoundry.networks.spectral_predictor import served
from wavefoundry.networks.spectral_predictor.calibration import KINDS
from wavefoundry.networks.spectral_predictor.model import AXES, Estimator, SpectralPredictor


def export(model: SpectralPredictor, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    graph = EstimatorsGraph(model)
    inputs, sizes = graph.example()
    export_graph(graph, inputs, sizes, settings_of(model), Path(served.__file__), folder)


def settings_of(model: SpectralPredictor) -> dict:
    """What the code around the graph needs to know of the network."""
    architecture = model.architecture.model_dump()
    kept = ("frequencies", "orders", "share", "damping", "noise_floor", "first")
    constants = {
        "log_unit": definitions.LOG_UNIT,
        "quiet": definitions.QUIET,
        "quiet_line": definitions.QUIET_LINE,
        "neighbours": list(definitions.NEIGHBOURS),
        "fewest_known": definitions.FEWEST_KNOWN,
        "farthest": definitions.FARTHEST,
        "error_limits": [definitions.LEAST_ERROR, definitions.LARGEST_ERROR],
        "others_error": {
            axis: (definitions.ERROR_GAIN * cast(Estimator, estimator).others_error).tolist()
            for axis, estimator in model.estimators.items()
        },
        "error_factors": dict(zip(KINDS, model.error_factors.tolist(), strict=True)),
    }
    return {key: architecture[key] for key in kept} | constants


class EstimatorsGraph(nn.Module):
    """The estimators of both axes; the axis picks the weights."""

    def __init__(self, model: SpectralPredictor):
        super().__init__()
        first, *others = (cast(Estimator, model.estimators[axis]) for axis in AXES)
        self.estimator = first
        self.width = first.width
        self.names = [name for name, _ in first.named_parameters()]
        for index, name in enumerate(self.names):
            each = [estimator.get_parameter(name).detach() for estimator in (first, *others)]
            self.register_buffer(f"weights_{index}", torch.stack(each))

    def forward(self, features, axis):
        """Estimates (bin, value).

        Args:
            features: (bin, feature), of the bins of one axis.
            axis: (1,), which one: 0 is time, 1 is frequency.
        """
        weights = {
            name: self.get_buffer(f"weights_{index}").index_select(0, axis)[0] for index, name in enumerate(self.names)
        }
        return torch.func.functional_call(self.estimator, weights, (features,))

    def example(self):
        inputs = {"features": torch.randn(5, self.width), "axis": torch.tensor([1])}
        return inputs, {"features": {0: Dim("bins")}, "axis": None}
