"""What the training stages share: seeds in turn, checkpoints of their own, model folders, learning curves."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stages.dependencies import closure
from stages.json_files import write_json
from stages.paths import (
    CHECKPOINTS,
    backbone_folder,
    history_file,
    model_folder,
    models_folder,
    training_time_file,
)
from stages.pretrained import load_language_model
from storage.digests import digest
from storage.errors import StorageError
from storage.tracking.runs import Run
from wavefoundry.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from stages.entries import Model
    from wavefoundry.training.session import Trained, TrainingSession

# Not the machine's number: sums over more threads are rounded otherwise, and models would differ from host to host. Two
# trainings side by side gain more than two threads do: networks of this size are up to 1.4 times as fast with a second
# thread, LWM-Temporal not at all.
THREADS = 1


def require_one_process() -> None:
    """Refuse to be one of several processes: each would write the outputs of the stage, and record a run.

    Raises:
        InputError: torchrun or `accelerate launch` has started more than one.
    """
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise InputError(
            f"WORLD_SIZE is {processes}: a stage is one process; several can share a training that a program of yours "
            "starts by wavefoundry.training.trainer.train"
        )


def train_seeds(
    run: Run,
    group: str,
    model: "Model",
    stores: Sequence[Path],
    dependencies: Sequence[Path],
    delay_fraction: float,
    train_one: Callable[["TrainingSession"], "Trained"],
) -> None:
    """Train one network per seed of an entry; write its folder, and the learning curves and times of all of them.

    A stage that was killed goes on from its last checkpoint when its parameters, inputs and the code are the same.

    Args:
        run: gets the metrics of every epoch as "seed_S/NAME", and the model folders.
        group: of the entry, "pretrain", "teach" or "distill".
        model: the entry.
        stores: what is learnt from, of the kind that the family reads.
        dependencies: all inputs of the stage, the digests of its code among them.
        delay_fraction: share of the delay bins that angle-delay maps keep.
        train_one: called after torch was seeded.
    """
    import torch

    from storage.batches.batches import CSIBatches
    from storage.models.model_folder import save_model
    from wavefoundry.training.session import TrainingSession

    torch.set_num_threads(THREADS)
    folder = CHECKPOINTS / f"{group}@{model.name}" / _key(model, dependencies, delay_fraction)
    dataset = CSIBatches(list(stores), model.options.reads, "train")
    histories: dict[int, list[dict]] = {}
    seconds: dict[int, float | None] = {}
    for seed in model.seeds:
        torch.manual_seed(seed)
        # What a training took before it was interrupted is not known.
        whole, start = not (folder / f"seed_{seed}").exists(), time.perf_counter()
        trained = train_one(
            TrainingSession(
                dataset=dataset,
                validation=lambda: CSIBatches(list(stores), model.options.reads, "validation"),
                delay_fraction=delay_fraction,
                seed=seed,
                checkpoints=folder / f"seed_{seed}",
                on_epoch=_report(run, f"seed_{seed}"),
                take_champion=lambda network: take_champion(run, network, model.name),
                language_model=load_language_model,
            )
        )
        seconds[seed] = round(time.perf_counter() - start, 1) if whole else None
        if trained.backbone is not None:
            save_model(trained.backbone, backbone_folder(model.name, seed))
        save_model(trained.model, model_folder(model.name, seed))
        histories[seed] = trained.history
    write_history(history_file(model.name), histories)
    write_json(training_time_file(model.name), {"seconds": seconds})
    run.log_folder(models_folder(model.name), "model")
    _remove_checkpoints(CHECKPOINTS / f"{group}@{model.name}")


def take_champion(run: Run, network: "nn.Module", name: str) -> None:
    """Let a training go on from the registry's champion: its weights into `network`, its version into the run's tags.

    What comes out depends on what was champion, not on data and parameters alone.

    Args:
        run: gets the tag "warm_start".
        network: of the champion's architecture.
        name: of the registered predictor.

    Raises:
        StorageError: `name` has no champion, or its weights are damaged or do not fit.
    """
    from storage.models.model_folder import load_weights
    from storage.tracking.registry import Registry, clear_failures, fetch_model

    with tempfile.TemporaryDirectory() as folder, clear_failures():
        champion = Registry().champion(name)
        if champion is None:
            raise StorageError(
                f"{name} has no champion to go on from; train and register it once with warm_start: false"
            )
        weights = load_weights(fetch_model(champion, Path(folder)))
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != wanted:
        raise StorageError(f"warm_start: the champion {champion.uri} has another architecture; set warm_start: false")
    network.load_state_dict(weights)
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


def _key(model: "Model", dependencies: Sequence[Path], delay_fraction: float) -> str:
    """Hash of all that decides about the weights."""
    parts = {
        "options": model.options.model_dump(mode="json"),
        "objective": model.objective and model.objective.model_dump(mode="json"),
        "seeds": model.seeds,
        "delay_fraction": delay_fraction,
        "dependencies": {str(path): digest(path) for path in dependencies},
        "code": {str(file): digest(file) for file in closure(["stages.train", "stages.distill"])},
        "versions": {package: version(package) for package in ("torch", "transformers")},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _remove_checkpoints(folder: Path) -> None:
    """Those of earlier parameters and inputs too. Renamed first: killed half-way, none is taken for complete later."""
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
