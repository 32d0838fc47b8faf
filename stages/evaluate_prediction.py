"""Stages evaluate_prediction_GROUP@NAME: the NMSE of one predictor on every question, on held-out trajectories.

Written are a table of results, a function of data and weights alone, and the predicted maps that the report draws.
"""

from typing import TYPE_CHECKING

from stages import params
from stages.arguments import group_and_name
from stages.loading import load_predictors, load_split, predictor_folders
from stages.paths import csi_store, examples_file, inputs_file, scores_file
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    import numpy as np

    from wavefoundry.evaluation.prediction import Question

GROUPS = ("pretrain", "teach", "distill", "predictors")
SPLITS = ("validation", "test")


def questions(parameters: params.Params) -> dict[str, "Question"]:
    """The questions of the study by name."""
    from wavefoundry.evaluation.prediction import Question

    section = parameters.evaluate.prediction
    return {name: Question(options, section.snr_db, section.noise_seed) for name, options in section.questions.items()}


def score_all(parameters: params.Params, name: str, predictors: dict) -> list[dict]:
    """Rows of the table of results of one entry."""
    from tqdm import tqdm

    from wavefoundry.evaluation.prediction import score
    from wavefoundry.evaluation.results import sample_statistics

    pairs, asked = parameters.answered(name), questions(parameters)
    work = [(split, *pair, seed) for split in SPLITS for pair in pairs for seed in predictors]
    datasets = list(dict.fromkeys(dataset for _, dataset in pairs))
    data = {split: {dataset: load_split(dataset, split) for dataset in datasets} for split in SPLITS}
    rows = []
    for split, question, dataset, seed in tqdm(work, desc=f"scores of {name}", unit="score"):
        errors = score(
            predictors[seed], data[split][dataset], asked[question], parameters.evaluate.prediction.batch_size
        )
        labels = {"evaluation": "prediction", "model": name, "seed": seed, "dataset": dataset, "question": question}
        rows.append(labels | {"split": split, "metric": "nmse"} | sample_statistics(errors.numpy()))
    return rows


def example_maps(parameters: params.Params, name: str, predictor) -> dict[str, "np.ndarray"]:
    """The last wanted slot of the fastest test user as predicted, for the first question that is answered.

    Returns:
        complex (angle, delay) by data set; see `wavefoundry.plots.prediction`.
    """
    maps: dict[str, np.ndarray] = {}
    asked = questions(parameters)
    for question, dataset in parameters.answered(name):
        if dataset not in maps:
            known, _, wanted = asked[question].split(example_user(dataset))
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
    outputs = [scores_file("prediction", name), examples_file(name)]
    with stage(
        f"evaluate_prediction_{group}@{name}",
        section=parameters.evaluate.prediction,
        dependencies=inputs,
        outputs=outputs,
    ) as run:
        import numpy as np
        import torch

        from wavefoundry.evaluation.results import as_table

        torch.set_num_threads(1)
        predictors = load_predictors(parameters, group, name) if parameters.answered(name) else {}
        rows = score_all(parameters, name, predictors)
        write_table(scores_file("prediction", name), as_table(rows))
        first = next(iter(predictors.values()), None)
        maps = {} if first is None else example_maps(parameters, name, first)
        examples_file(name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(examples_file(name), allow_pickle=False, **maps)
        run.log_metrics(
            {f"{row['split']}.{row['question']}.{row['dataset']}.seed_{row['seed']}.nmse": row["value"] for row in rows}
        )


if __name__ == "__main__":
    main()
