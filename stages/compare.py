"""Stage compare: the tables of all entries joined, and the figures that `dvc metrics show` tells.

Users read the joined tables with `pandas.read_csv("metrics/results.csv")`; the columns are described in
wavefoundry/evaluation/results.py. What differs from run to run by nature lies in measurements/results.csv. The means of
predictors and their differences, with intervals, are in metrics/differences.csv (columns:
wavefoundry/evaluation/paired.py): of every predictor from the method without training that is best on the validation
split, and of the pairs that claims are about.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.json_files import write_json
from stages.paths import DIFFERENCES, MEASURED, RESULTS, SUMMARY, measured_file, samples_file, scores_file
from stages.stage import clear_errors, stage
from storage.tables import read_table, write_table
from wavefoundry.evaluation.downstream.options import RAW

if TYPE_CHECKING:
    import pandas

    from wavefoundry.evaluation.claims import Trained


def score_files(parameters: params.Params) -> list[Path]:
    """The tables of the study's entries that do not differ from run to run."""
    entries = [*parameters.predictors, *parameters.models]
    embedders = [RAW, *parameters.models]
    return [
        *(scores_file("prediction", name) for name in entries),
        *(scores_file("downstream", name) for name in embedders),
        *(scores_file("feedback", name) for name in parameters.models),
        *(scores_file("efficiency", name) for name in entries),
    ]


def measured_files(parameters: params.Params) -> list[Path]:
    """The tables of latencies and memory."""
    return [measured_file(name) for name in [*parameters.predictors, *parameters.models]]


def sample_files(parameters: params.Params) -> list[Path]:
    """The tables of single samples."""
    return [samples_file(name) for name in [*parameters.predictors, *parameters.models]]


def trained_predictors(parameters: params.Params, table: "pandas.DataFrame") -> "list[Trained]":
    """What claims need to know of the networks of the study."""
    from wavefoundry.evaluation.claims import Trained
    from wavefoundry.report.prediction import parameter_count

    return [
        Trained(name, parameter_count(table, name), model.teacher, parameters.objective_name(name), model.options)
        for name, model in parameters.models.items()
    ]


def pairs(parameters: params.Params, table: "pandas.DataFrame") -> dict[str, list[tuple[str, str]]]:
    """(model, other) by question: everybody with the best method without training, and what claims compare."""
    from wavefoundry.evaluation.claims import pairs_to_compare
    from wavefoundry.evaluation.summary import best_methods

    methods = list(parameters.predictors)
    best = best_methods(table, parameters.compared, methods)
    claimed = pairs_to_compare(trained_predictors(parameters, table), methods)
    found = {}
    for question in parameters.compared:
        other = best.get(question)
        with_best = [(model, other) for model in (*methods, *parameters.models) if other is not None and model != other]
        found[question] = list(dict.fromkeys([*with_best, *claimed]))
    return found


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    scores, measured = score_files(parameters), measured_files(parameters)
    samples = sample_files(parameters)
    outputs = [RESULTS, SUMMARY, DIFFERENCES, MEASURED]
    with stage("compare", section=None, dependencies=[*scores, *samples, *measured], outputs=outputs) as run:
        import pandas

        from wavefoundry.evaluation.feedback_summary import summarise_feedback
        from wavefoundry.evaluation.paired import differences
        from wavefoundry.evaluation.results import COLUMNS, SAMPLE_COLUMNS
        from wavefoundry.evaluation.summary import summarise

        tables = pandas.concat([read_table(path, COLUMNS) for path in scores], ignore_index=True)
        write_table(RESULTS, tables)
        write_table(MEASURED, pandas.concat([read_table(path, COLUMNS) for path in measured], ignore_index=True))
        every = pandas.concat([read_table(path, SAMPLE_COLUMNS) for path in samples], ignore_index=True)
        found = differences(
            every[every["split"] == "test"],
            parameters.compared,
            pairs(parameters, tables),
            parameters.evaluate.prediction.bootstrap,
        )
        write_table(DIFFERENCES, found)
        section = parameters.evaluate.downstream
        summary = summarise(tables, parameters.compared, None if section is None else section)
        summary["feedback"] = summarise_feedback(tables, parameters.feedback_compared)
        write_json(SUMMARY, summary)
        run.log_metrics(
            {
                f"{evaluation}.{name}.{key}": value
                for evaluation, models in summary.items()
                for name, values in models.items()
                for key, value in values.items()
            }
        )
        run.log_folder(RESULTS, "results")


if __name__ == "__main__":
    main()
