"""Stage report: the study on one page, as self-contained HTML and as markdown."""

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.evaluate_prediction import example_user, last_map, questions
from stages.paths import (
    DECISIONS,
    MEASURED,
    REPORT,
    RESULTS,
    csi_store,
    examples_file,
    figures_folder,
    history_file,
    scenario_folder,
)
from stages.stage import clear_errors, stage
from storage.tables import read_table

if TYPE_CHECKING:
    import pandas

TITLE = "wavefoundry: channel prediction, side by side"
SHADING = "Shaded: epochs in which the first seed asked its teacher (passive phases of AL-PL)."


def draw(parameters: params.Params, table: "pandas.DataFrame", measured: "pandas.DataFrame") -> None:
    """Charts of the report, and copies of the stages' figures beside it."""
    import pandas

    from wavefoundry.plots.curves import draw_learning_curves, draw_nmse
    from wavefoundry.plots.efficiency import draw_against_tokens
    from wavefoundry.report.downstream import draw_downstream
    from wavefoundry.report.efficiency import curves

    for source in sorted(Path("figures").rglob("*")):
        if source.is_file():
            target = REPORT / source
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for question in parameters.evaluate.prediction.questions:
        draw_nmse(table, question, REPORT / f"figures/nmse_{question}.png")
    histories = {name: pandas.read_csv(history_file(name)) for name in parameters.models}
    if histories:
        draw_learning_curves(histories, REPORT / "figures/learning_curves.png")
    costs = curves(table, measured)
    for metric, name, label in (
        ("flops", "flops", "floating-point operations"),
        ("latency_ms", "latency", "latency [ms]"),
        ("peak_mebibytes", "memory", "peak memory [MiB]"),
    ):
        if any(costs[metric].values()):
            draw_against_tokens(costs[metric], label, REPORT / f"figures/efficiency/{name}.png")
    if parameters.evaluate.downstream is not None:
        draw_downstream(table, parameters.evaluate.downstream, REPORT)
    draw_examples(parameters)


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
        _, target, wanted = questions(parameters)[question].split(example_user(dataset))
        ahead_ms = 1e3 * wanted[0] * parameters.facts(dataset).slot_duration
        title = f"{dataset}: {question}, {ahead_ms:.1f} ms ahead"
        if "speed" in store:
            title += f" at {store['speed'].values[split_indices(store, 'test')].max():.1f} m/s"
        draw_maps(last_map(dataset, target), maps, title, REPORT / f"figures/prediction/{dataset}.png")


def dataset_figures(name: str) -> list[str]:
    """Pictures of a data set, as the report links them."""
    files = [*figures_folder("scenario", name).glob("*"), figures_folder("angle_delay", name).with_suffix(".gif")]
    return sorted(path.as_posix() for path in files)


def write_report(parameters: params.Params) -> None:
    """Write report.md and report.html with their pictures."""
    from wavefoundry.evaluation.claims import Trained, check_claims
    from wavefoundry.evaluation.results import COLUMNS
    from wavefoundry.evaluation.summary import mean_nmse_db
    from wavefoundry.report.downstream import downstream_section
    from wavefoundry.report.efficiency import efficiency_section
    from wavefoundry.report.page import render, to_html
    from wavefoundry.report.prediction import (
        claims_table,
        compared_datasets,
        dataset_table,
        overview_table,
        parameter_count,
    )
    from wavefoundry.report.tables import markdown_table, summary_table

    table, measured = read_table(RESULTS, COLUMNS), read_table(MEASURED, COLUMNS)
    names, sequences = list(parameters.datasets), parameters.sequences
    section, downstream = parameters.evaluate, parameters.evaluate.downstream
    draw(parameters, table, measured)
    trained = [
        Trained(
            name,
            parameter_count(table, name),
            model.teacher,
            parameters.objective_name(name),
            model.options,
        )
        for name, model in parameters.models.items()
    ]
    means = mean_nmse_db(table, parameters.compared, "test")
    summaries = {name: json.loads((scenario_folder(name) / "summary.json").read_text()) for name in names}
    content = {
        "title": TITLE,
        "introduction": f"Data sets: {', '.join(names)}. Every number below was measured by this run of the DAG on the "
        "test trajectories, which no training and no choice has seen.",
        "overview": overview_table(table, measured, parameters.compared),
        "snr_db": f"{section.prediction.snr_db:g}",
        "latency_batch": section.efficiency.batch_size,
        "questions": markdown_table(
            ["question", "known slots", "known subcarriers", "wanted slots", "wanted subcarriers"],
            [
                [
                    name,
                    *(f"first {share:.0%}" for share in (asked.known.slots, asked.known.subcarriers)),
                    *(
                        f"next {share:.0%}" if share else "the known ones"
                        for share in (asked.wanted.slots, asked.wanted.subcarriers)
                    ),
                ]
                for name, asked in section.prediction.questions.items()
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
        "compared": compared_datasets(parameters.compared),
        "claims": claims_table(check_claims(means, trained, list(parameters.predictors))),
        "predicted": [name for name in sequences if (REPORT / f"figures/prediction/{name}.png").exists()],
        "dataset_figures": {name: dataset_figures(name) for name in names},
        "downstream": "Left out of this study." if downstream is None else downstream_section(table, downstream),
        "efficiency": efficiency_section(table, measured, section.efficiency.batch_size, section.efficiency.slots),
        "scenario_summary": summary_table(summaries),
        "left_out": "\n".join(f"- {sentence}" for sentence in parameters.left_out),
        "trained": bool(parameters.models),
        "shading": SHADING if any(parameters.objective_name(name) for name in parameters.models) else "",
        "registry": summary_table(json.loads(DECISIONS.read_text()), by_row=True),
    }
    markdown = render(content)
    (REPORT / "report.md").write_text(markdown)
    (REPORT / "report.html").write_text(to_html(markdown, TITLE, REPORT))


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    inputs = [Path("data/scenario"), Path("figures"), Path("history"), RESULTS, MEASURED, DECISIONS]
    with stage("report", section=None, dependencies=inputs, outputs=[REPORT]) as run:
        REPORT.mkdir(exist_ok=True)
        write_report(parameters)
        run.log_folder(REPORT, "report")


if __name__ == "__main__":
    main()
