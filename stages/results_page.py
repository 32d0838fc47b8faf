"""Write a page of docs/results from the study that lies here: `python -m stages.results_page docs/results/study.md`.

Predictions, downstream tasks and channel feedback with intervals, the verdict on every claim, and the tables of the
study, with date, commit and machine. No figure measured here is typed by hand; `make run` has to have ended before.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.compare import sample_files
from stages.paths import CLAIMS, DIFFERENCES, MEASURED, RESULTS, SUITES, history_file, training_time_file
from stages.provenance import write_page
from stages.stage import clear_errors
from storage.tables import read_table, read_tables

if TYPE_CHECKING:
    import pandas


def body(parameters: params.Params) -> str:
    """The page as markdown, below its title; of predictions, downstream tasks and feedback what the study has."""
    from wavefoundry.evaluation.claims import CLAIM_COLUMNS
    from wavefoundry.evaluation.results import COLUMNS
    from wavefoundry.report.claims import CLAIMS_NOTE, claims_table

    table, measured = read_table(RESULTS, COLUMNS), read_table(MEASURED, COLUMNS)
    judged = claims_table(parameters.claims, read_table(CLAIMS, CLAIM_COLUMNS), table)
    parts = [
        prediction_tables(parameters, table, measured),
        downstream_tables(parameters, table),
        feedback_tables(parameters, table),
        f"## Claims\n\n{CLAIMS_NOTE}\n\n{judged}",
        paper_tables(parameters, table, measured),
    ]
    # The line that says who wrote the page goes on with the data sets compared, where there are any.
    start = "" if parts[0] else "\n"
    return start + "\n\n".join(filter(None, parts)) + "\n"


def prediction_tables(parameters: params.Params, table: "pandas.DataFrame", measured: "pandas.DataFrame") -> str:
    """What the report tells of predictions, without its pictures; nothing where nobody predicts."""
    from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
    from wavefoundry.evaluation.ranks import ranks
    from wavefoundry.evaluation.suites import CONDITION_COLUMNS
    from wavefoundry.evaluation.summary import best_methods
    from wavefoundry.report.prediction import (
        compared_datasets,
        differences_table,
        expected_error_table,
        overview_table,
        sight_part,
        spectral_efficiency_table,
        zero_forcing_part,
    )
    from wavefoundry.report.ranks import RANKS_NOTE, rank_table
    from wavefoundry.report.silence import silence_note
    from wavefoundry.report.suites import suites_section

    if not parameters.answering:
        return ""
    differences = read_table(DIFFERENCES, DIFFERENCE_COLUMNS)
    best = best_methods(table, parameters.compared, list(parameters.predictors))
    section = parameters.evaluate.prediction
    compared = compared_datasets(parameters.compared)
    suites = suites_section(
        read_table(SUITES, CONDITION_COLUMNS),
        section.suites,
        parameters.compared,
        best,
        parameters.has_learnt,
    )
    ranked = rank_table(ranks(table, parameters.compared, section.suites))
    compared = f"Data sets compared: {compared}. SNR of the known block: {section.snr_db:g} dB."
    return f"""{" ".join([compared, *silence_note(table, "prediction")])}

## Models

NMSE [dB], mean over data sets, in brackets the interval of {section.bootstrap.level:.0%} of a bootstrap over test
trajectories, ± standard deviation over seeds; latency of one prediction in PyTorch on one thread.

{overview_table(table, measured, differences, parameters.compared)}

Difference from the predictor without training that is best on the validation split, on the same test trajectories:

{differences_table(differences, best) if best else "There is none in this study."}

Spectral efficiency with predicted beams, and its share of what the channel itself gives:

{spectral_efficiency_table(table, parameters.compared)}

{zero_forcing_part(table, parameters.compared, section.zero_forcing)}

How much more error predictors expect of themselves than is measured; below 0 they are too sure:

{expected_error_table(table, parameters.compared) or "No predictor of this study says what it expects."}

{curve_tables(parameters, table)}

{sight_part(table, parameters.compared)}

## Under other conditions

{suites or "This study has no suites."}

## Ranks

{RANKS_NOTE}

{ranked or "No predictor was scored in this study."}"""


def downstream_tables(parameters: params.Params, table: "pandas.DataFrame") -> str:
    """What the report tells of downstream tasks, without its pictures; nothing where they are left out."""
    from wavefoundry.report.downstream import downstream_section

    section = parameters.evaluate.downstream
    if section is None:
        return ""
    return f"## Downstream tasks\n\n{downstream_section(table, section, pictures=False)}".rstrip()


def feedback_tables(parameters: params.Params, table: "pandas.DataFrame") -> str:
    """What the report tells of channel feedback, without its picture; nothing where it is left out."""
    from wavefoundry.feedback.uplink import bit_error_rate
    from wavefoundry.report.feedback import feedback_section

    section, datasets = parameters.evaluate.feedback, parameters.feedback_compared
    if section is None:
        return ""
    told = feedback_section(table, section, datasets, bit_error_rate(section.uplink), picture=False)
    return f"## Channel feedback\n\n{told}"


def paper_tables(parameters: params.Params, table: "pandas.DataFrame", measured: "pandas.DataFrame") -> str:
    """The tables of the section `tables`; nothing where there is none."""

    from wavefoundry.evaluation.results import SAMPLE_COLUMNS
    from wavefoundry.evaluation.summary import latencies_ms, parameter_counts
    from wavefoundry.report.paper_tables import paper_table

    if not parameters.tables:
        return ""
    samples = read_tables(sample_files(parameters, "prediction"), SAMPLE_COLUMNS)
    costs: dict[str, Mapping[str, float]] = {
        "parameters": parameter_counts(table),
        "latency_ms": latencies_ms(measured),
        "training_seconds": {
            name: taken for name in parameters.models if (taken := training_seconds(name)) is not None
        },
        "teacher_passes_saved": {
            name: saved for name in parameters.models if (saved := teacher_passes_saved(name)) is not None
        },
    }
    bootstrap = parameters.evaluate.prediction.bootstrap
    parts = [paper_table(options, table, samples, costs, bootstrap) for options in parameters.tables.values()]
    return "\n\n".join(["## Tables", *parts])


def training_seconds(name: str) -> float | None:
    """Mean over the seeds that were trained without an interruption; None where there is none."""
    found = json.loads(training_time_file(name).read_text())["seconds"].values()
    known = [float(seconds) for seconds in found if seconds is not None]
    return statistics.mean(known) if known else None


def teacher_passes_saved(name: str) -> float | None:
    """Share at the end of the training, mean over seeds; None of what has no phases with and without a teacher."""
    import pandas

    history = pandas.read_csv(history_file(name))
    if "teacher_passes_saved" not in history:
        return None
    return float(history.groupby("seed")["teacher_passes_saved"].last().mean())


def curve_tables(parameters: params.Params, table: "pandas.DataFrame") -> str:
    """NMSE over the horizon, over speed and over SNR."""
    from wavefoundry.evaluation.prediction_curves import CURVES
    from wavefoundry.report.prediction import curve_table

    parts = ["## NMSE over the horizon, speed and SNR"]
    parts.append("Means over the data sets compared [dB]; at other SNR few samples, and the first seed.")
    for kind in CURVES:
        tables = [curve_table(table, kind, question, names) for question, names in parameters.compared.items()]
        parts += [one for one in tables if one is not None]
    return "\n\n".join(parts)


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.results_page", description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="file to write")
    parser.add_argument("--title", default="The default study")
    arguments = parser.parse_args()
    write_page(arguments.page, arguments.title, "stages.results_page", body(params.read()))


if __name__ == "__main__":
    main()
