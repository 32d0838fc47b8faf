"""What a registered predictor without training is made of: one plain ONNX file, or its file and its settings."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from wavefoundry.deployment.served_folder import write_served
from wavefoundry.evaluation.methods import method_file

# Where the modules are that write methods as graphs, found by name.
GRAPHS = "wavefoundry.deployment.predictors"


def export(method: str, options: BaseModel, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made.

    A method that can be written as a graph has a module of its name in `wavefoundry.deployment.predictors`, which
    defines `export(options, folder)`. Of the others the file in numpy is served.
    """
    writer = f"{GRAPHS}.{method}"
    if find_spec(writer):
        import_module(writer).export(options, folder)
    else:
        write_served(method_file(method), options.model_dump(exclude={"method"}), folder)
