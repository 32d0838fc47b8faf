"""Stages evaluate_prediction_GROUP@NAME: the NMSE of one predictor on every question, on held-out trajectories.

Written are a table of results, a function of data and weights alone, the scores of single samples, those of the suites
apart, and the predicted maps that the report draws. Samples of which the wanted block is zero throughout have no NMSE:
they are left out of all scores, a line and a row of the table tell how many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from stages import params
from stages.arguments import PREDICTOR_GROUPS, group_and_name
from stages.examples import example_maps
from stages.loading import load_predictors, load_split, predictor_folders
from stages.paths import examples_file, inputs_file, samples_file, scores_file
from stages.questions import question_about
from stages.samples import Scored, spread_out, users_of, with_power
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    import torch

    from stages.samples import Users
    from wavefoundry.evaluation.options import Prediction
    from wavefoundry.evaluation.prediction import Scores

    # By question, data set and split.
    Asked = Mapping[tuple[str, str, str], Scored]

SPLITS = ("validation", "test")


def score_all(parameters: params.Params, name: str, predictors: dict) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows of the table of results of one entry, and the columns of its tables of samples: all, and of suites."""
    from tqdm import tqdm

    from wavefoundry.evaluation.prediction import score
    from wavefoundry.evaluation.results import sample_statistics

    section, pairs = parameters.evaluate.prediction, parameters.answered(name)
    work = [(split, *pair, seed) for split in SPLITS for pair in pairs for seed in predictors]
    about = asked_samples(parameters, pairs)
    groups = {pair: groups_of(section, about[*pair, "test"].csi, about[*pair, "test"].users) for pair in pairs}
    rows, samples = [], []
    errors = {}
    for split, question, dataset, seed in tqdm(work, desc=f"scores of {name}", unit="score"):
        labels = {"evaluation": "prediction", "model": name, "seed": seed, "dataset": dataset, "question": question}
        asked, those = question_about(parameters, question, dataset), about[question, dataset, split]
        served, reason = groups[question, dataset] if split == "test" else (None, None)

        def scored(csi, asked_here, served_here=None, predictor=predictors[seed]):
            return score(predictor, csi, asked_here, section.batch_size, section.beamforming_snr_db, groups=served_here)

        found = scored(those.csi, asked, served)
        told = [*rows_of(found, section, those.users, split), *those.silent_row()]
        rows += [labels | {"split": split} | row for row in told]
        if reason is not None:
            rows.append(labels | {"split": split, "metric": "zero_forcing_left_out", "part": reason})
        columns = {"model": name, "seed": seed, "question": question, "dataset": dataset, "split": split}
        values = {"nmse": found.nmse.numpy(), "spectral_efficiency": found.rate.numpy()}
        if found.expected is not None:
            values["expected_nmse"] = found.expected.numpy()
        samples.append({**columns, **those.users, **values})
        if split == "test":
            errors[question, dataset, seed] = found.nmse
        if split == "test" and seed == next(iter(predictors)):
            chosen = spread_out(len(those.csi), section.snr_curve_samples)
            for snr_db in section.snr_curve:
                other = replace(asked, snr_db=snr_db)
                at = scored(those.csi[chosen], other).nmse.numpy()
                row = {"split": split, "metric": "nmse_at_snr", "part": f"{snr_db:g} dB"}
                rows.append(labels | row | sample_statistics(at))
    in_suites = score_suites(parameters, name, predictors, about, errors)
    for one in in_suites:
        labels = {key: one[key] for key in ("model", "seed", "question", "dataset")}
        labels |= {"evaluation": "prediction", "split": "test", "metric": "nmse_of_condition"}
        rows.append(labels | {"part": f"{one['suite']}: {one['condition']}"} | sample_statistics(one["nmse"]))
    return rows, samples, in_suites


def asked_samples(parameters: params.Params, pairs: Sequence[tuple[str, str]]) -> "Asked":
    """The samples of both splits that are scored, for some pairs of question and data set; a line tells how many are
    left out.

    Raises:
        InputError: all that is asked for of a split is zero throughout.
    """
    found = {}
    for split in SPLITS:
        for dataset in dict.fromkeys(dataset for _, dataset in pairs):
            csi, users = load_split(dataset, split), users_of(dataset, split)
            for question in (question for question, about in pairs if about == dataset):
                silent = question_about(parameters, question, dataset).silent(csi)
                what = f"question {question}, data set {dataset}, split {split}"
                found[question, dataset, split] = with_power(csi, users, silent, what)
    return found


def score_suites(
    parameters: params.Params,
    name: str,
    predictors: dict,
    about: "Asked",
    errors: "dict[tuple[str, str, int | None], torch.Tensor]",
) -> list[dict]:
    """Columns of figures of samples of one entry, for each suite, question, data set, seed and condition.

    Args:
        parameters: of the study.
        name: of the entry.
        predictors: by seed; a suite with impairments asks the first one alone.
        about: the samples that are scored.
        errors: NMSE of those of the test split without an impairment, by question, data set and seed.
    """
    from wavefoundry.csi.impairments import Impairment
    from wavefoundry.evaluation.suites import condition_of, nmse_under

    section, found = parameters.evaluate.prediction, []
    for suite, options in section.suites.items():
        for question, dataset in parameters.answered_in(suite, name):
            asked, facts = question_about(parameters, question, dataset), parameters.facts(dataset)
            those = about[question, dataset, "test"]
            csi = those.csi
            chosen = spread_out(len(csi), options.samples or len(csi))
            known = {key: values[chosen] for key, values in those.users.items() if values is not None}
            for seed in list(predictors)[:1] if options.impairments else predictors:
                by_condition = {condition_of(options, dataset): errors[question, dataset, seed][chosen]}
                for condition, impairment in options.impairments.items():
                    impaired = Impairment(impairment, facts.slot_duration, facts.subcarrier_spacing)
                    by_condition[condition] = nmse_under(
                        predictors[seed], csi, asked, impaired, chosen, section.batch_size
                    )
                labels = {"suite": suite, "model": name, "seed": seed, "question": question, "dataset": dataset}
                found += [
                    known | labels | {"condition": condition, "nmse": values.numpy()}
                    for condition, values in by_condition.items()
                ]
    return found


def groups_of(section: "Prediction", csi: "torch.Tensor", users: "Users") -> "tuple[torch.Tensor | None, str | None]":
    """Groups (group, user) of test samples of a data set that are served at once; None, and why there are none."""
    import numpy as np
    import torch

    from wavefoundry.evaluation.zero_forcing import draw_groups, why_no_groups

    if section.zero_forcing is None:
        return None, None
    who, stations = (users[key] for key in ("trajectory", "base_station"))
    who = np.arange(len(csi)) if who is None else who
    stations = np.zeros(len(csi), dtype=int) if stations is None else stations
    reason = why_no_groups(section.zero_forcing, csi.shape[2], who, stations)
    return (
        (torch.from_numpy(draw_groups(section.zero_forcing, who, stations)), None) if reason is None else (None, reason)
    )


def rows_of(found: "Scores", section: "Prediction", users: "Users", split: str) -> list[dict]:
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
    if found.group_rate is not None and found.perfect_group_rate is not None:
        rows += [
            {"metric": "zero_forcing_sum_rate"} | sample_statistics(found.group_rate.numpy()),
            {"metric": "zero_forcing_sum_rate_perfect"} | sample_statistics(found.perfect_group_rate.numpy()),
        ]
    if found.expected is not None:
        rows.append({"metric": "nmse_expected"} | sample_statistics(found.expected.numpy()))
    rows += [
        {"metric": "nmse_of_step", "part": str(step)} | sample_statistics(values[~silent].numpy())
        for step, (values, silent) in enumerate(zip(found.by_step.T, found.silent_steps.T, strict=True), start=1)
        if not silent.all()
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


def main() -> None:
    group, name = group_and_name("stages.evaluate_prediction", __doc__, PREDICTOR_GROUPS)
    with clear_errors():
        parameters = params.read()
        folders = predictor_folders(parameters, group, name)
    inputs = [*folders, inputs_file(name, "scored"), inputs_file(name, "code")]
    outputs = [
        scores_file("prediction", name),
        samples_file("prediction", name),
        samples_file("suites", name),
        examples_file(name),
    ]
    with stage(
        f"evaluate_prediction_{group}@{name}",
        section=parameters.evaluate.prediction,
        dependencies=inputs,
        outputs=outputs,
    ) as run:
        import numpy as np
        import torch

        from wavefoundry.evaluation.results import as_table, table_of_samples
        from wavefoundry.evaluation.suites import CONDITION_SAMPLE_COLUMNS

        torch.set_num_threads(1)
        predictors = load_predictors(parameters, group, name) if parameters.answered(name) else {}
        rows, samples, in_suites = score_all(parameters, name, predictors)
        write_table(scores_file("prediction", name), as_table(rows))
        write_table(samples_file("prediction", name), table_of_samples(samples))
        write_table(samples_file("suites", name), table_of_samples(in_suites, CONDITION_SAMPLE_COLUMNS))
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
