"""Stage evaluate@downstream: what the embeddings of every backbone are worth, against the raw channel.

Scores lie in metrics/, how long they took in measurements/.
"""

import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

from stages import params
from stages.csi import store_path
from stages.json_files import write_json
from stages.model_folders import backbones
from stages.stage import clear_errors, stage
from wavefoundry.errors import InputError

RAW = "raw"
# Networks as they were before any training: they show what pretraining gives.
CONTROLS = {"wimamba_untrained": "wimamba", "lwm_untrained": "lwm"}
INPUTS = (RAW, "wimamba", "wimamba_untrained", "lwm", "lwm_untrained", "lwm_temporal", "wifo")


def load_snapshots(section):
    """Channels of one data set with labels from it and from the data set of the beams.

    Raises:
        InputError: the two do not share a site, or the beams' array has no DFT codebook of this size.
    """
    import numpy as np
    import torch

    from storage.csi_store import SPLITS, open_store, read_array, split_indices
    from wavefoundry.evaluation.downstream.labels import best_beams
    from wavefoundry.evaluation.downstream.samples import KEYS, pair_samples
    from wavefoundry.evaluation.downstream.tasks import Snapshots

    paths = {name: store_path(name) for name in (section.channels, section.beams)}
    stores = {name: open_store(path, "csi") for name, path in paths.items()}
    channels, beams = stores[section.channels], stores[section.beams]
    try:
        rows, beam_rows = pair_samples(channels, beams)
    except InputError as error:
        names = f"{section.channels}, evaluate.downstream.beams: {section.beams}"
        raise InputError(f"evaluate.downstream.channels: {names}: {error}") from None
    if "los" not in channels:
        raise InputError(f"evaluate.downstream.channels: {section.channels} has no variable 'los'")

    def snapshots(name: str, rows):
        return torch.from_numpy(read_array(paths[name], stores[name], "csi")[rows, 0])

    return Snapshots(
        snapshots(section.channels, rows),
        channels["los"].values[rows],
        best_beams(snapshots(section.beams, beam_rows), section.codebook).numpy(),
        channels["position"].values[rows, 0, :2],
        np.stack([channels[name].values[rows] for name in KEYS], axis=1),
        {split: np.flatnonzero(np.isin(rows, split_indices(channels, split))) for split in SPLITS},
    )


def load_input(name: str, parameters: params.Params) -> dict:
    """{patch size: how to read snapshots} of the raw channel or of a backbone."""
    from storage.checkpoints import load_model
    from wavefoundry.evaluation.downstream import inputs

    sizes = parameters.evaluate.downstream.patch_sizes
    if name == RAW:
        # Flattened, the raw channel is the same at every patch size.
        return {str(size): inputs.raw_channel(size, ("flattened",) if size == sizes[0] else ()) for size in sizes}
    trained = CONTROLS.get(name, name)
    model = load_model(backbones(parameters)[trained])
    if name in CONTROLS:
        model = untrained(model, parameters.entry("pretrain", trained).seeds[0])
    if name == "lwm_temporal":
        return {"native": inputs.lwm_temporal_backbone(model)}
    if name == "wifo":
        return {"native": inputs.wifo_backbone(model)}
    return {str(size): inputs.snapshot_backbone(model, size) for size in sizes}


def untrained(model, seed: int):
    """The same network as it was before its training."""
    import torch

    torch.manual_seed(seed)
    return type(model)(model.config).eval()


def evaluate_inputs(names: list[str], parameters: params.Params) -> tuple[dict, dict]:
    """Unit of work: {"inputs": {input: scores}} and {input: seconds}."""
    from dataclasses import asdict

    from wavefoundry.evaluation.downstream.suite import InputEvaluation

    section, snapshots = parameters.evaluate.downstream, load_snapshots(parameters.evaluate.downstream)
    results, seconds = {}, {}
    for name in names:
        start = time.perf_counter()
        # A control goes without a search of its own, for it is to be compared on the same features.
        choices = results[CONTROLS[name]]["chosen"] if name in CONTROLS else None
        results[name] = asdict(InputEvaluation(load_input(name, parameters), snapshots, section, choices).run())
        seconds[name] = round(time.perf_counter() - start, 1)
    return {"inputs": results}, seconds


def tune_model(name: str, parameters: params.Params) -> tuple[dict, dict]:
    """Unit of work: {"tuned": {task: {model: {"validation" or "test": {metric: one value per seed}}}}}, seconds."""
    from storage.checkpoints import load_model
    from wavefoundry.evaluation.downstream.suite import collect
    from wavefoundry.evaluation.downstream.tuning import TUNED_TASKS, tune

    section, snapshots = parameters.evaluate.downstream, load_snapshots(parameters.evaluate.downstream)
    start = time.perf_counter()
    found = {}
    for task in TUNED_TASKS:
        by_seed = []
        for seed in section.seeds:
            # The losses of a dozen short trainings would bury what the stage has to say.
            with tempfile.TemporaryDirectory() as checkpoints, redirect_stderr(io.StringIO()):
                backbone = load_model(backbones(parameters)[name])
                by_seed.append(tune(task, backbone, snapshots, section.tuning, seed, Path(checkpoints)))
        found[task] = {name: collect(by_seed)}
    return {"tuned": found}, {f"{name}, last layers tuned": round(time.perf_counter() - start, 1)}


def do_unit(function: Callable, *arguments) -> tuple[dict, dict]:
    """A unit of work on one thread, by which sums are rounded alike on every machine."""
    import torch
    from threadpoolctl import threadpool_limits

    import wavefoundry.models  # noqa: F401  (registers the architectures)

    torch.set_num_threads(1)
    with threadpool_limits(1):
        return function(*arguments)


def evaluate_all(parameters: params.Params) -> tuple[dict, dict]:
    """{"inputs": ..., "tuned": ...} of the units of work, and {what: seconds}; the longest units come first."""
    from tqdm import tqdm

    groups = [["wimamba", "wimamba_untrained"], ["lwm", "lwm_untrained"], [RAW], ["wifo"], ["lwm_temporal"]]
    units = [(evaluate_inputs, names) for names in groups]
    if parameters.evaluate.downstream.tuning is not None:
        units += [(tune_model, name) for name in params.SNAPSHOT_MODELS]
    found: dict = {"inputs": {}, "tuned": {}}
    seconds = {}
    with ProcessPoolExecutor(parameters.workers.processes, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(do_unit, function, argument, parameters) for function, argument in units]
        for future in tqdm(futures, desc="downstream tasks", unit="unit"):
            part, took = future.result()
            seconds |= took
            found["inputs"] |= part.get("inputs", {})
            for task, scores in part.get("tuned", {}).items():
                found["tuned"].setdefault(task, {}).update(scores)
    found["inputs"] = {name: found["inputs"][name] for name in INPUTS}
    return found, seconds


def summarise(results: dict, section) -> dict:
    """{task: {input: {"METRIC_P_percent": mean over seeds, the same with "_spread": deviation}}} of the test split."""
    from wavefoundry.evaluation.downstream.tasks import TASKS
    from wavefoundry.evaluation.downstream.verdicts import mean, spread

    shown = {f"{fraction:g}" for fraction in (section.choice_fraction, max(section.label_fractions))}
    summary: dict = {}
    for task, about in TASKS.items():
        for name, result in results.items():
            row = summary.setdefault(task, {}).setdefault(name, {})
            for fraction, scores in result["curves"][task].items():
                if fraction in shown:
                    key = f"{about.metric}_{100 * float(fraction):g}_percent"
                    row[key] = round(mean(scores, "test", about.metric), 4)
                    row[f"{key}_spread"] = round(spread(scores, "test", about.metric), 4)
    return summary


@clear_errors()
def main() -> None:
    parameters = params.read()
    section = parameters.evaluate.downstream
    if section is None:
        raise InputError(f"{params.PATH}: evaluate.downstream is left out, and with it the downstream tasks")
    detail, summary = Path("metrics/downstream.json"), Path("metrics/downstream_summary.json")
    costs, figures = Path("measurements/downstream.json"), Path("figures/downstream")
    inputs = [store_path(section.channels), store_path(section.beams), *backbones(parameters).values()]
    with stage(
        "evaluate@downstream", section=section, dependencies=inputs, outputs=[detail, summary, costs, figures]
    ) as run:
        from wavefoundry.evaluation.downstream.references import references
        from wavefoundry.evaluation.downstream.tasks import TASKS
        from wavefoundry.plots.downstream import draw_curves, draw_patch_sizes

        snapshots = load_snapshots(section)
        simple = {task: {"what": what} | scores for task, (what, scores) in references(snapshots, section).items()}
        found, seconds = evaluate_all(parameters)
        results = found["inputs"]
        content = {
            "samples": {split: len(rows) for split, rows in snapshots.rows.items()},
            "label_fractions": section.label_fractions,
            "choice_fraction": section.choice_fraction,
            "references": simple,
            "tuning": section.tuning and section.tuning.model_dump(exclude={"training"}),
            **found,
        }
        write_json(detail, content)
        write_json(summary, summarise(results, section))
        write_json(costs, {"seconds": seconds})
        for task in TASKS:
            draw_curves(results, task, simple[task], figures / f"{task}.png")
            run.log_figure(figures / f"{task}.png")
        draw_patch_sizes(results, section.choice_fraction, figures / "patch_sizes.png")
        run.log_figure(figures / "patch_sizes.png")
        flat = {
            f"{task}.{name}.{key}": value
            for task, rows in summarise(results, section).items()
            for name, row in rows.items()
            for key, value in row.items()
        }
        run.log_metrics(flat)


if __name__ == "__main__":
    main()
