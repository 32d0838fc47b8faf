"""Stages evaluate_downstream_GROUP@NAME and evaluate_downstream_raw: what the representations of a network are worth.

NAME is an entry of `pretrain`, `teach` or `distill`; `raw` stands for the raw channel, with which every network is
compared, and for what is reached without learning. Scores lie in metrics/, how long they took in measurements/.
"""

import io
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import params
from stages.arguments import group_and_name
from stages.json_files import write_json
from stages.paths import (
    TASKS,
    csi_store,
    embedder_folder,
    inputs_file,
    samples_file,
    scores_file,
    seconds_file,
)
from stages.stage import clear_errors, stage
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, UNTRAINED, Downstream
from wavefoundry.evaluation.downstream.parts import CURVE, FROZEN, TUNED
from wavefoundry.evaluation.downstream.task import tasks_of

if TYPE_CHECKING:
    from stages.schema import Params
    from wavefoundry.evaluation.downstream.inputs import Input
    from wavefoundry.evaluation.downstream.probing import Probing, Results, Row
    from wavefoundry.evaluation.downstream.snapshots import Snapshots

GROUPS = (RAW, "pretrain", "teach", "distill")
Seconds = dict[str, float]  # by what took them


def load_snapshots(section: Downstream) -> "Snapshots":
    """Channels of one data set with labels from it and from the data set of the beams.

    Snapshots that are zero throughout at one of the two carriers have no NMSE or no best beam: they are left out, and a
    line tells how many.

    Raises:
        InputError: the two do not share a site, the beams' array has no DFT codebook of this size, or a split has no
            snapshot left.
    """
    import numpy as np
    import torch

    from storage.stores.csi_store import SPLITS, open_store, read_array, split_indices
    from wavefoundry.csi.silence import silent
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

    csi, beam_csi = snapshots(section.channels, rows), snapshots(section.beams, beam_rows)
    heard = ~(silent(csi) | silent(beam_csi))
    left_out = int((~heard).sum())
    if left_out:
        print(
            f"evaluate.downstream: {left_out} of {len(rows)} snapshots are left out, the first of them sample "
            f"{rows[~heard.numpy()][0]} of {section.channels}: there or in {section.beams} they are zero throughout, "
            "and have no NMSE or no best beam"
        )
        rows, csi, beam_csi = rows[heard.numpy()], csi[heard], beam_csi[heard]
    for split in SPLITS:
        if not np.isin(rows, split_indices(channels, split)).any():
            raise InputError(
                f"evaluate.downstream: {section.channels} and {section.beams} share no snapshot of the split {split} "
                "that is not zero throughout"
            )
    return Snapshots(
        csi,
        channels["los"].values[rows],
        best_beams(beam_csi, section.codebook).numpy(),
        channels["position"].values[rows, 0, :2],
        np.stack([channels[name].values[rows] for name in KEYS], axis=1),
        {split: np.flatnonzero(np.isin(rows, split_indices(channels, split))) for split in SPLITS},
        left_out,
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
        self._parameters = parameters
        self._section = section
        self._model = parameters.models[name]
        self._facts = parameters.facts(section.channels)
        self._folder = embedder_folder(name, self._model.seeds[0])
        self._sizes = None if self._model.options.granularities is None else section.patch_sizes

    def why_not(self) -> str | None:
        """Why there is nothing to evaluate; None if there is."""
        from wavefoundry.networks.capabilities import Embedder

        reason = self._model.options.why_not_embed(self._facts)
        if reason:
            return f"it gives no representations of {self._section.channels}: {reason}"
        return None if isinstance(self._load(), Embedder) else "its network gives no representations of single slots"

    def frozen(self, probing: "Probing") -> "tuple[Results, Seconds]":
        """Scores of the frozen network and of its control, and the seconds that each took.

        The control is the same network before any training. Representation and patch size are chosen for each of them,
        in the same way: those that suit the trained one may be the worst of the other.
        """
        start, section = time.perf_counter(), self._section
        results = probing.evaluate(self._name, self._inputs(self._load()), section.label_fractions)
        trained = time.perf_counter()
        control, inputs = self._name + UNTRAINED, self._inputs(self._before_training())
        results.add(probing.evaluate(control, inputs, [section.choice_fraction]))
        seconds = {self._name: _rounded(trained - start), control: _rounded(time.perf_counter() - trained)}
        return results, seconds

    def tuned(self, probing: "Probing", snapshots: "Snapshots") -> "tuple[Results, Seconds]":
        """Scores of heads trained together with the last layers, those of the same heads trained in the same way on the
        network as it is, and the seconds that all of them took; nothing where the study or the network leaves them out.
        """
        from wavefoundry.evaluation.downstream.inputs import NATIVE
        from wavefoundry.evaluation.downstream.probing import Choice, Results
        from wavefoundry.evaluation.downstream.tuning import tune
        from wavefoundry.networks.capabilities import Tunable

        section = self._section.tuning
        if section is None or not self._model.options.tunable_layers or not isinstance(self._load(), Tunable):
            return Results(), {}
        patch_size = None if self._sizes is None else section.patch_size
        choice = Choice("mean", NATIVE if patch_size is None else str(patch_size))
        start, tasks, results = time.perf_counter(), tasks_of(self._section), Results()
        for name in section.tasks:
            task = tasks[name]
            assert isinstance(task, ClassificationTask)
            for part, layers in ((FROZEN, 0), (TUNED, section.layers)):
                found = {}
                for seed in self._section.seeds:
                    # The losses of a dozen short trainings would bury what the stage has to say.
                    with tempfile.TemporaryDirectory() as checkpoints, redirect_stderr(io.StringIO()):
                        found[seed] = tune(
                            task, self._load(), patch_size, layers, snapshots, section, seed, Path(checkpoints)
                        )
                results.add(probing.results(self._name, name, part, choice, section.fraction, found, snapshots.rows))
        return results, {f"{self._name}, last layers tuned and frozen": _rounded(time.perf_counter() - start)}

    def _load(self) -> Any:
        from stages.loading import load_network

        return load_network(self._parameters, self._name, self._folder)

    def _before_training(self) -> Any:
        import torch

        trained = self._load()
        torch.manual_seed(self._model.seeds[0])
        return type(trained)(trained.config).eval()

    def _inputs(self, network: Any) -> "dict[str, Input]":
        from wavefoundry.evaluation.downstream.inputs import network_inputs

        return network_inputs(network, self._sizes)


def evaluate_raw(probing: "Probing", section: Downstream) -> "tuple[Results, Seconds]":
    """Scores of the raw channel and what is reached without learning, and the seconds that they took."""
    from wavefoundry.evaluation.downstream.inputs import raw_inputs

    start = time.perf_counter()
    results = probing.evaluate(RAW, raw_inputs(section.patch_sizes), section.label_fractions)
    results.add(probing.references())
    patches = time.perf_counter()
    results.add(probing.whole_channels())
    return results, {RAW: _rounded(patches - start), RAW_LMMSE: _rounded(time.perf_counter() - patches)}


def _rounded(seconds: float) -> float:
    return round(seconds, 1)


def on_one_thread(function: Callable[[], Any]) -> Any:
    """Call a function with one thread for all libraries, by which sums are rounded alike on every machine."""
    import torch
    from threadpoolctl import threadpool_limits

    # Libraries that are loaded later would keep their threads.
    import wavefoundry.evaluation.downstream.heads
    import wavefoundry.evaluation.downstream.inputs  # noqa: F401

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


def evaluate(name: str, parameters: "Params") -> "tuple[Results, Seconds]":
    """Scores of one entry, or of the raw channel, and seconds by what took them; nothing, and the reason printed, where
    there is nothing to evaluate."""
    from wavefoundry.evaluation.downstream.probing import Probing, Results

    section = parameters.evaluate.downstream
    if section is None:
        print(f"{name}: no downstream tasks, for evaluate.downstream is null")
        return Results(), {}
    network = None if name == RAW else NetworkEvaluation(name, parameters)
    if network is not None and (reason := network.why_not()):
        print(f"{name}: no downstream tasks, for {reason}")
        return Results(), {}
    snapshots = load_snapshots(section)
    probing = Probing(tasks_of(section), snapshots, section)
    if network is None:
        return evaluate_raw(probing, section)
    results, seconds = network.frozen(probing)
    tuned, more_seconds = network.tuned(probing, snapshots)
    results.add(tuned)
    return results, seconds | more_seconds


def main() -> None:
    group, name = group_and_name("stages.evaluate_downstream", __doc__, GROUPS)
    with clear_errors():
        parameters = params.read()
        if group == RAW and name != RAW:
            raise InputError(f"{RAW} is {name!r}, allowed: {RAW}")
        model = None if group == RAW else parameters.model(name, [group])
    section = parameters.evaluate.downstream
    inputs = [TASKS] if section is None else [TASKS, csi_store(section.channels), csi_store(section.beams)]
    stage_name = "evaluate_downstream_raw"
    if model is not None:
        inputs += [embedder_folder(name, model.seeds[0]), inputs_file(name, "embedded"), inputs_file(name, "code")]
        stage_name = f"evaluate_downstream_{group}@{name}"
    scores, samples, costs = scores_file("downstream", name), samples_file("downstream", name), seconds_file(name)
    with stage(stage_name, section=section, dependencies=inputs, outputs=[scores, samples, costs]) as run:
        from storage.tables import write_table
        from wavefoundry.evaluation.results import DOWNSTREAM_SAMPLE_COLUMNS, as_table, table_of_samples

        results, seconds = on_one_thread(lambda: evaluate(name, parameters))
        write_table(scores, as_table(results.rows))
        write_table(samples, table_of_samples(results.samples, DOWNSTREAM_SAMPLE_COLUMNS))
        write_json(costs, {"seconds": seconds})
        if section is not None:
            run.log_metrics(summarise(results.rows, section))


if __name__ == "__main__":
    main()
