"""The page of a registered version: its scores beside those of a reference, in words, in a table and in a chart."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.candidates import Candidate
from stages.served_form import LAYOUT

if TYPE_CHECKING:
    import pandas

    from storage.tracking.registry import Registry, Version

MEAN = "mean"


def scores_beside_reference(
    candidate: Candidate, table: "pandas.DataFrame", compared: Mapping[str, list[str]], reference: str | None
) -> dict[str, dict[str, dict[str, float]]]:
    """Test NMSE beside that of the reference, {question: {predictor: {data set or "mean": dB}}}.

    Args:
        candidate: the seed that is offered.
        table: of results.
        compared: data sets that the mean is taken over, by question.
        reference: a predictor without training; None: there is none.
    """
    from wavefoundry.evaluation.summary import by_dataset_nmse_db, mean_nmse_db

    rows = by_dataset_nmse_db(table, "test")
    means = mean_nmse_db(table, compared, "test").assign(dataset=MEAN)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in [*rows.astype({"seed": object}).to_dict("records"), *means.astype({"seed": object}).to_dict("records")]:
        ours = row["model"] == candidate.name and (candidate.seed is None or row["seed"] == candidate.seed)
        if ours or row["model"] == reference:
            by_model = found.setdefault(row["question"], {})
            by_model.setdefault(row["model"], {})[row["dataset"]] = row["nmse_db"]
    for by_model in found.values():
        ours_only = by_model.get(candidate.name, {})
        for name in list(by_model):
            by_model[name] = {dataset: value for dataset, value in by_model[name].items() if dataset in ours_only}
    return {question: by_model for question, by_model in found.items() if candidate.name in by_model}


def description(
    candidate: Candidate, decision: dict, by_question: dict, snr_db: float, stores: Mapping[str, str]
) -> str:
    """A registered version in Markdown, with its `scores_beside_reference`.

    Args:
        candidate, decision: what was offered, and what was decided.
        by_question: its scores.
        snr_db: of the known block.
        stores: digests of the data sets that it was judged on.
    """
    from wavefoundry.report.tables import markdown_table

    columns = [(question, name) for question, by_predictor in by_question.items() for name in by_predictor]
    datasets = list(dict.fromkeys(name for question, model in columns for name in by_question[question][model]))
    rows = [
        [dataset, *(_decibels(by_question[question][name].get(dataset)) for question, name in columns)]
        for dataset in datasets
    ]
    lines = [
        f"Predictor `{candidate.name}` ({candidate.label}), registered as {decision['alias'] or 'no alias'}: "
        f"{decision['reason']}. One prediction takes {decision['latency_ms']} ms.",
        f"INT8 form: {decision['int8']}.",
        f"It is judged by the validation split: {candidate.score_db:.2f} dB at {snr_db:g} dB SNR, averaged over "
        f"{', '.join(candidate.validation_nmse_db)} and over the data sets "
        f"{', '.join(f'{name} ({md5[:8]})' for name, md5 in stores.items())}.",
        markdown_table(
            [f"NMSE [dB] on the test split, {snr_db:g} dB SNR", *(f"{question}, {name}" for question, name in columns)],
            rows,
        ),
        LAYOUT,
    ]
    return "\n\n".join(lines)


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def describe(
    registry: "Registry",
    version: "Version",
    text: str,
    by_question: dict[str, dict[str, dict[str, float]]],
    run_id: str,
) -> None:
    """Give a version its description and its chart."""
    from wavefoundry.plots.scores import draw_scores

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, f"{version.name}.png")
        draw_scores(by_question, picture)
        registry.describe(version, text, picture, run_id)
