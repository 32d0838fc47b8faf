"""Predictors in the MLflow model registry: versions, their tags, and the aliases "champion" and "challenger"."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage import tracking
from storage.errors import StorageError

CHAMPION = "champion"
CHALLENGER = "challenger"
# Identifies a version: the md5 of its model folder.
MODEL_TAG = "model.md5"


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    number: int
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn a failure of MLflow into a StorageError: unlike a record, a registration cannot be left out."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise StorageError(f"MLflow registry ({tracking.tracking_uri()}): {str(error).splitlines()[0]}") from error


class Registry:
    """The model registry of the tracking server.

    Methods raise what MLflow raises; see `clear_failures`.
    """

    def __init__(self):
        self._client = tracking.client()

    def champion(self, name: str) -> Version | None:
        number = self._aliases(name).get(CHAMPION)
        return next((version for version in self._versions(name) if version.number == int(number or 0)), None)

    def find(self, name: str, model_md5: str) -> Version | None:
        """The version of `name` whose model folder has this md5."""
        return next((version for version in self._versions(name) if version.tags.get(MODEL_TAG) == model_md5), None)

    def register(self, name: str, model_id: str, run_id: str, tags: dict[str, str]) -> Version:
        """Make a logged model the next version of `name`."""
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        return _version(self._client.create_model_version(name, f"models:/{model_id}", run_id, tags, model_id=model_id))

    def tag(self, version: Version, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(version.name, str(version.number), key, value)

    def set_alias(self, version: Version, alias: str) -> None:
        """Give `alias` to the version; a version is never champion and challenger at once."""
        other = CHALLENGER if alias == CHAMPION else CHAMPION
        if int(self._aliases(version.name).get(other, 0)) == version.number:
            self._client.delete_registered_model_alias(version.name, other)
        self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def _versions(self, name: str) -> list[Version]:
        return [_version(version) for version in self._client.search_model_versions(f"name = '{name}'")]

    def _aliases(self, name: str) -> dict[str, str]:
        found = self._client.search_registered_models(f"name = '{name}'")
        return found[0].aliases if found else {}


def log_predictor(
    name: str,
    folder: Path,
    *,
    run_id: str,
    python_file: Path,
    package: Path,
    requirements: Sequence[str],
    example: tuple[np.ndarray, dict],
) -> str:
    """Log a model folder as an MLflow pyfunc model that runs without this project.

    Args:
        name: of the logged model.
        folder: model folder, the artifact "model" of the pyfunc model.
        run_id: the run that logs it.
        python_file: defines the pyfunc model ("models from code": nothing is pickled).
        package: Python package that travels with the model.
        requirements: packages with their versions that it needs besides.
        example: input array and parameters; fixes the signature: any batch size and any size of the other axes but
            the second.

    Returns:
        Id of the logged model.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    array, parameters = example
    shape = tuple(size if axis == 1 else -1 for axis, size in enumerate(array.shape))
    kinds = {str: "string", int: "long"}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(array.dtype, shape)]),
        outputs=Schema([TensorSpec(array.dtype, shape)]),
        params=ParamSchema([ParamSpec(key, kinds[type(value)], value) for key, value in parameters.items()]),
    )
    tracking.configure()
    mlflow.set_tracking_uri(tracking.tracking_uri())
    with mlflow.start_run(run_id=run_id), _no_bytecode():
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(python_file),
            artifacts={"model": str(folder)},
            code_paths=[str(package)],
            signature=signature,
            input_example=(array, parameters),
            pip_requirements=list(requirements),
        )
    return logged.model_id


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """The example is predicted from the folder that is logged: what Python compiles then must not be part of it."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def predict_isolated(version: Version, inputs: Sequence[tuple[np.ndarray, dict]], batch_size: int) -> list[np.ndarray]:
    """Predictions of a registered version, computed by the code that was registered with it.

    A fresh process outside the project does it: what the project's package has become since has no influence.

    Args:
        version: which one.
        inputs: arrays, first axis the batch, each with the parameters of its prediction.
        batch_size: rows per call.

    Raises:
        StorageError: the version cannot be loaded or fails.
    """
    environment = os.environ | tracking.DEFAULTS | {"MLFLOW_TRACKING_URI": tracking.tracking_uri()}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "inputs.npz"), *[array for array, _ in inputs])
        Path(folder, "parameters.json").write_text(json.dumps([parameters for _, parameters in inputs]))
        process = subprocess.run(
            [sys.executable, "-c", _PREDICT, version.uri, str(batch_size)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            reason = (process.stderr.strip() or f"exit code {process.returncode}").splitlines()[-1]
            raise StorageError(f"{version.uri} cannot predict: {reason}")
        with np.load(Path(folder, "outputs.npz")) as outputs:
            return [outputs[f"arr_{index}"] for index in range(len(inputs))]


_PREDICT = """
import json, sys
import mlflow, numpy as np

model = mlflow.pyfunc.load_model(sys.argv[1])
step = int(sys.argv[2])
outputs = []
with np.load("inputs.npz") as inputs:
    for index, parameters in enumerate(json.load(open("parameters.json"))):
        array = inputs[f"arr_{index}"]
        parts = [model.predict(array[start : start + step], params=parameters) for start in range(0, len(array), step)]
        outputs.append(np.concatenate(parts))
np.savez("outputs.npz", *outputs)
"""


def _version(version) -> Version:
    return Version(version.name, int(version.version), dict(version.tags))
