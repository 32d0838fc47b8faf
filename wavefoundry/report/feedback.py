"""The report's section on channel feedback."""

from collections.abc import Sequence

import pandas

from wavefoundry.evaluation.feedback_options import Feedback
from wavefoundry.evaluation.feedback_summary import BOUND, feedback_means
from wavefoundry.evaluation.metrics import to_db
from wavefoundry.report.silence import silence_note
from wavefoundry.report.tables import markdown_table, mean_and_spread

# Of each table: the metric, what the text above it says, whether it is told in dB.
TABLES = (
    ("nmse", "NMSE [dB] of what the base station recovers from the bits that arrive", True),
    ("nmse_error_free", "NMSE [dB] had every bit arrived", True),
    ("cosine_similarity", "Cosine similarity over the antennas", False),
    ("spectral_efficiency", "Spectral efficiency of beams steered by the recovered channel [bit/s/Hz]", False),
)


def feedback_section(
    table: pandas.DataFrame, section: Feedback, datasets: Sequence[str], bit_error_rate: float, *, picture: bool = True
) -> str:
    """Markdown; its picture is drawn by `wavefoundry.plots.feedback`.

    Args:
        table: of results.
        section: parameters of the evaluation.
        datasets: over which means are taken: those that every codec has learnt from and feeds back.
        bit_error_rate: of the uplink.
        picture: whether the picture is shown.
    """
    rows = table[table["evaluation"] == "feedback"]
    if rows.empty:
        return "No network of this study feeds back channels."
    uplink = section.uplink
    parts = [
        f"A user knows one slot at {section.snr_db:g} dB and feeds it back, up to its power, in so many bits for every "
        f"16 channel entries (antennas x subcarriers). The bits go over {uplink.modulation.upper()} at "
        f"{uplink.snr_db:g} dB, code rate 1/{uplink.repetitions} (repetition): a share of {bit_error_rate:.2g} arrives "
        "wrong, and no check sum tells."
    ]
    if datasets:
        parts += [
            f"Means over {', '.join(datasets)}, each of which counts the same, ± standard deviation over seeds. The "
            "bound is the rate-distortion function of a Gaussian channel with the covariance that the Karhunen-Loeve "
            "transform has learnt, without noise: no code of so many bits describes that Gaussian better. Real "
            "channels are no Gaussians, and may be described in fewer bits.",
        ]
        if picture:
            parts.append("![NMSE over bits](figures/feedback.png)")
        for metric, words, in_db in TABLES:
            parts += [f"{words}:", _means(feedback_means(rows, datasets, "test"), metric, section.rates, in_db)]
    else:
        parts.append("There is no data set that every codec has learnt from and feeds back: there are no means.")
    middle = sorted(section.rates)[len(section.rates) // 2]
    parts += [f"NMSE [dB] by data set at {middle} bits for 16 entries:", _by_dataset(rows, middle)]
    return "\n\n".join([*parts, *silence_note(table, "feedback")])


def _means(means: pandas.DataFrame, metric: str, rates: Sequence[int], in_db: bool) -> str:
    lines = []
    for model, some in means[means["metric"] == metric].groupby("model", sort=False):
        cells = []
        for rate in rates:
            values = [to_db(value) if in_db else value for value in some.loc[some["rate"] == rate, "value"]]
            cells.append(mean_and_spread(values, 2 if in_db else 3))
        lines.append([model, *cells])
    if metric == "spectral_efficiency":
        perfect = means[means["metric"] == "spectral_efficiency_perfect"].groupby("rate")["value"].mean()
        lines.append(["the channel itself", *(f"{perfect[rate]:.3f}" for rate in rates)])
    if metric == "nmse_error_free":
        for model, some in means[means["metric"] == BOUND].groupby("model", sort=False):
            bound = some.groupby("rate")["value"].mean()
            lines.append([f"Gaussian bound ({model})", *(f"{to_db(bound[rate]):.2f}" for rate in rates)])
    bits = means[means["metric"] == "bits"].groupby("rate")["value"].mean()
    header = ["codec", *(f"{rate} bits ({bits[rate]:g} a slot)" for rate in rates)]
    return markdown_table(header, lines)


def _by_dataset(rows: pandas.DataFrame, rate: int) -> str:
    chosen = rows[(rows["question"] == f"{rate} bits") & (rows["split"] == "test") & (rows["metric"] == "nmse")]
    datasets, models = (list(dict.fromkeys(chosen[column])) for column in ("dataset", "model"))
    cells = {
        key: mean_and_spread([to_db(value) for value in some])
        for key, some in chosen.groupby(["model", "dataset"], sort=False)["value"]
    }
    lines = [[model, *(cells.get((model, dataset), "-") for dataset in datasets)] for model in models]
    return markdown_table(["codec", *datasets], lines)
