"""Stage report: the study on one page, as self-contained HTML and as markdown."""

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.compare import sample_files
from stages.examples import example_user, last_map
from stages.paths import (
    ANSWERED,
    CLAIMS,
    COMPARED,
    DECISIONS,
    DIFFERENCES,
    FIGURES,
    HISTORIES,
    MEASURED,
    REPORT,
    RESULTS,
    SCENARIOS,
    SUITES,
    TASKS,
    csi_store,
    examples_file,
    figures_folder,
    history_file,
    scenario_folder,
    summary_file,
)
from stages.provenance import provenance
from stages.questions import question_about
from stages.stage import clear_errors, stage
from storage.tables import read_table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas

    from wavefoundry.evaluation.options import Blocks
    from wavefoundry.evaluation.tradeoff import Tradeoff

TRADEOFF = "figures/tradeoff.png"
LEARNING_CURVES = "figures/learning_curves.png"
TITLE = "wavefoundry: channel prediction, side by side"
CURVE_TITLES = {
    "horizon": "NMSE over the horizon",
    "speed": "NMSE over the speed of the user",
    "snr": "NMSE over the SNR of the known block (few samples, the first seed)",
    "distribution": "Distribution of the NMSE over the samples",
    "calibration": "Error that a predictor expects of itself, and the one that is measured",
}
SHADING = "Shaded: epochs in which the first seed asked its teacher (passive phases of AL-PL)."


def draw(
    parameters: params.Params,
    table: "pandas.DataFrame",
    measured: "pandas.DataFrame",
    samples: "pandas.DataFrame",
    found: "Sequence[Tradeoff]",
    histories: "dict[str, pandas.DataFrame]",
) -> None:
    """Charts of the report, and copies of the stages' figures beside it."""
    from wavefoundry.evaluation.prediction_curves import CURVES
    from wavefoundry.plots.calibration import draw_calibration
    from wavefoundry.plots.curves import draw_learning_curves, draw_nmse
    from wavefoundry.plots.feedback import draw_feedback
    from wavefoundry.plots.model_styles import model_styles
    from wavefoundry.plots.prediction_curves import draw_curves, draw_distribution
    from wavefoundry.plots.tradeoff import draw_tradeoffs
    from wavefoundry.report.downstream import draw_downstream
    from wavefoundry.report.efficiency import draw_efficiency

    for source in (figure for name in parameters.datasets for figure in dataset_figures(name)):
        target = REPORT / source
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    styles = model_styles([*parameters.predictors, *parameters.models], list(parameters.predictors))
    for question in parameters.evaluate.prediction.questions:
        draw_nmse(table, question, styles, REPORT / f"figures/nmse_{question}.png")
    for kind in CURVES:
        draw_curves(table, kind, parameters.compared, styles, curve_figure(kind))
    if parameters.compared:
        draw_tradeoffs(found, styles, REPORT / TRADEOFF)
        draw_distribution(samples, parameters.compared, styles, curve_figure("distribution"))
        draw_calibration(samples, parameters.compared, styles, curve_figure("calibration"))
    if histories:
        draw_learning_curves(histories, styles, REPORT / LEARNING_CURVES)
    draw_efficiency(table, measured, styles, REPORT)
    if parameters.evaluate.downstream is not None:
        draw_downstream(table, parameters.evaluate.downstream, styles, REPORT)
    if parameters.codecs:
        draw_feedback(table, parameters.feedback_compared, styles, REPORT / "figures/feedback.png")
    draw_examples(parameters)


def shares(asked: "Blocks | None") -> list[str]:
    """What is known, slots and subcarriers, and what is wanted; "-" where nothing is asked."""
    if asked is None:
        return ["-"] * 4
    return [
        *(f"first {share:.0%}" for share in (asked.known.slots, asked.known.subcarriers)),
        *(
            f"next {share:.0%}" if share else "the known ones"
            for share in (asked.wanted.slots, asked.wanted.subcarriers)
        ),
    ]


def draw_examples(parameters: params.Params) -> None:
    """True and predicted angle-delay maps of the last wanted slot of one user of every data set."""
    import numpy as np

    from storage.stores.csi_store import open_store, split_indices
    from wavefoundry.plots.prediction import draw_maps

    for dataset in parameters.sequences:
        shown: dict[str, list[str]] = {}
        for name in parameters.answering:
            # The question whose map the evaluation has kept.
            asked = [question for question, found in parameters.answered(name) if found == dataset]
            if asked:
                shown.setdefault(asked[0], []).append(name)
        if not shown:
            continue
        question = max(shown, key=lambda asked: len(shown[asked]))
        maps = {}
        for name in shown[question]:
            with np.load(examples_file(name)) as examples:
                maps[name] = examples[dataset]
        store = open_store(csi_store(dataset), "csi")
        _, target, wanted = question_about(parameters, question, dataset).split(example_user(dataset))
        facts = parameters.facts(dataset)
        ahead_ms = 1e3 * wanted[0] * facts.slot_duration
        title = f"{dataset}: {question}" + (f", {ahead_ms:.1f} ms ahead" if wanted[0] else "")
        if "speed" in store:
            title += f" at {store['speed'].values[split_indices(store, 'test')].max():.1f} m/s"
        true = last_map(dataset, target)
        draw_maps(true, maps, facts.subcarrier_spacing, title, REPORT / f"figures/prediction/{dataset}.png")


def curve_figure(kind: str) -> Path:
    """Where a chart of predictions lies."""
    return REPORT / f"figures/prediction_{kind}.png"


def dataset_figures(name: str) -> list[str]:
    """Pictures of a data set, as the report links them."""
    files = [*figures_folder("scenario", name).glob("*"), figures_folder("angle_delay", name).with_suffix(".gif")]
    return sorted(path.as_posix() for path in files)


def learning_curves(parameters: params.Params) -> "dict[str, pandas.DataFrame]":
    """The histories of all trainings of more than one epoch, by model."""
    import pandas

    from wavefoundry.plots.curves import has_curve

    histories = {name: pandas.read_csv(history_file(name)) for name in parameters.models}
    return {name: history for name, history in histories.items() if has_curve(history)}


def dataset_sentences(parameters: params.Params, summaries: "Mapping[str, Mapping]") -> list[str]:
    """What each data set is, who learns from it, and from whom it is held out.

    Args:
        parameters: of the study.
        summaries: figures of each data set.
    """
    from wavefoundry.report.datasets import dataset_sentence

    return [
        dataset_sentence(
            name,
            dataset,
            parameters.facts(name),
            summaries[name].get("share_line_of_sight"),
            [model for model in parameters.models if parameters.has_learnt(model, name)],
            [model for model, entry in parameters.models.items() if name in entry.held_out],
            list(parameters.models),
        )
        for name, dataset in parameters.datasets.items()
    ]


def findings(
    parameters: params.Params, table: "pandas.DataFrame", differences: "pandas.DataFrame", best: "Mapping[str, str]"
) -> tuple[list[str], str, list[str]]:
    """What came out: sentences about every question and task, how many claims hold, and a sentence about each."""
    from wavefoundry.evaluation.claims import CLAIM_COLUMNS
    from wavefoundry.evaluation.downstream.task import tasks_of
    from wavefoundry.report.findings import claim_findings, feedback_findings, prediction_findings, task_findings

    found = prediction_findings(table, differences, best, parameters.compared)
    downstream, feedback = parameters.evaluate.downstream, parameters.evaluate.feedback
    if downstream is not None:
        found += task_findings(table, downstream)
    if feedback is not None:
        found += feedback_findings(table, feedback, parameters.feedback_compared)
    tasks = {} if downstream is None else tasks_of(downstream)
    return found, *claim_findings(parameters.claims, read_table(CLAIMS, CLAIM_COLUMNS), table, tasks)


def write_report(parameters: params.Params) -> None:
    """Write report.md and report.html with their pictures."""

    from wavefoundry.evaluation.claims import CLAIM_COLUMNS
    from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
    from wavefoundry.evaluation.ranks import ranks
    from wavefoundry.evaluation.results import COLUMNS, SAMPLE_COLUMNS
    from wavefoundry.evaluation.suites import CONDITION_COLUMNS
    from wavefoundry.evaluation.summary import best_methods
    from wavefoundry.evaluation.tradeoff import tradeoffs
    from wavefoundry.feedback.uplink import bit_error_rate
    from wavefoundry.report.claims import CLAIMS_NOTE, claims_table
    from wavefoundry.report.datasets import figures_table
    from wavefoundry.report.downstream import downstream_section
    from wavefoundry.report.efficiency import efficiency_section
    from wavefoundry.report.feedback import feedback_section
    from wavefoundry.report.page import render, to_html
    from wavefoundry.report.prediction import (
        compared_datasets,
        dataset_table,
        differences_table,
        expected_error_table,
        overview_table,
        sight_part,
        spectral_efficiency_table,
        zero_forcing_part,
    )
    from wavefoundry.report.ranks import RANKS_NOTE, rank_table
    from wavefoundry.report.registry import registry_section
    from wavefoundry.report.silence import silence_note
    from wavefoundry.report.suites import suites_section
    from wavefoundry.report.tables import markdown_table
    from wavefoundry.report.tradeoff import tradeoff_section

    table, measured = read_table(RESULTS, COLUMNS), read_table(MEASURED, COLUMNS)
    names, sequences = list(parameters.datasets), parameters.sequences
    section, downstream = parameters.evaluate, parameters.evaluate.downstream
    samples = read_tables(sample_files(parameters, "prediction"), SAMPLE_COLUMNS)
    differences = read_table(DIFFERENCES, DIFFERENCE_COLUMNS)
    # The question whose latency is measured.
    first = next(iter(parameters.compared), None)
    found = tradeoffs(table, measured, first, parameters.compared[first]) if first else []
    histories = learning_curves(parameters)
    draw(parameters, table, measured, samples[samples["split"] == "test"], found, histories)
    best = best_methods(table, parameters.compared, list(parameters.predictors))
    summaries = {name: json.loads(summary_file(scenario_folder(name)).read_text()) for name in names}
    findings_here, claims_counted, claims_told = findings(parameters, table, differences, best)
    compared = compared_datasets(parameters.compared)
    content = {
        "title": TITLE,
        "introduction": f"Written {provenance()}. Data sets: {', '.join(names)}. Scores are those of the test "
        "trajectories, which no training and no choice has seen, unless it is said otherwise.",
        "findings": findings_here,
        "claims_counted": claims_counted,
        "claims_told": claims_told,
        "overview": overview_table(table, measured, differences, parameters.compared),
        "differences": differences_table(differences, best) if best else "",
        "silence": "\n\n".join(silence_note(table, "prediction")),
        "interval_level": f"{section.prediction.bootstrap.level:.0%}",
        "curves": {
            title: f"figures/prediction_{kind}.png"
            for kind, title in CURVE_TITLES.items()
            if curve_figure(kind).exists()
        },
        "sight": sight_part(table, parameters.compared),
        "expected_error": expected_error_table(table, parameters.compared) or "",
        "spectral_efficiency": spectral_efficiency_table(table, parameters.compared),
        "zero_forcing": zero_forcing_part(table, parameters.compared, section.prediction.zero_forcing),
        "suites": suites_section(
            read_table(SUITES, CONDITION_COLUMNS),
            section.prediction.suites,
            parameters.compared,
            best,
            parameters.has_learnt,
        ),
        "ranks_note": RANKS_NOTE,
        "ranks": rank_table(ranks(table, parameters.compared, section.prediction.suites)) or "",
        "beamforming_snr_db": f"{section.prediction.beamforming_snr_db:g}",
        "snr_db": f"{section.prediction.snr_db:g}",
        "latency_batch": section.efficiency.batch_size,
        "questions": markdown_table(
            ["question", "known slots", "known subcarriers", "wanted slots", "wanted subcarriers"],
            [
                [
                    name,
                    *shares(asked),
                ]
                for question, options in section.prediction.questions.items()
                for name, asked in (
                    (question, options),
                    *((f"{question} about {dataset}", blocks) for dataset, blocks in options.exceptions.items()),
                )
            ],
        ),
        "dataset_tables": {
            question: dataset_table(
                table,
                question,
                sequences,
                lambda model, dataset: model in parameters.models and dataset not in parameters.learnt_by(model),
            )
            for question in section.prediction.questions
        },
        "compared": compared,
        "tradeoff": tradeoff_section(found, first, TRADEOFF) if first else "",
        "claims_note": CLAIMS_NOTE,
        "claims": claims_table(parameters.claims, read_table(CLAIMS, CLAIM_COLUMNS), table),
        "predicted": [name for name in sequences if (REPORT / f"figures/prediction/{name}.png").exists()],
        "dataset_figures": {name: dataset_figures(name) for name in names},
        "downstream": "Left out of this study." if downstream is None else downstream_section(table, downstream),
        "feedback": "Left out of this study."
        if section.feedback is None
        else feedback_section(
            table, section.feedback, parameters.feedback_compared, bit_error_rate(section.feedback.uplink)
        ),
        "efficiency": efficiency_section(table, measured, section.efficiency.batch_size, section.efficiency.slots),
        "dataset_sentences": "\n".join(f"- {sentence}" for sentence in dataset_sentences(parameters, summaries)),
        "dataset_table": figures_table(summaries),
        "left_out": "\n".join(f"- {sentence}" for sentence in parameters.left_out),
        "learning_curves": LEARNING_CURVES if histories else "",
        "single_epochs": ", ".join(name for name in parameters.models if name not in histories),
        "shading": SHADING if any(parameters.objective_name(name) for name in parameters.models) else "",
        "registry": registry_section(json.loads(DECISIONS.read_text()), compared, section.prediction.snr_db),
    }
    markdown = render(content)
    (REPORT / "report.md").write_text(markdown)
    (REPORT / "report.html").write_text(to_html(markdown, TITLE, REPORT))


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    inputs = [SCENARIOS, FIGURES, HISTORIES]
    inputs += [TASKS, COMPARED, ANSWERED, RESULTS, DIFFERENCES, SUITES, CLAIMS, MEASURED, DECISIONS]
    inputs += sample_files(parameters, "prediction")
    with stage("report", section=None, dependencies=inputs, outputs=[REPORT]) as run:
        REPORT.mkdir(exist_ok=True)
        write_report(parameters)
        run.log_folder(REPORT, "report")


if __name__ == "__main__":
    main()
