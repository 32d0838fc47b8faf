"""The form in which a predictor gets into the registry: it runs there without this project."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from stages import params
from stages.candidates import Candidate
from stages.held_out import HeldOut
from stages.int8 import quantised_form
from stages.loading import load_network
from stages.paths import model_folder
from storage.digests import digest

SERVED = Path(__file__).with_name("served_predictor.py")
# What a registered model imports.
REQUIREMENTS = ("mlflow", "onnxruntime")
LAYOUT = (
    "csi: complex (batch, time, antenna, subcarrier), or real (batch, 2, time, antenna, subcarrier) with real parts in "
    "channel 0, or real (batch, time, antenna, subcarrier, 2) with real parts at 0. The result has the layout of the "
    "input: the next `slots` slots of the next `subcarriers` subcarriers, and 0 means the known ones. A size that the "
    "predictor does not take is refused in one line, which says what is allowed."
)


@dataclass(frozen=True)
class Served:
    """How one predictor gets into the registry.

    md5: identifies the model; equal for the same weights, or the same method and options.
    export: writes what runs without this project into a folder.
    folder: the model folder of a network, which is registered beside.
    """

    md5: str
    export: Callable[[Path], None]
    folder: Path | None


def served(parameters: params.Params, candidate: Candidate) -> Served | None:
    """How a candidate is registered; None if its family does not say how it is served."""
    if candidate.seed is None:
        from wavefoundry.deployment.method_export import export

        method, options = parameters.method_options(candidate.name)

        def write(folder: Path) -> None:
            export(method, options, folder)

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "served"))
            return Served(digest(Path(folder, "served")), write, None)
    from wavefoundry.networks.family import serving_module

    folder_of_model = model_folder(candidate.name, candidate.seed)
    module = serving_module(parameters.models[candidate.name].family)
    if module is None:
        return None

    def write_network(folder: Path) -> None:
        module.export(load_network(parameters, candidate.name, folder_of_model), folder)

    return Served(digest(folder_of_model), write_network, folder_of_model)


class TooLargeError(Exception):
    """What would be served is larger than the registry takes; the message says how large, and what is allowed."""


@dataclass(frozen=True)
class Logged:
    """A logged model, and what its versions are tagged with beside their scores."""

    model_id: str
    tags: dict[str, str]


def log_form(parameters: params.Params, candidate: Candidate, form: Served, held_out: HeldOut, run_id: str) -> Logged:
    """Export a predictor and log it, with its INT8 form if that passes the gate.

    Raises:
        TooLargeError: the export is larger than `register.size_limit_mebibytes`.
        InputError: there is nothing to calibrate the INT8 form on.
    """
    from storage.tracking.registry import log_predictor
    from wavefoundry.deployment import served_predictor
    from wavefoundry.deployment.served_folder import mebibytes

    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "served")
        form.export(exported)
        size, size_limit = mebibytes(exported), parameters.register_.size_limit_mebibytes
        if size > size_limit:
            raise TooLargeError(
                f"not registered: its served form has {size:.0f} MiB, register.size_limit_mebibytes is {size_limit:g}"
            )
        artifacts = {"served": exported, "code": Path(served_predictor.__file__)}
        quantised = quantised_form(parameters, candidate, exported, held_out, Path(folder, "int8"))
        artifacts |= {"int8": quantised.folder} if quantised.folder is not None else {}
        model_id = log_predictor(
            candidate.name,
            artifacts,
            run_id=run_id,
            python_file=SERVED,
            # A build for one kind of machine ("+cpu") is no requirement.
            requirements=[f"{name}=={installed_version(name).partition('+')[0]}" for name in REQUIREMENTS],
            example=held_out.example(),
            layout=LAYOUT,
            choices={"precision": "fp32"},
            network=form.folder,
        )
        return Logged(model_id, quantised.tags)
