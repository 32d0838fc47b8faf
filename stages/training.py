"""What the training stages share: seeds in turn, checkpoints of their own, model folders, learning curves."""

import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from stages.model_folders import model_folder
from storage.digests import digest
from storage.errors import StorageError
from storage.runs import Run

CHECKPOINTS = Path(".checkpoints")
# Not the machine's number: sums over more threads are rounded otherwise, and models would differ from host to host. Two
# trainings side by side gain more than two threads do: networks of this size are up to 1.4 times as fast with a second
# thread, LWM-Temporal not at all.
THREADS = 1


def history_file(name: str) -> Path:
    return Path("history") / f"{name}.csv"


def train_seeds(
    run: Run,
    stage_name: str,
    section: BaseModel,
    dependencies: Sequence[Path],
    train_one: Callable,
) -> None:
    """Train one model per seed of `section.seeds`; write its folder, and the learning curves of all of them.

    A stage that was killed goes on from its last checkpoint when its parameters, inputs and the code are the same.

    Args:
        run: gets the metrics of every epoch as "seed_S/NAME", and the model folders.
        stage_name: such as "teach@wifo"; the part after the @ names the outputs.
        section: part of params.yaml with `seeds`.
        dependencies: inputs of the stage.
        train_one: called with seed=, checkpoints= and on_epoch=, after torch was seeded; returns model and history.
    """
    import torch

    from storage.checkpoints import save_model

    torch.set_num_threads(THREADS)
    name = stage_name.partition("@")[2]
    folder = CHECKPOINTS / stage_name / _key(section, dependencies)
    histories = {}
    for seed in section.seeds:
        torch.manual_seed(seed)
        model, histories[seed] = train_one(
            seed=seed, checkpoints=folder / f"seed_{seed}", on_epoch=_report(run, f"seed_{seed}")
        )
        save_model(model, model_folder(name, seed))
    write_history(history_file(name), histories)
    run.log_folder(Path("models") / name, "model")
    _remove_checkpoints(stage_name)


def warm_start(run: Run, model, name: str) -> None:
    """Let a training go on from the registry's champion: its weights into `model`, its version into the run's tags.

    What comes out depends on what was champion, not on data and parameters alone.

    Args:
        run: gets the tag "warm_start".
        model: of the champion's architecture.
        name: of the registered predictor.

    Raises:
        StorageError: `name` has no champion, or its weights do not fit.
    """
    from safetensors.torch import load_file

    from storage.checkpoints import WEIGHTS
    from storage.registry import Registry, clear_failures, fetch_model

    with tempfile.TemporaryDirectory() as folder, clear_failures():
        champion = Registry().champion(name)
        if champion is None:
            raise StorageError(
                f"{name} has no champion to go on from; train and register it once with warm_start: false"
            )
        weights = load_file(fetch_model(champion, Path(folder)) / WEIGHTS)
    wanted = {key: value.shape for key, value in model.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != wanted:
        raise StorageError(f"warm_start: the champion {champion.uri} has another architecture; set warm_start: false")
    model.load_state_dict(weights)
    run.set_tags({"warm_start": champion.uri})


def write_history(path: Path, histories: dict[int, list[dict]]) -> None:
    """One row per seed and epoch; a column that some rows lack is empty there."""
    rows = [{"seed": seed} | row for seed, history in histories.items() for row in history]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _key(section: BaseModel, dependencies: Sequence[Path]) -> str:
    """Hash of all that decides about the weights."""
    parts = {
        "section": section.model_dump(mode="json"),
        "dependencies": {str(path): digest(path) for path in dependencies},
        "code": {folder: digest(Path(folder)) for folder in ("wavefoundry", "storage", "stages")},
        "versions": {package: version(package) for package in ("torch", "transformers")},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _remove_checkpoints(stage_name: str) -> None:
    """Those of earlier parameters and inputs too. Renamed first: killed half-way, none is taken for complete later."""
    folder = CHECKPOINTS / stage_name
    removed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    if folder.exists():
        folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def _report(run: Run, prefix: str) -> Callable[[dict, int], None]:
    def report(row: dict, step: int) -> None:
        numbers = {f"{prefix}/{name}": value for name, value in row.items() if not isinstance(value, str)}
        run.log_metrics(numbers, step=row["epoch"])

    return report
