"""Stage evaluate@prediction: time- and frequency-domain NMSE of every predictor on held-out trajectories, and its cost.

Scores are a function of data and weights alone and lie in metrics/; latencies, which differ from run to run, lie in
measurements/.
"""

from pathlib import Path

from stages import params
from stages.angle_delay import array_shape
from stages.csi import store_path
from stages.json_files import write_json
from stages.model_folders import model_folder
from stages.stage import clear_errors, stage

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
    """CSI tensors (sample, time, antenna, subcarrier) of one split, by data set."""
    import torch

    from storage.csi_store import open_store, read_array, split_indices

    data = {}
    for name in names:
        path = store_path(name)
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


def readers(predictors: dict, parameters: params.Params, dataset: str) -> dict[str, dict]:
    """The predictors that can read a data set; classical ones read all."""
    trained = parameters.predictors
    return {
        name: by_seed
        for name, by_seed in predictors.items()
        if name not in trained or dataset in parameters.read_by(name)
    }


def score_all(predictors: dict, parameters: params.Params) -> dict:
    """{predictor: {axis: {data set or "all": {"nmse_db": {seed: dB}, "validation_nmse_db": {seed: dB}}}}}.

    "all" is the mean over the data sets that every predictor has learnt from; each counts the same, however
    many samples it has.
    """
    from tqdm import tqdm

    from wavefoundry.evaluation.metrics import to_db
    from wavefoundry.evaluation.prediction import score

    section, names = parameters.evaluate.prediction, list(parameters.sequences)
    result: dict = {}
    data = {split: load_split(names, split) for split in SPLITS}
    work = [(split, task, dataset, name, label) for split in SPLITS for task in tasks(section) for dataset in names
            for name, by_seed in readers(predictors, parameters, dataset).items() for label in by_seed]  # fmt: skip
    errors: dict = {}
    for split, task, dataset, name, label in tqdm(work, desc="scores", unit="score"):
        error = score(predictors[name][label], data[split][dataset], task, section.batch_size).mean().item()
        errors.setdefault((name, task.axis, split, label), {})[dataset] = error
    for (name, axis, split, label), by_dataset in errors.items():
        mean = sum(by_dataset[dataset] for dataset in parameters.compared) / len(parameters.compared)
        for dataset, error in (by_dataset | {"all": mean}).items():
            by_seed = result.setdefault(name, {}).setdefault(axis, {}).setdefault(dataset, {})
            by_seed.setdefault(SPLITS[split], {})[label] = round(to_db(error), 6)
    return {name: result[name] for name in predictors}


def summarise(scores: dict) -> dict:
    """Mean and spread (standard deviation over seeds) of the test NMSE over "all", {predictor: {key: dB}}."""
    import statistics

    summary = {}
    for name, by_axis in scores.items():
        summary[name] = {}
        for axis, by_dataset in by_axis.items():
            values = list(by_dataset["all"]["nmse_db"].values())
            summary[name][f"{axis}_nmse_db"] = round(statistics.mean(values), 4)
            if len(values) > 1:
                summary[name][f"{axis}_nmse_db_spread"] = round(statistics.stdev(values), 4)
    return summary


def measure_costs(predictors: dict, section, name: str) -> dict:
    """Parameters and latency of each predictor on samples of one data set."""
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
    return {"dataset": name, "batch": section.latency_batch, "predictors": costs}


def draw_example(predictors: dict, section, name: str, figure: Path) -> None:
    """True and predicted angle-delay maps of the last slot of the fastest test user, with the errors."""
    from storage.csi_store import open_store, split_indices
    from wavefoundry.csi.angle_delay import to_angle_delay
    from wavefoundry.plots.prediction import draw_maps

    store = open_store(store_path(name), "csi")
    rows = split_indices(store, "test")
    speeds = store["speed"].values[rows] if "speed" in store else None
    user = 0 if speeds is None else int(speeds.argmax())
    csi = load_split([name], "test")[name][user : user + 1]
    known, target = tasks(section)[0].split(csi)
    shape = array_shape(store)

    def last_map(part):
        return to_angle_delay(part[0, -1], shape, part.shape[-1]).numpy()

    predicted = {
        predictor: last_map(next(iter(by_seed.values())).predict(known, "time", target.shape[1]))
        for predictor, by_seed in predictors.items()
    }
    horizon_ms = 1e3 * target.shape[1] * float(store["time"][1] - store["time"][0])
    title = f"{name}: {horizon_ms:.1f} ms ahead" + ("" if speeds is None else f" at {speeds[user]:.1f} m/s")
    draw_maps(last_map(target), predicted, title, figure)


@clear_errors()
def main() -> None:
    parameters = params.read()
    section, names = parameters.evaluate.prediction, list(parameters.sequences)
    detail, summary = Path("metrics/prediction.json"), Path("metrics/prediction_summary.json")
    costs, figures = Path("measurements/prediction.json"), Path("figures/prediction")
    inputs = [store_path(name) for name in names]
    inputs += [model_folder(name, seed) for name, seeds in parameters.predictors.items() for seed in seeds]
    with stage(
        "evaluate@prediction", section=section, dependencies=inputs, outputs=[detail, summary, costs, figures]
    ) as run:
        predictors = load_predictors(parameters)
        scores = score_all(predictors, parameters)
        write_json(detail, scores)
        write_json(summary, summarise(scores))
        write_json(costs, measure_costs(predictors, section, parameters.compared[0]))
        for name in names:
            draw_example(readers(predictors, parameters, name), section, name, figures / f"{name}.png")
            run.log_figure(figures / f"{name}.png")
        run.log_metrics(
            {f"{name}.{key}": value for name, values in summarise(scores).items() for key, value in values.items()}
        )


if __name__ == "__main__":
    main()
