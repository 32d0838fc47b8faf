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
    DIFFERENCES,
    MEASURED,
    RESULTS,
    SUITES,
    SUMMARY,
    downstream_samples_file,
    feedback_samples_file,
    measured_file,
    samples_file,
    scores_file,
    suite_samples_file,
)
from stages.stage import clear_errors, stage
from storage.tables import read_table, write_table
from wavefoundry.evaluation.downstream.options import RAW

if TYPE_CHECKING:
    import pandas


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


def feedback_sample_files(parameters: params.Params) -> list[Path]:
    """The tables of single samples of channel feedback."""
    return [feedback_samples_file(name) for name in parameters.models]


def downstream_sample_files(parameters: params.Params) -> list[Path]:
    """The tables of single samples of the downstream tasks."""
    return [downstream_samples_file(name) for name in [RAW, *parameters.models]]


def suite_sample_files(parameters: params.Params) -> list[Path]:
    """The tables of single samples in the suites of questions."""
    return [suite_samples_file(name) for name in [*parameters.predictors, *parameters.models]]


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
    samples = [*sample_files(parameters), *feedback_sample_files(parameters)]
    task_samples, in_suites = downstream_sample_files(parameters), suite_sample_files(parameters)
    inputs = [*scores, *samples, *task_samples, *in_suites, *measured]
    outputs = [RESULTS, SUMMARY, DIFFERENCES, SUITES, CLAIMS, MEASURED]
    with stage("compare", section=None, dependencies=inputs, outputs=outputs) as run:
        import pandas

        from wavefoundry.evaluation.claims import Evidence, judge
        from wavefoundry.evaluation.downstream.task import tasks_of
        from wavefoundry.evaluation.feedback_summary import summarise_feedback
        from wavefoundry.evaluation.paired import differences
        from wavefoundry.evaluation.results import COLUMNS, DOWNSTREAM_SAMPLE_COLUMNS, SAMPLE_COLUMNS
        from wavefoundry.evaluation.suites import CONDITION_SAMPLE_COLUMNS, condition_differences
        from wavefoundry.evaluation.summary import summarise

        tables = pandas.concat([read_table(path, COLUMNS) for path in scores], ignore_index=True)
        write_table(RESULTS, tables)
        write_table(MEASURED, pandas.concat([read_table(path, COLUMNS) for path in measured], ignore_index=True))
        every = pandas.concat([read_table(path, SAMPLE_COLUMNS) for path in samples], ignore_index=True)
        tested, bootstrap = every[every["split"] == "test"], parameters.evaluate.prediction.bootstrap
        compared = pairs(parameters, tables)
        write_table(DIFFERENCES, differences(tested, parameters.compared, compared, bootstrap))
        of_suites = pandas.concat([read_table(path, CONDITION_SAMPLE_COLUMNS) for path in in_suites], ignore_index=True)
        suites = parameters.evaluate.prediction.suites
        write_table(SUITES, condition_differences(of_suites, suites, parameters.compared, compared, bootstrap))
        section = parameters.evaluate.downstream
        of_tasks = [read_table(path, DOWNSTREAM_SAMPLE_COLUMNS) for path in task_samples]
        evidence = Evidence(
            tables,
            tested,
            parameters.compared | parameters.feedback_compared_at,
            {} if section is None else tasks_of(section),
            pandas.concat(of_tasks, ignore_index=True),
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
