"""Predictors in the MLflow model registry: versions, tags, aliases "champion" and "challenger", and the way back."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from storage.errors import StorageError
from storage.tracking import connection as tracking

CHAMPION = "champion"
CHALLENGER = "challenger"
# Identifies a version: the md5 of its model folder.
MODEL_TAG = "model.md5"
# Tag of a registered model: the numbers of its champions, oldest first.
HISTORY_TAG = "champion.history"
# Tag of a version that was rolled back: it is not made champion again.
DEMOTED_TAG = "demoted"


@dataclass(frozen=True)
class Version:
    """One version of a registered model; `model_id` is the logged model that it is."""

    name: str
    number: int
    tags: dict[str, str]
    model_id: str

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn a failure of MLflow into a StorageError: unlike a record, a registration cannot be left out."""
    tracking.configure()
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

    def version(self, name: str, number: str) -> Version:
        """One version of `name`.

        Raises:
            StorageError: there is none of this number.
        """
        found = {str(version.number): version for version in self._versions(name)}
        if number not in found:
            told = ", ".join(sorted(found, key=int)) or "none"
            raise StorageError(f"{name} has no version {number!r} in the registry, found: {told}")
        return found[number]

    def register(self, name: str, model_id: str, run_id: str, tags: dict[str, str]) -> Version:
        """Make a logged model the next version of `name`."""
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        return _version(self._client.create_model_version(name, f"models:/{model_id}", run_id, tags, model_id=model_id))

    def tag(self, version: Version, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(version.name, str(version.number), key, value)

    def promote(self, version: Version) -> None:
        """Make a version the champion, and write it into the history."""
        history = self._history(version.name)
        before = self.champion(version.name)
        if before is not None and history[-1:] != [before.number]:
            # Made champion by hand, or by a process that was killed before it wrote the history. To write that first
            # would be no better: what was killed then would leave a version that never was champion to go back to.
            history.append(before.number)
        self.set_alias(version, CHAMPION)
        told = " ".join(map(str, [*history, version.number]))
        self._client.set_registered_model_tag(version.name, HISTORY_TAG, told)

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Give the alias "champion" back to the version that was champion before, and mark the present one as demoted.

        Returns:
            The version that was champion, and the one that is.

        Raises:
            StorageError: there is no champion, or none before it that was not demoted itself.
        """
        champion = self.champion(name)
        if champion is None:
            raise no_champion(name)
        versions = {version.number: version for version in self._versions(name)}
        earlier = [
            versions[number]
            for number in self._history(name)
            if number in versions and number != champion.number and DEMOTED_TAG not in versions[number].tags
        ]
        if not earlier:
            raise StorageError(f"{name}: no version was champion before version {champion.number}; nothing was changed")
        self.tag(champion, {DEMOTED_TAG: f"rolled back to version {earlier[-1].number}"})
        self.promote(earlier[-1])
        return champion, earlier[-1]

    def describe(self, version: Version, text: str, picture: Path, run_id: str) -> None:
        """Describe a version in Markdown, with a picture below, which is stored with the run."""
        self._client.log_artifact(run_id, str(picture), "registry")
        # MLflow's pages show pictures from addresses only; this one is relative to the server's own.
        address = "get-artifact?" + urlencode({"path": f"registry/{picture.name}", "run_uuid": run_id})
        self._client.update_model_version(version.name, str(version.number), f"{text}\n\n![test NMSE]({address})\n")

    def set_alias(self, version: Version, alias: str) -> None:
        """Give `alias` to the version; a version is never champion and challenger at once."""
        other = CHALLENGER if alias == CHAMPION else CHAMPION
        if int(self._aliases(version.name).get(other, 0)) == version.number:
            self._client.delete_registered_model_alias(version.name, other)
        self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def _history(self, name: str) -> list[int]:
        found = self._client.search_registered_models(f"name = '{name}'")
        return [int(number) for number in found[0].tags.get(HISTORY_TAG, "").split()] if found else []

    def _versions(self, name: str) -> list[Version]:
        return [_version(version) for version in self._client.search_model_versions(f"name = '{name}'")]

    def _aliases(self, name: str) -> dict[str, str]:
        found = self._client.search_registered_models(f"name = '{name}'")
        return found[0].aliases if found else {}


def no_champion(name: str) -> StorageError:
    return StorageError(f"MLflow registry ({tracking.tracking_uri()}): {name} has no champion; run stage register")


def log_predictor(
    name: str,
    artifacts: dict[str, Path],
    *,
    run_id: str,
    python_file: Path,
    requirements: Sequence[str],
    example: tuple[np.ndarray, dict],
    layout: str,
    choices: dict[str, str],
    network: Path | None = None,
) -> str:
    """Log an MLflow pyfunc model that runs without this project.

    Args:
        name: of the logged model.
        artifacts: files and folders that it is made of.
        run_id: the run that logs it.
        python_file: defines the pyfunc model ("models from code": nothing is pickled).
        requirements: packages with their versions that it needs.
        example: input array and parameters. None has a default: MLflow drops a misspelt one with a warning on the
            server, and a default in its place would answer another question. Where an integer stands here, MLflow
            hands over any number, as a float, so that the model refuses a fraction in its own words: what MLflow
            refuses itself its server answers with an excerpt of the input.
        layout: what arrays it takes and gives, in words. A signature of MLflow knows one type and rank only, so it
            leaves the array open, and the model itself checks it.
        choices: what whoever loads the model may choose (`model_config`), with the values that hold otherwise.
        network: the model folder that it was made from, for `fetch_model`; it is kept with the run, so that the model
            holds its weights once.

    Returns:
        Id of the logged model.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    array, parameters = example
    kinds = {str: "string", int: "double"}
    anything = Schema([TensorSpec(np.dtype(object), (-1,))])
    signature = ModelSignature(
        inputs=anything,
        outputs=anything,
        params=ParamSchema([ParamSpec(key, kinds[type(value)], None) for key, value in parameters.items()]),
    )
    tracking.configure()
    mlflow.set_tracking_uri(tracking.tracking_uri())
    with mlflow.start_run(run_id=run_id), _no_bytecode():
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(python_file),
            artifacts={key: str(path) for key, path in artifacts.items()},
            signature=signature,
            input_example=(array, parameters),
            pip_requirements=list(requirements),
            metadata={"arrays": layout},
            model_config=choices,
        )
    if network is not None:
        tracking.client().log_artifacts(run_id, str(network), _network(logged.model_id))
    # MLflow has ended the run; its stage has not.
    tracking.client().update_run(run_id, "RUNNING")
    return logged.model_id


def fetch_model(version: Version, folder: Path) -> Path:
    """Download the model folder that a version was made from; returns where it lies in `folder`."""
    from mlflow.artifacts import download_artifacts

    logged = tracking.client().get_logged_model(version.model_id)
    return Path(
        download_artifacts(
            run_id=logged.source_run_id,
            artifact_path=_network(version.model_id),
            dst_path=str(folder),
            tracking_uri=tracking.tracking_uri(),
        )
    )


def _network(model_id: str) -> str:
    """Where a run keeps the model folder of a model that it has logged."""
    return f"networks/{model_id}"


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


def load(version: Version, choices: dict[str, str] | None = None):
    """A registered version as MLflow hands it to anybody: `predict(array, params=parameters)`.

    Args:
        version: which one.
        choices: see `log_predictor`; None: as it was logged.
    """
    import mlflow

    tracking.configure()
    mlflow.set_tracking_uri(tracking.tracking_uri())
    return mlflow.pyfunc.load_model(version.uri, model_config=choices)


def _version(version) -> Version:
    # MLflow's own field of this name is None.
    model_id = version.source.removeprefix("models:/")
    return Version(version.name, int(version.version), dict(version.tags), model_id)
