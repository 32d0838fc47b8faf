"""Stages evaluate_downstream_GROUP@NAME and evaluate_downstream_raw: what the representations of a network are worth.

NAME is an entry of `pretrain`, `teach` or `distill`; `raw` stands for the raw channel, with which every network is
compared, and for what is reached without learning. Scores lie in metrics/, how long they took in measurements/.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import params
from stages.paths import TASKS, csi_store, embedder_folder, inputs_file, measured_file, scores_file
from stages.stage import clear_errors, stage
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.options import RAW, UNTRAINED, Downstream
from wavefoundry.evaluation.downstream.parts import CURVE, TUNED
from wavefoundry.evaluation.downstream.task import tasks_of

if TYPE_CHECKING:
    from stages.schema import Params
    from wavefoundry.evaluation.downstream.inputs import Input
    from wavefoundry.evaluation.downstream.snapshots import Snapshots
    from wavefoundry.evaluation.downstream.suite import Row, Suite


def load_snapshots(section: Downstream) -> "Snapshots":
    """Channels of one data set with labels from it and from the data set of the beams.

    Raises:
        InputError: the two do not share a site, or the beams' array has no DFT codebook of this size.
    """
    import numpy as np
    import torch

    from storage.stores.csi_store import SPLITS, open_store, read_array, split_indices
    from wavefoundry.evaluation.downstream.labels import best_beams
    from wavefoundry.evaluation.downstream.samples import KEYS, pair_samples
    from wavefoundry.evaluation.downstream.snapshots import Snapshots

    paths = {name: csi_store(name) for name in (section.channels, section.beams)}
    stores = {name: open_store(path, "csi") for name, path in paths.items()}
    channels, beams = stores[section.channels], stores[section.beams]
    try:
        rows, beam_rows = pair_samples(channels, beams)
    except InputError as error:
        names = f"{section.channels}, evaluate.downstream.beams: {section.beams}"
        raise InputError(f"evaluate.downstream.channels: {names}: {error}") from None
    if "los" not in channels:
        raise InputError(f"evaluate.downstream.channels: {section.channels} has no variable 'los'")

    def snapshots(name: str, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(read_array(paths[name], stores[name], "csi")[rows, 0])

    return Snapshots(
        snapshots(section.channels, rows),
        channels["los"].values[rows],
        best_beams(snapshots(section.beams, beam_rows), section.codebook).numpy(),
        channels["position"].values[rows, 0, :2],
        np.stack([channels[name].values[rows] for name in KEYS], axis=1),
        {split: np.flatnonzero(np.isin(rows, split_indices(channels, split))) for split in SPLITS},
    )


class NetworkEvaluation:
    """The downstream tasks on the network of one entry.

    Args:
        name: of the entry.
        parameters: with `evaluate.downstream`.
    """

    def __init__(self, name: str, parameters: "Params"):
        section = parameters.evaluate.downstream
        assert section is not None
        self._name = name
        self._section = section
        self._model = parameters.models[name]
        self._facts = parameters.facts(section.channels)
        self.folder = embedder_folder(name, self._model.seeds[0])
        granularities = self._model.options.granularities
        self._sizes = None if granularities is None else [s for s in section.patch_sizes if s in granularities]

    def why_not(self) -> str | None:
        """Why there is nothing to evaluate; None if there is."""
        from wavefoundry.networks.capabilities import Embedder

        reason = self._model.options.why_not_embed(self._facts)
        if reason:
            return f"it gives no representations of {self._section.channels}: {reason}"
        if self._sizes == []:
            granularities = self._model.options.granularities
            return f"none of evaluate.downstream.patch_sizes {self._section.patch_sizes} is among its {granularities}"
        return None if isinstance(self._load(), Embedder) else "its network gives no representations of single slots"

    def frozen(self, suite: "Suite") -> "tuple[list[Row], list[Row]]":
        """Scores of the frozen network and of its control, and the seconds that each took.

        The control is the same network before any training, on the features that were chosen for the trained one.
        """
        start = time.perf_counter()
        rows, choices = suite.evaluate(self._name, self._inputs(self._load()))
        trained = time.perf_counter()
        control = self._name + UNTRAINED
        rows += suite.evaluate_choices(control, self._inputs(self._before_training()), choices)
        seconds = {self._name: trained - start, control: time.perf_counter() - trained}
        return rows, [_seconds(model, self._section, value) for model, value in seconds.items()]

    def tuned(self, suite: "Suite", snapshots: "Snapshots") -> "tuple[list[Row], list[Row]]":
        """Scores of heads trained together with the last layers, and the seconds that they took; nothing where the
        study or the network leaves them out."""
        from wavefoundry.evaluation.downstream.inputs import NATIVE
        from wavefoundry.evaluation.downstream.suite import Choice
        from wavefoundry.evaluation.downstream.tuning import tune
        from wavefoundry.networks.capabilities import Tunable

        section = self._section.tuning
        if section is None or not self._model.options.tunable_layers or not isinstance(self._load(), Tunable):
            return [], []
        if self._sizes is not None and section.patch_size not in self._sizes:
            return [], []
        patch_size = None if self._sizes is None else section.patch_size
        choice = Choice("mean", NATIVE if patch_size is None else str(patch_size))
        samples = {split: len(rows) for split, rows in snapshots.rows.items()}
        start, rows, tasks = time.perf_counter(), [], tasks_of(self._section)
        for task in section.tasks:
            scores = {}
            for seed in self._section.seeds:
                # The losses of a dozen short trainings would bury what the stage has to say.
                with tempfile.TemporaryDirectory() as checkpoints, redirect_stderr(io.StringIO()):
                    scores[seed] = tune(
                        tasks[task], self._load(), patch_size, snapshots, section, seed, Path(checkpoints)
                    )
            rows += suite.rows(self._name, task, TUNED, choice, section.fraction, scores, samples)
        return rows, [_seconds(self._name, self._section, time.perf_counter() - start) | {"part": TUNED}]

    def _load(self) -> Any:
        from storage.models.model_folder import load_model
        from wavefoundry.networks.config import register

        register(self._model.family)
        return load_model(self.folder)

    def _before_training(self) -> Any:
        import torch

        trained = self._load()
        torch.manual_seed(self._model.seeds[0])
        return type(trained)(trained.config).eval()

    def _inputs(self, network: Any) -> "dict[str, Input]":
        from wavefoundry.evaluation.downstream.inputs import network_inputs

        return network_inputs(network, self._sizes)


def evaluate_raw(suite: "Suite", section: Downstream) -> "tuple[list[Row], list[Row]]":
    """Scores of the raw channel and what is reached without learning, and the seconds that they took."""
    from wavefoundry.evaluation.downstream.inputs import raw_inputs

    start = time.perf_counter()
    rows, _ = suite.evaluate(RAW, raw_inputs(section.patch_sizes))
    rows += suite.references()
    return rows, [_seconds(RAW, section, time.perf_counter() - start)]


def _seconds(model: str, section: Downstream, value: float) -> "Row":
    return {
        "evaluation": "downstream",
        "model": model,
        "dataset": section.channels,
        "metric": "seconds",
        "value": round(value, 1),
    }


def on_one_thread(function: Callable[[], Any]) -> Any:
    """Call a function with one thread for all libraries, by which sums are rounded alike on every machine."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    with threadpool_limits(1):
        return function()


def summarise(rows: "Iterable[Row]", section: Downstream) -> dict[str, float]:
    """{"TASK.MODEL.METRIC_P_percent": mean over seeds} of the curves, on the test split, for the record of the run."""
    found: dict[str, list[float]] = {}
    tasks = tasks_of(section)
    for row in rows:
        if row["part"] == CURVE and row["split"] == "test" and row["metric"] == tasks[row["question"]].metric:
            percent = f"{100 * row['label_fraction']:g}"
            key = f"{row['question']}.{row['model']}.{row['metric']}_{percent}_percent"
            found.setdefault(key, []).append(row["value"])
    return {key: sum(values) / len(values) for key, values in found.items()}


def evaluate(name: str, parameters: "Params") -> "tuple[list[Row], list[Row]]":
    """Scores and seconds of one entry, or of the raw channel, as rows of the tidy table."""
    from wavefoundry.evaluation.downstream.suite import Suite

    section = parameters.evaluate.downstream
    assert section is not None
    network = None if name == RAW else NetworkEvaluation(name, parameters)
    if network is not None and (reason := network.why_not()):
        print(f"{name}: no downstream tasks, for {reason}")
        return [], []
    snapshots = load_snapshots(section)
    suite = Suite(tasks_of(section), snapshots, section)
    if network is None:
        return evaluate_raw(suite, section)
    rows, seconds = network.frozen(suite)
    more_rows, more_seconds = network.tuned(suite, snapshots)
    return rows + more_rows, seconds + more_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate_downstream", description=__doc__)
    parser.add_argument("name", help=f"an entry of pretrain, teach or distill in params.yaml, or {RAW}")
    name = parser.parse_args().name
    with clear_errors():
        parameters = params.read()
        section = parameters.evaluate.downstream
        if section is None:
            raise InputError(f"{params.PATH}: evaluate.downstream is null, and with it the downstream tasks")
        if name != RAW and name not in parameters.models:
            raise InputError(f"there is no entry {name!r} to evaluate, found: {', '.join([RAW, *parameters.models])}")
    inputs = [csi_store(section.channels), csi_store(section.beams), TASKS]
    stage_name = "evaluate_downstream_raw"
    if name != RAW:
        model = parameters.models[name]
        inputs += [embedder_folder(name, model.seeds[0]), inputs_file(name, "code")]
        stage_name = f"evaluate_downstream_{model.group}@{name}"
    scores, measured = scores_file("downstream", name), measured_file("downstream", name)
    with stage(stage_name, section=section, dependencies=inputs, outputs=[scores, measured]) as run:
        from storage.tables import write_table
        from wavefoundry.evaluation.results import as_table

        rows, seconds = on_one_thread(lambda: evaluate(name, parameters))
        write_table(scores, as_table(rows))
        write_table(measured, as_table(seconds))
        run.log_metrics(summarise(rows, section))


if __name__ == "__main__":
    main()
