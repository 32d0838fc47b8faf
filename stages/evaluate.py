"""Stage evaluate@prediction: time- and frequency-domain NMSE of every predictor on held-out trajectories, and its cost.

Scores are a function of data and weights alone and lie in metrics/; latencies, which differ from run to run, lie in
measurements/.
"""

import argparse
import json
from pathlib import Path

from stages import params
from stages.stage import clear_errors, stage
from stages.training import model_folder

SPLITS = {"test": "nmse_db", "validation": "validation_nmse_db"}
CLASSICAL_SEED = "no_seed"


def load_predictors(parameters: params.Params) -> dict[str, dict]:
    """Every predictor by name and seed label, classical ones first."""
    import wavefoundry.models  # noqa: F401  (registers the architectures)
    from storage.checkpoints import load_model
    from wavefoundry.evaluation.classical import Autoregression, SampleAndHold

    section = parameters.evaluate.prediction
    predictors = {
        "sample_and_hold": {CLASSICAL_SEED: SampleAndHold()},
        "autoregression": {CLASSICAL_SEED: Autoregression(section.autoregression.order)},
    }
    for name, seeds in parameters.predictors.items():
        predictors[name] = {f"seed_{seed}": load_model(model_folder(name, seed)) for seed in seeds}
    return predictors


def load_split(names: list[str], split: str) -> dict:
    """CSI tensors (sample, time, antenna, subcarrier) of one split, by scenario."""
    import torch

    from storage.csi_store import open_store, read_array, split_indices

    data = {}
    for name in names:
        path = Path(f"data/csi/{name}.zarr")
        store = open_store(path, "csi")
        data[name] = torch.from_numpy(read_array(path, store, "csi")[split_indices(store, split)])
    return data


def tasks(section) -> list:
    """The prediction tasks that a params section asks for."""
    from wavefoundry.evaluation.prediction import Task

    return [
        Task("time", section.history_fraction, section.snr_db, section.noise_seed),
        Task("frequency", section.band_fraction, section.snr_db, section.noise_seed),
    ]


def score_all(predictors: dict, section, names: list[str]) -> dict:
    """{predictor: {axis: {scenario or "all": {"nmse_db": {seed: dB}, "validation_nmse_db": {seed: dB}}}}}."""
    from tqdm import tqdm

    from wavefoundry.evaluation.metrics import to_db
    from wavefoundry.evaluation.prediction import score

    result: dict = {}
    work = [(split, task, name, label) for split in SPLITS for task in tasks(section)
            for name, by_seed in predictors.items() for label in by_seed]  # fmt: skip
    data = {split: load_split(names, split) for split in SPLITS}
    for split, task, name, label in tqdm(work, desc="scores", unit="score"):
        by_scenario = result.setdefault(name, {}).setdefault(task.axis, {})
        errors = {}
        for scenario, csi in data[split].items():
            errors[scenario] = score(predictors[name][label], csi, task, section.batch_size).mean().item()
        # Every scenario counts the same, however many samples it has.
        errors["all"] = sum(errors.values()) / len(errors)
        for scenario, error in errors.items():
            by_scenario.setdefault(scenario, {}).setdefault(SPLITS[split], {})[label] = round(to_db(error), 6)
    return result


def summarise(scores: dict) -> dict:
    """Mean and spread (standard deviation over seeds) of the test NMSE over all scenarios, {predictor: {key: dB}}."""
    import statistics

    summary = {}
    for name, by_axis in scores.items():
        summary[name] = {}
        for axis, by_scenario in by_axis.items():
            values = list(by_scenario["all"]["nmse_db"].values())
            summary[name][f"{axis}_nmse_db"] = round(statistics.mean(values), 4)
            if len(values) > 1:
                summary[name][f"{axis}_nmse_db_spread"] = round(statistics.stdev(values), 4)
    return summary


def measure_costs(predictors: dict, section, name: str) -> dict:
    """Parameters and latency of each predictor on samples of one scenario."""
    from wavefoundry.evaluation.efficiency import latency_ms, parameter_count

    csi = load_split([name], "test")[name][: section.latency_batch]
    known, target = tasks(section)[0].split(csi)
    costs = {}
    for predictor, by_seed in predictors.items():
        model = next(iter(by_seed.values()))
        costs[predictor] = {
            "parameters": parameter_count(model),
            "latency_ms": latency_ms(model, known, target.shape[1], section.latency_repetitions),
        }
    return {"scenario": name, "batch": section.latency_batch, "predictors": costs}


def draw_example(predictors: dict, section, name: str, figure: Path) -> None:
    """True and predicted angle-delay maps of the last slot of the fastest test user, with the errors."""
    from storage.csi_store import open_store, split_indices
    from wavefoundry.csi.angle_delay import to_angle_delay
    from wavefoundry.plots.prediction import draw_maps

    store = open_store(Path(f"data/csi/{name}.zarr"), "csi")
    speeds = store["speed"].values[split_indices(store, "test")]
    user = int(speeds.argmax())
    csi = load_split([name], "test")[name][user : user + 1]
    known, target = tasks(section)[0].split(csi)
    array_shape = (store.attrs["array_rows"], store.attrs["array_columns"])

    def last_map(part):
        return to_angle_delay(part[0, -1], array_shape, part.shape[-1]).numpy()

    predicted = {
        predictor: last_map(next(iter(by_seed.values())).predict(known, "time", target.shape[1]))
        for predictor, by_seed in predictors.items()
    }
    horizon_ms = 1e3 * target.shape[1] * float(store["time"][1] - store["time"][0])
    title = f"{name}: {horizon_ms:.1f} ms ahead at {speeds[user]:.1f} m/s"
    draw_maps(last_map(target), predicted, title, figure)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=["prediction"])
    parser.parse_args()
    parameters = params.read()
    section, names = parameters.evaluate.prediction, list(parameters.scenarios)
    detail, summary = Path("metrics/prediction.json"), Path("metrics/prediction_summary.json")
    costs, figures = Path("measurements/prediction.json"), Path("figures/prediction")
    inputs = [Path(f"data/csi/{name}.zarr") for name in names]
    inputs += [model_folder(name, seed) for name, seeds in parameters.predictors.items() for seed in seeds]
    with stage(
        "evaluate@prediction", section=section, dependencies=inputs, outputs=[detail, summary, costs, figures]
    ) as run:
        predictors = load_predictors(parameters)
        scores = score_all(predictors, section, names)
        write_json(detail, scores)
        write_json(summary, summarise(scores))
        write_json(costs, measure_costs(predictors, section, names[0]))
        for name in names:
            draw_example(predictors, section, name, figures / f"{name}.png")
            run.log_figure(figures / f"{name}.png")
        run.log_metrics(
            {f"{name}.{key}": value for name, values in summarise(scores).items() for key, value in values.items()}
        )


if __name__ == "__main__":
    main()
