"""Stages evaluate_prediction_GROUP@NAME: the NMSE of one predictor on every question, on held-out trajectories.

Written are a table of results, a function of data and weights alone, the scores of single samples, and the predicted
maps that the report draws.
"""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from stages import params
from stages.arguments import group_and_name
from stages.loading import load_predictors, load_split, predictor_folders
from stages.paths import csi_store, examples_file, inputs_file, samples_file, scores_file
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    import numpy as np

    from wavefoundry.evaluation.options import Prediction
    from wavefoundry.evaluation.prediction import Question, Scores

GROUPS = ("pretrain", "teach", "distill", "predictors")
SPLITS = ("validation", "test")


def question_about(parameters: params.Params, name: str, dataset: str) -> "Question":
    """A question of the study, as it is asked about a data set that it is asked about."""
    from wavefoundry.evaluation.prediction import Question

    section = parameters.evaluate.prediction
    blocks = section.questions[name].about(dataset)
    assert blocks is not None
    return Question(blocks, section.snr_db, section.noise_seed)


def score_all(parameters: params.Params, name: str, predictors: dict) -> tuple[list[dict], list[dict]]:
    """Rows of the table of results of one entry, and the columns of its table of samples."""
    from tqdm import tqdm

    from wavefoundry.evaluation.prediction import score
    from wavefoundry.evaluation.results import sample_statistics

    section, pairs = parameters.evaluate.prediction, parameters.answered(name)
    work = [(split, *pair, seed) for split in SPLITS for pair in pairs for seed in predictors]
    datasets = list(dict.fromkeys(dataset for _, dataset in pairs))
    data = {split: {dataset: load_split(dataset, split) for dataset in datasets} for split in SPLITS}
    users = {split: {dataset: users_of(dataset, split) for dataset in datasets} for split in SPLITS}
    rows, samples = [], []
    for split, question, dataset, seed in tqdm(work, desc=f"scores of {name}", unit="score"):
        labels = {"evaluation": "prediction", "model": name, "seed": seed, "dataset": dataset, "question": question}
        asked = question_about(parameters, question, dataset)

        def scored(csi, asked_here, predictor=predictors[seed]):
            return score(predictor, csi, asked_here, section.batch_size, section.beamforming_snr_db)

        found = scored(data[split][dataset], asked)
        rows += [labels | {"split": split} | row for row in rows_of(found, section, users[split][dataset], split)]
        columns = {"model": name, "seed": seed, "question": question, "dataset": dataset, "split": split}
        values = {"nmse": found.nmse.numpy(), "spectral_efficiency": found.rate.numpy()}
        if found.expected is not None:
            values["expected_nmse"] = found.expected.numpy()
        samples.append(columns | users[split][dataset] | values)
        if split == "test" and seed == next(iter(predictors)):
            csi = data[split][dataset]
            chosen = spread_out(len(csi), section.snr_curve_samples)
            for snr_db in section.snr_curve:
                other = replace(asked, snr_db=snr_db)
                at = scored(csi[chosen], other).nmse.numpy()
                row = {"split": split, "metric": "nmse_at_snr", "part": f"{snr_db:g} dB"}
                rows.append(labels | row | sample_statistics(at))
    return rows, samples


def rows_of(found: "Scores", section: "Prediction", users: dict, split: str) -> list[dict]:
    """What one predictor, seed, question, data set and split comes to, without these labels.

    Args:
        found: the scores.
        section: parameters of the evaluation.
        users: of that split, as `users_of` gives them.
        split: speeds and sight are told of the test split alone.
    """
    from wavefoundry.evaluation.results import sample_statistics

    rows: list[dict] = [
        {"metric": "nmse"} | sample_statistics(found.nmse.numpy()),
        {"metric": "nmse_ratio_of_sums", "value": found.ratio_of_sums},
    ]
    if split != "test":
        return rows
    rows += [
        {"metric": "spectral_efficiency"} | sample_statistics(found.rate.numpy()),
        {"metric": "spectral_efficiency_perfect"} | sample_statistics(found.perfect_rate.numpy()),
    ]
    if found.expected is not None:
        rows.append({"metric": "nmse_expected"} | sample_statistics(found.expected.numpy()))
    rows += [
        {"metric": "nmse_of_step", "part": str(step)} | sample_statistics(values.numpy())
        for step, values in enumerate(found.by_step.T, start=1)
    ]
    speed, sight = users["speed"], users["line_of_sight"]
    groups = []
    if speed is not None:
        for low, high in pairwise(section.speeds):
            groups.append(("nmse_of_speed", f"{low:g} to {high:g} m/s", (low <= speed) & (speed < high)))
    if sight is not None:
        groups += [("nmse_of_sight", "line of sight", sight), ("nmse_of_sight", "no line of sight", ~sight)]
    values = found.nmse.numpy()
    return rows + [
        {"metric": metric, "part": part} | sample_statistics(values[chosen])
        for metric, part, chosen in groups
        if chosen.any()
    ]


def spread_out(number: int, most: int) -> list[int]:
    """At most so many of the samples 0 ... number - 1, evenly spread: neighbours in a store may be of one user."""
    few = min(number, most)
    return [number * place // few for place in range(few)]


def users_of(dataset: str, split: str) -> dict[str, "np.ndarray | None"]:
    """What is known of the samples of a split: their numbers, and where known trajectory, speed and sight."""
    from storage.stores.csi_store import open_store, split_indices

    store = open_store(csi_store(dataset), "csi")
    chosen = split_indices(store, split)
    known = {"trajectory": "trajectory", "speed": "speed", "line_of_sight": "los"}
    found = {name: store[variable].values[chosen] if variable in store else None for name, variable in known.items()}
    return {"sample": chosen} | found


def example_maps(parameters: params.Params, name: str, predictor) -> dict[str, "np.ndarray"]:
    """The last wanted slot of the fastest test user as predicted, for the first question that is answered.

    Returns:
        complex (angle, delay) by data set; see `wavefoundry.plots.prediction`.
    """
    maps: dict[str, np.ndarray] = {}
    for question, dataset in parameters.answered(name):
        if dataset not in maps:
            known, _, wanted = question_about(parameters, question, dataset).split(example_user(dataset))
            maps[dataset] = last_map(dataset, predictor.predict(known, *wanted))
    return maps


def example_user(dataset: str):
    """CSI (1, time, antenna, subcarrier) of the fastest test user, or of the first one where speeds are not known."""
    from storage.stores.csi_store import open_store, split_indices

    store = open_store(csi_store(dataset), "csi")
    user = int(store["speed"].values[split_indices(store, "test")].argmax()) if "speed" in store else 0
    return load_split(dataset, "test")[user : user + 1]


def last_map(dataset: str, csi) -> "np.ndarray":
    """The last slot of CSI (1, time, antenna, subcarrier) as a map (angle, delay)."""
    from storage.stores.csi_store import array_shape, open_store
    from wavefoundry.csi.angle_delay import to_angle_delay

    return to_angle_delay(csi[0, -1], array_shape(open_store(csi_store(dataset), "csi")), csi.shape[-1]).numpy()


def main() -> None:
    group, name = group_and_name("stages.evaluate_prediction", __doc__, GROUPS)
    with clear_errors():
        parameters = params.read()
        folders = predictor_folders(parameters, group, name)
    inputs = [*folders, inputs_file(name, "scored"), inputs_file(name, "code")]
    outputs = [scores_file("prediction", name), samples_file(name), examples_file(name)]
    with stage(
        f"evaluate_prediction_{group}@{name}",
        section=parameters.evaluate.prediction,
        dependencies=inputs,
        outputs=outputs,
    ) as run:
        import numpy as np
        import torch

        from wavefoundry.evaluation.results import as_table, table_of_samples

        torch.set_num_threads(1)
        predictors = load_predictors(parameters, group, name) if parameters.answered(name) else {}
        rows, samples = score_all(parameters, name, predictors)
        write_table(scores_file("prediction", name), as_table(rows))
        write_table(samples_file(name), table_of_samples(samples))
        first = next(iter(predictors.values()), None)
        maps = {} if first is None else example_maps(parameters, name, first)
        examples_file(name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(examples_file(name), allow_pickle=False, **maps)
        run.log_metrics(
            {
                f"{row['split']}.{row['question']}.{row['dataset']}.seed_{row['seed']}.nmse": row["value"]
                for row in rows
                if row["metric"] == "nmse"
            }
        )


if __name__ == "__main__":
    main()
