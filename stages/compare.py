"""Stage compare: the tables of all entries joined, and the figures that `dvc metrics show` tells.

Users read the joined tables with `pandas.read_csv("metrics/results.csv")`; the columns are described in
wavefoundry/evaluation/results.py. What differs from run to run by nature lies in measurements/results.csv. The means of
predictors and their differences from the method without training that is best on the validation split, with intervals,
are in metrics/differences.csv (columns: wavefoundry/evaluation/paired.py), those under the conditions of the suites in
metrics/suites.csv (columns: wavefoundry/evaluation/suites.py); what became of the claims in metrics/claims.csv
(columns: wavefoundry/evaluation/claims.py). Claims about downstream tasks are judged by what lies in
metrics/downstream_samples, those about channel feedback by metrics/feedback/samples.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.json_files import write_json
from stages.paths import (
    CLAIMS,
    COMPARED,
    DIFFERENCES,
    MEASURED,
    RESULTS,
    SUITES,
    SUMMARY,
    TASKS,
    measured_file,
    samples_file,
    scores_file,
)
from stages.stage import clear_errors, stage
from storage.tables import read_tables, write_table
from wavefoundry.evaluation.downstream.options import RAW

if TYPE_CHECKING:
    import pandas


def entries(parameters: params.Params) -> dict[str, list[str]]:
    """Of whom each evaluation writes tables."""
    everybody = [*parameters.predictors, *parameters.models]
    return {
        "prediction": everybody,
        "suites": everybody,
        "downstream": [RAW, *parameters.models],
        "feedback": list(parameters.models),
        "efficiency": everybody,
    }


def score_files(parameters: params.Params) -> list[Path]:
    """The tables of the study's entries that do not differ from run to run."""
    evaluations = ("prediction", "downstream", "feedback", "efficiency")
    return [scores_file(evaluation, name) for evaluation in evaluations for name in entries(parameters)[evaluation]]


def measured_files(parameters: params.Params) -> list[Path]:
    """The tables of latencies and memory."""
    return [measured_file(name) for name in entries(parameters)["efficiency"]]


def sample_files(parameters: params.Params, evaluation: str) -> list[Path]:
    """The tables of single samples in an evaluation, one of `stages.paths.SAMPLES`."""
    return [samples_file(evaluation, name) for name in entries(parameters)[evaluation]]


def pairs(parameters: params.Params, table: "pandas.DataFrame") -> dict[str, list[tuple[str, str]]]:
    """(model, other) by question: everybody with the best method without training."""
    from wavefoundry.evaluation.summary import best_methods

    best = best_methods(table, parameters.compared, list(parameters.predictors))
    models = (*parameters.predictors, *parameters.models)
    return {question: [(model, other) for model in models if model != other] for question, other in best.items()}


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    scores, measured = score_files(parameters), measured_files(parameters)
    samples = [*sample_files(parameters, "prediction"), *sample_files(parameters, "feedback")]
    task_samples, in_suites = (sample_files(parameters, evaluation) for evaluation in ("downstream", "suites"))
    inputs = [TASKS, COMPARED, *scores, *samples, *task_samples, *in_suites, *measured]
    outputs = [RESULTS, SUMMARY, DIFFERENCES, SUITES, CLAIMS, MEASURED]
    with stage("compare", section=None, dependencies=inputs, outputs=outputs) as run:
        from wavefoundry.evaluation.claims import Evidence, judge
        from wavefoundry.evaluation.downstream.task import tasks_of
        from wavefoundry.evaluation.feedback_summary import summarise_feedback
        from wavefoundry.evaluation.paired import differences
        from wavefoundry.evaluation.results import COLUMNS, DOWNSTREAM_SAMPLE_COLUMNS, SAMPLE_COLUMNS
        from wavefoundry.evaluation.suites import CONDITION_SAMPLE_COLUMNS, condition_differences
        from wavefoundry.evaluation.summary import summarise

        tables = read_tables(scores, COLUMNS)
        write_table(RESULTS, tables)
        write_table(MEASURED, read_tables(measured, COLUMNS))
        every = read_tables(samples, SAMPLE_COLUMNS)
        tested, bootstrap = every[every["split"] == "test"], parameters.evaluate.prediction.bootstrap
        compared = pairs(parameters, tables)
        write_table(DIFFERENCES, differences(tested, parameters.compared, compared, bootstrap))
        of_suites = read_tables(in_suites, CONDITION_SAMPLE_COLUMNS)
        suites = parameters.evaluate.prediction.suites
        write_table(SUITES, condition_differences(of_suites, suites, parameters.compared, compared, bootstrap))
        section = parameters.evaluate.downstream
        evidence = Evidence(
            tables,
            tested,
            parameters.compared | parameters.feedback_compared_at,
            {} if section is None else tasks_of(section),
            read_tables(task_samples, DOWNSTREAM_SAMPLE_COLUMNS),
            bootstrap,
        )
        write_table(CLAIMS, judge(parameters.claims, evidence))
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
