"""Stage evaluate@downstream: what the embeddings of every backbone are worth, against the raw channel.

Scores lie in metrics/, how long they took in measurements/.
"""

import tempfile
import time
from pathlib import Path

from stages import params
from stages.csi import store_path
from stages.evaluate_prediction import write_json
from stages.pretrain import backbone_folder
from stages.stage import clear_errors, stage
from stages.training import THREADS, model_folder

RAW, CONTROL = "raw", "wimamba_untrained"


def backbones(parameters: params.Params) -> dict[str, Path]:
    """The folder of every backbone, of its first seed."""
    pretrain = parameters.pretrain
    return {
        "wimamba": model_folder("wimamba", pretrain.wimamba.seeds[0]),
        "lwm": model_folder("lwm", pretrain.lwm.seeds[0]),
        "lwm_temporal": backbone_folder("lwm_temporal", pretrain.lwm_temporal.seeds[0]),
        "wifo": model_folder("wifo", parameters.teach.wifo.seeds[0]),
    }


def load_snapshots(section):
    """Channels of one data set with labels from it and from the data set of the beams.

    Raises:
        InputError: the two do not share a site, or the beams' array has no DFT codebook of this size.
    """
    import numpy as np
    import torch

    from storage.csi_store import SPLITS, open_store, read_array, split_indices
    from wavefoundry.errors import InputError
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


def load_inputs(parameters: params.Params) -> dict:
    """{input: {patch size: how to read snapshots}}: the raw channel, and every backbone."""
    from storage.checkpoints import load_model
    from wavefoundry.evaluation.downstream import inputs

    sizes = parameters.evaluate.downstream.patch_sizes
    models = {name: load_model(folder) for name, folder in backbones(parameters).items()}

    def every_size(model) -> dict:
        return {str(size): inputs.snapshot_backbone(model, size) for size in sizes}

    # Flattened, the raw channel is the same at every patch size.
    raw = {str(size): inputs.raw_channel(size, ("flattened",) if size == sizes[0] else ()) for size in sizes}
    return {
        RAW: raw,
        "wimamba": every_size(models["wimamba"]),
        CONTROL: every_size(untrained(models["wimamba"], parameters.pretrain.wimamba.seeds[0])),
        "lwm": every_size(models["lwm"]),
        "lwm_temporal": {"native": inputs.lwm_temporal_backbone(models["lwm_temporal"])},
        "wifo": {"native": inputs.wifo_backbone(models["wifo"])},
    }


def untrained(model, seed: int):
    """The same network as it was before its training."""
    import torch

    torch.manual_seed(seed)
    return type(model)(model.config).eval()


def evaluate_all(parameters: params.Params, snapshots) -> tuple[dict, dict]:
    """{input: scores}, and {input: seconds}."""
    from dataclasses import asdict

    from tqdm import tqdm

    from wavefoundry.evaluation.downstream.suite import evaluate_input

    section = parameters.evaluate.downstream
    results, seconds = {}, {}
    for name, by_patch in tqdm(load_inputs(parameters).items(), desc="inputs", unit="input"):
        start = time.perf_counter()
        # The control goes without a search of its own: it shows what pretraining gives to the same features.
        choices = results["wimamba"]["chosen"] if name == CONTROL else None
        results[name] = asdict(evaluate_input(by_patch, snapshots, section, choices))
        seconds[name] = round(time.perf_counter() - start, 1)
    return results, seconds


def tune_all(parameters: params.Params, snapshots) -> dict:
    """{task: {model: {"validation" or "test": {metric: one value per seed}}}} with the last layers tuned."""
    from tqdm import tqdm

    from storage.checkpoints import load_model
    from wavefoundry.evaluation.downstream.suite import collect
    from wavefoundry.evaluation.downstream.tuning import TUNED_TASKS, tune

    section = parameters.evaluate.downstream
    if section.tuning is None:
        return {}
    folders = backbones(parameters)
    found: dict = {task: {} for task in TUNED_TASKS}
    work = [(task, name) for task in TUNED_TASKS for name in params.SNAPSHOT_MODELS]
    for task, name in tqdm(work, desc="last layers tuned", unit="model"):
        by_seed = []
        for seed in section.seeds:
            with tempfile.TemporaryDirectory() as checkpoints:
                backbone = load_model(folders[name])
                by_seed.append(tune(task, backbone, snapshots, section.tuning, seed, Path(checkpoints)))
        found[task][name] = collect(by_seed)
    return found


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
    detail, summary = Path("metrics/downstream.json"), Path("metrics/downstream_summary.json")
    costs, figures = Path("measurements/downstream.json"), Path("figures/downstream")
    inputs = [store_path(section.channels), store_path(section.beams), *backbones(parameters).values()]
    with stage(
        "evaluate@downstream", section=section, dependencies=inputs, outputs=[detail, summary, costs, figures]
    ) as run:
        import torch

        import wavefoundry.models  # noqa: F401  (registers the architectures)
        from wavefoundry.evaluation.downstream.references import references
        from wavefoundry.evaluation.downstream.tasks import TASKS
        from wavefoundry.plots.downstream import draw_curves, draw_patch_sizes

        torch.set_num_threads(THREADS)
        snapshots = load_snapshots(section)
        results, seconds = evaluate_all(parameters, snapshots)
        start = time.perf_counter()
        tuned = tune_all(parameters, snapshots)
        seconds["last layers tuned"] = round(time.perf_counter() - start, 1)
        simple = {task: {"what": what} | scores for task, (what, scores) in references(snapshots, section).items()}
        content = {
            "samples": {split: len(rows) for split, rows in snapshots.rows.items()},
            "label_fractions": section.label_fractions,
            "choice_fraction": section.choice_fraction,
            "references": simple,
            "inputs": results,
            "tuned": tuned,
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
