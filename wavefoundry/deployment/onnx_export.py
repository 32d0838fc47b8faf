"""A network as an ONNX graph with all that its predictor needs without torch."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wavefoundry.deployment.served_folder import GRAPH, write_served


def export_graph(
    graph: nn.Module,
    inputs: dict[str, torch.Tensor],
    sizes: dict[str, dict[int, Any]],
    settings: dict[str, Any],
    code: Path,
    folder: Path,
) -> None:
    """Write `network.onnx`, `settings.json` and `code.py` into `folder`, which is made.

    Args:
        graph: called with `inputs` by name; one output.
        inputs: an example.
        sizes: which dimensions of each input are free, as `torch.export.Dim`.
        settings: what the code needs to know of the network.
        code: a Python file that defines `around_graph(settings, run)` and imports numpy alone; see
            `wavefoundry.deployment.served_predictor`.
        folder: of the export.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The exporter tells its progress, which packages it could also serve, and what later versions may change.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        # Given a module, the exporter would fall back to a trace of the example's sizes without a word.
        program = torch.export.export(graph.eval(), (), kwargs=inputs, dynamic_shapes=sizes, strict=False)
        torch.onnx.export(
            program, (), folder / GRAPH, kwargs=inputs, input_names=list(inputs), output_names=["found"],
            dynamic_shapes=sizes, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    write_served(code, settings, folder)
