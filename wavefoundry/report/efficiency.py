"""The report's section on what backbones cost."""

from collections.abc import Mapping
from pathlib import Path

import pandas

from wavefoundry.evaluation.summary import operations, slope
from wavefoundry.plots.model_styles import Style
from wavefoundry.report.tables import markdown_table, significant

# By metric, the picture as the report links it, and what its axis says.
PICTURES = {
    "flops": (Path("figures/efficiency/flops.png"), "floating-point operations"),
    "latency_ms": (Path("figures/efficiency/latency.png"), "latency in PyTorch [ms]"),
    "peak_mebibytes": (Path("figures/efficiency/memory.png"), "peak memory [MiB]"),
}


def efficiency_section(table: pandas.DataFrame, measured: pandas.DataFrame, batch_size: int, slots: int) -> str:
    """Markdown: costs against the number of tokens; its pictures are drawn by `draw_efficiency`.

    Args:
        table, measured: of results.
        batch_size: samples of one timed call.
        slots: that backbones of sequences read.
    """
    counted = table[table["evaluation"] == "efficiency"]
    costs = measured[measured["dataset"].isna()]
    if costs.empty:
        return "No network of this study gives representations."
    parts = [
        f"One forward pass of {batch_size} synthetic channel(s) in PyTorch, nothing hidden: backbones of snapshots "
        f"read one slot, those of sequences {slots}. Columns are antennas x subcarriers; cells are tokens, operations, "
        "median latency and peak memory. Growth is the slope of the logarithm of operations, latency and memory over "
        "that of the tokens: 1 is linear, 2 quadratic."
    ]
    sizes = list(dict.fromkeys(counted.loc[counted["question"].notna(), "question"]))
    for where, rows in costs.groupby("part", sort=False):
        models = list(dict.fromkeys(rows["model"]))
        table_rows = [_row(counted[counted["model"] == name], rows[rows["model"] == name], sizes) for name in models]
        parts += [f"### {where}", markdown_table(["backbone", "parameters", "growth", *sizes], table_rows)]
    left_out = counted[counted["metric"] == "left_out"]
    if len(left_out):
        reasons = dict.fromkeys(f"- {row.model}: {row.part}" for row in left_out.itertuples())
        parts.append("Left out (-):\n\n" + "\n".join(reasons))
    if costs["part"].nunique() < 2:
        parts.append("There was no GPU to measure on.")
    parts.append(
        "Operations are those of matrix products, convolutions, attention and scans as they are run, two for each "
        "multiplication and addition; transforms of the input, normalisations, activations, softmax and the choice of "
        "keys in a routing are not counted."
    )
    parts += [f"![{label}]({path.as_posix()})" for _, path, label in _drawn(curves(table, measured))]
    return "\n\n".join(parts)


def draw_efficiency(
    table: pandas.DataFrame, measured: pandas.DataFrame, styles: Mapping[str, Style], folder: Path
) -> None:
    """Draw the pictures that the section links: those of costs that any backbone has.

    Args:
        table, measured: as for `efficiency_section`.
        styles: of the study's models.
        folder: of the report; the pictures lie in it under figures.
    """
    from wavefoundry.plots.efficiency import draw_against_tokens

    found = curves(table, measured)
    for metric, path, label in _drawn(found):
        draw_against_tokens(found[metric], label, styles, folder / path)


def curves(table: pandas.DataFrame, measured: pandas.DataFrame) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """{metric: {model: (tokens, cost)}} on the CPU, for pictures."""
    counted = table[table["evaluation"] == "efficiency"]
    costs = measured[measured["dataset"].isna()]
    found: dict[str, dict[str, list[tuple[int, float]]]] = {"flops": {}, "latency_ms": {}, "peak_mebibytes": {}}
    for model, rows in counted.groupby("model", sort=False):
        sizes = operations(rows)
        found["flops"][str(model)] = [
            (int(tokens), float(flops)) for tokens, flops in zip(sizes["tokens"], sizes["flops"], strict=True)
        ]
        own = costs[costs["model"] == model]
        own = own[own["part"] == own["part"].iloc[0]] if len(own) else own
        for metric in ("latency_ms", "peak_mebibytes"):
            values = own[own["metric"] == metric]
            found[metric][str(model)] = [
                (int(sizes.loc[size, "tokens"]), float(value))
                for size, value in zip(values["question"], values["value"], strict=True)
            ]
    return found


def _drawn(found: Mapping[str, Mapping[str, object]]) -> list[tuple[str, Path, str]]:
    """Metric, picture and axis of the costs that any backbone has; `found` as `curves` gives it."""
    return [(metric, path, label) for metric, (path, label) in PICTURES.items() if any(found[metric].values())]


def _row(counted: pandas.DataFrame, measured: pandas.DataFrame, sizes: list[str]) -> list[str]:
    parameters = int(counted.loc[counted["metric"] == "parameters", "value"].iloc[0])
    found = operations(counted)
    costs = measured.pivot(index="question", columns="metric", values="value")
    growth = "-"
    if len(costs) > 1:
        figures = [found["flops"], *(costs.loc[found.index, metric] for metric in ("latency_ms", "peak_mebibytes"))]
        growth = " / ".join(f"{slope(found['tokens'], figure):.2f}" for figure in figures)
    cells = [
        f"{int(found.loc[size, 'tokens']):,}: {significant(found.loc[size, 'flops'] / 1e9, 3)} GFLOP, "
        f"{significant(costs.loc[size, 'latency_ms'], 3)} ms, {significant(costs.loc[size, 'peak_mebibytes'], 3)} MiB"
        if size in costs.index
        else "-"
        for size in sizes
    ]
    return [str(counted["model"].iloc[0]), f"{parameters:,}", growth, *cells]
