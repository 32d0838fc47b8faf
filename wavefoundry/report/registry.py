"""The report's section on the registry: what became of every predictor that was offered."""

from collections.abc import Mapping

from wavefoundry.report.tables import summary_table

# Figures of a decision whose names need a unit or say too little.
HEADINGS = {
    "validation_nmse_db": "validation NMSE [dB]",
    "test_nmse_db": "test NMSE [dB]",
    "latency_ms": "latency as served [ms]",
    "int8": "INT8",
    "champion_before_validation_nmse_db": "champion before, validation NMSE [dB]",
}


def registry_section(decisions: Mapping[str, Mapping[str, object]], compared: str, snr_db: float) -> str:
    """Markdown: what the figures are, and a row for each predictor.

    Args:
        decisions: {predictor: {figure: value}}, as stage `register` writes them.
        compared: the data sets over which means are taken, in words.
        snr_db: of the known block [dB].
    """
    score = (
        f"The score is the NMSE of the seed that is registered, at {snr_db:g} dB SNR: the mean of the ratios over the "
        f"data sets compared ({compared}), told in dB, and of that the mean over the questions that the predictor "
        "answers; the validation split decides who is champion, the test split is told and decides nothing."
    )
    latency = (
        "The latency is that of the form that is served, in single precision: the median wall time of one prediction "
        "of one sample by the model as it was loaded from the registry, of the first question about the first of "
        "these data sets, when the version was registered; it runs without PyTorch, and is another figure than the "
        "latency in PyTorch of the tables above."
    )
    table = {
        name: {HEADINGS.get(figure, figure): value for figure, value in decision.items()}
        for name, decision in decisions.items()
    }
    return "\n\n".join([f"{score} {latency}", summary_table(table, by_row=True)])
