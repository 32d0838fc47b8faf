"""Stage compare: the tables of all entries joined, and the figures that `dvc metrics show` tells.

Users read the joined tables with `pandas.read_csv("metrics/results.csv")`; the columns are described in
wavefoundry/evaluation/results.py. What differs from run to run by nature lies in measurements/results.csv.
"""

import argparse
from pathlib import Path

from stages import params
from stages.json_files import write_json
from stages.paths import MEASURED, RESULTS, SUMMARY, measured_file, scores_file
from stages.stage import clear_errors, stage
from storage.tables import read_table, write_table
from wavefoundry.evaluation.downstream.options import RAW


def score_files(parameters: params.Params) -> list[Path]:
    """The tables of the study's entries that do not differ from run to run."""
    entries = [*parameters.predictors, *parameters.models]
    embedders = [RAW, *parameters.models]
    return [
        *(scores_file("prediction", name) for name in entries),
        *(scores_file("downstream", name) for name in embedders),
        *(scores_file("efficiency", name) for name in entries),
    ]


def measured_files(parameters: params.Params) -> list[Path]:
    """The tables of latencies and memory."""
    return [measured_file(name) for name in [*parameters.predictors, *parameters.models]]


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    scores, measured = score_files(parameters), measured_files(parameters)
    outputs = [RESULTS, SUMMARY, MEASURED]
    with stage("compare", section=None, dependencies=[*scores, *measured], outputs=outputs) as run:
        import pandas

        from wavefoundry.evaluation.results import COLUMNS
        from wavefoundry.evaluation.summary import summarise

        tables = pandas.concat([read_table(path, COLUMNS) for path in scores], ignore_index=True)
        write_table(RESULTS, tables)
        write_table(MEASURED, pandas.concat([read_table(path, COLUMNS) for path in measured], ignore_index=True))
        section = parameters.evaluate.downstream
        summary = summarise(tables, parameters.compared, None if section is None else section)
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
