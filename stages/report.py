"""Stage report: the study on one page, as self-contained HTML and as markdown."""

import base64
import json
import re
import shutil
import statistics
from pathlib import Path

from stages import params
from stages.stage import clear_errors, stage
from stages.training import history_file

FOLDER = Path("report")
TEMPLATES = Path(__file__).parent / "templates"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dce3; padding-bottom: .3rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid #e3e8ed; text-align: left; }
th { background: #f3f6f9; } img { max-width: 100%; }
"""


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table; cells are text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def mean_and_spread(values: list[float]) -> str:
    """ "-7.12 ± 0.10" over seeds, or "-7.12" where there is one."""
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def overview_table(scores: dict, costs: dict) -> str:
    """Every predictor: NMSE in both domains, seeds, parameters, latency."""
    rows = []
    for name, by_axis in scores.items():
        cost = costs["predictors"][name]
        nmse = {axis: list(by_axis[axis]["all"]["nmse_db"].values()) for axis in ("time", "frequency")}
        rows.append(
            [
                name,
                mean_and_spread(nmse["time"]),
                mean_and_spread(nmse["frequency"]),
                str(len(nmse["time"])) if cost["parameters"] else "-",
                f"{cost['parameters']:,}",
                f"{cost['latency_ms']:.1f}",
            ]
        )
    header = ["model", "NMSE in time [dB]", "NMSE in frequency [dB]", "seeds", "parameters", "latency [ms]"]
    return markdown_table(header, rows)


def dataset_table(scores: dict, axis: str, parameters: params.Params) -> str:
    """NMSE of every predictor on every data set: "-" if it cannot read it, "zero-shot" if it has not learnt it."""
    columns = [*parameters.sequences, "all"]
    rows = [
        [name, *(_dataset_cell(name, column, by_axis[axis], parameters) for column in columns)]
        for name, by_axis in scores.items()
    ]
    return markdown_table(["model", *columns], rows)


def _dataset_cell(predictor: str, dataset: str, by_dataset: dict, parameters: params.Params) -> str:
    if dataset not in by_dataset:
        return "-"
    value = mean_and_spread(list(by_dataset[dataset]["nmse_db"].values()))
    known = dataset == "all" or predictor not in parameters.predictors or dataset in parameters.learnt_by(predictor)
    return value if known else f"{value} (zero-shot)"


def scenario_summary(names: list[str]) -> str:
    """The figures of every data set's summary.json, one column a data set."""
    summaries = {name: json.loads(Path(f"data/scenario/{name}/summary.json").read_text()) for name in names}
    keys = list(dict.fromkeys(key for summary in summaries.values() for key in summary))
    rows = [[key.replace("_", " "), *(_cell(summaries[name].get(key)) for name in names)] for key in keys]
    return markdown_table(["", *names], rows)


def _cell(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def registry_table() -> str:
    """What the registry's gate decided for each model."""
    decisions = json.loads(Path("measurements/registry.json").read_text())
    header = list(dict.fromkeys(key for decision in decisions.values() for key in decision))
    rows = [[name, *(_cell(decision.get(key)) for key in header)] for name, decision in decisions.items()]
    return markdown_table(["model", *header], rows)


def dataset_figures(name: str) -> list[str]:
    """Pictures of a data set, as the report links them."""
    files = [*Path(f"figures/scenario/{name}").glob("*"), Path(f"figures/angle_delay/{name}.gif")]
    return sorted(path.as_posix() for path in files)


def draw(scores: dict, names: list[str]) -> None:
    """Charts of the report, and copies of the stages' figures beside it."""
    import pandas

    from wavefoundry.plots.curves import draw_learning_curves, draw_nmse

    for source in sorted(Path("figures").rglob("*")):
        if source.is_file():
            target = FOLDER / source
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for axis in ("time", "frequency"):
        draw_nmse(scores, axis, FOLDER / f"figures/nmse_{axis}.png")
    histories = {name: pandas.read_csv(history_file(name)) for name in names}
    draw_learning_curves(histories, FOLDER / "figures/learning_curves.png")


def to_html(markdown: str, title: str) -> str:
    """Markdown to one HTML page with its pictures inside."""
    from markdown import markdown as render

    body = render(markdown, extensions=["tables"])
    body = re.sub(r'src="(figures/[^"]+)"', lambda match: f'src="{_data_uri(FOLDER / match[1])}"', body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _data_uri(path: Path) -> str:
    kind = {"png": "image/png", "gif": "image/gif"}[path.suffix[1:]]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _downstream(parameters: params.Params) -> str:
    from stages.report_downstream import downstream_section

    if parameters.evaluate.downstream is None:
        return "Left out of this study."
    return downstream_section(json.loads(Path("metrics/downstream.json").read_text()))


def write_report(parameters: params.Params) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from stages.evaluate_efficiency import draw_measurements, efficiency_section
    from wavefoundry.evaluation.claims import check_claims

    scores = json.loads(Path("metrics/prediction.json").read_text())
    summary = json.loads(Path("metrics/prediction_summary.json").read_text())
    costs = json.loads(Path("measurements/prediction.json").read_text())
    names = list(parameters.datasets)
    draw(scores, [*dict(parameters.pretrain), *dict(parameters.teach), *parameters.distill])
    efficiency = json.loads(Path("metrics/efficiency.json").read_text())
    measured = json.loads(Path("measurements/efficiency.json").read_text())
    draw_measurements(measured, FOLDER / "figures/efficiency")
    counts = {name: cost["parameters"] for name, cost in costs["predictors"].items()}
    claims = [
        [claim.claim, claim.measured, "yes" if claim.holds else "**no**"] for claim in check_claims(summary, counts)
    ]
    title = "wavefoundry: channel prediction, side by side"
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True)
    markdown = environment.get_template("report.md.jinja").render(
        title=title,
        introduction=f"Data sets: {', '.join(names)}. Every number below was measured by this run of the DAG on the "
        "test trajectories, which no training and no choice has seen.",
        overview=overview_table(scores, costs),
        snr_db=f"{parameters.evaluate.prediction.snr_db:g}",
        latency_batch=costs["batch"],
        dataset_tables={axis: dataset_table(scores, axis, parameters) for axis in ("time", "frequency")},
        compared=", ".join(parameters.compared),
        claims=markdown_table(["claim", "measured here", "holds"], claims),
        predicted=list(parameters.sequences),
        dataset_figures={name: dataset_figures(name) for name in names},
        downstream=_downstream(parameters),
        efficiency=efficiency_section(efficiency, measured),
        scenario_summary=scenario_summary(names),
        registry=registry_table(),
    )
    (FOLDER / "report.md").write_text(markdown)
    (FOLDER / "report.html").write_text(to_html(markdown, title))


@clear_errors()
def main() -> None:
    parameters = params.read()
    inputs = [Path(name) for name in ("data/scenario", "figures", "history", "measurements", "metrics")]
    with stage("report", section=None, dependencies=inputs, outputs=[FOLDER]) as run:
        FOLDER.mkdir(exist_ok=True)
        write_report(parameters)
        run.log_folder(FOLDER, "report")


if __name__ == "__main__":
    main()
