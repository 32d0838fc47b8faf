"""What a stage has made, as Markdown for the Prefect UI: metrics as tables, pictures, links."""

import base64
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

# Pictures shown of one stage, and their largest width and height [pixels].
PICTURES = 4
SIZE = (900, 900)
SUFFIXES = (".png", ".gif", ".jpg")


def stage_page(outputs: Sequence[Path], metrics: Sequence[Path], mlflow_runs: Sequence[str]) -> str:
    """A page of one stage; empty if there is nothing to show.

    Args:
        outputs: files and folders that it has written.
        metrics: those of them that are DVC metrics, JSON files.
        mlflow_runs: addresses of its MLflow runs, or their ids on the server of `make ui` (MLFLOW_UI_URL).
    """
    files = sorted(file for path in outputs for file in ([path] if path.is_file() else path.rglob("*")))
    parts = [_mlflow_link(run) for run in mlflow_runs]
    parts += [f"Page: `{file}`" for file in files if file.suffix == ".html"]
    parts += [tables(path.name, json.loads(path.read_text())) for path in metrics]
    pictures = [file for file in files if file.suffix in SUFFIXES]
    parts += [f"{file.name}\n\n![{file.stem}]({_picture(file)})" for file in pictures[:PICTURES]]
    if len(pictures) > PICTURES:
        parts.append(f"and {len(pictures) - PICTURES} more pictures in `{pictures[PICTURES].parent}`")
    return "\n\n".join(parts)


def metrics_tables() -> str:
    """DVC's metrics as Markdown tables."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        files = repo.metrics.show().get("", {}).get("data", {})
    return "\n\n".join(tables(name, content.get("data", {})) for name, content in files.items())


def tables(name: str, content: dict) -> str:
    """Markdown tables of a file of metrics: one for each section that holds entries with their metrics, such as the
    predictions of `metrics/summary.json`, and one for what lies beside them."""
    sections = {key: value for key, value in content.items() if _holds_entries(value)}
    beside = {key: value for key, value in content.items() if key not in sections and value != {}}
    parts = [_table(f"{name}: {key}", value) for key, value in sections.items()]
    return "\n\n".join([*parts, _table(name, beside)] if beside else parts)


def _holds_entries(value) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(entry, dict) for entry in value.values())


def _table(name: str, content: dict) -> str:
    """A Markdown table; the first key of a metric names the row, the rest the column."""
    rows = {key: _flat(value) for key, value in content.items()}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {key} | {' | '.join(str(row.get(c, '')) for c in columns)} |" for key, row in rows.items()]
    return "\n".join(lines)


def _mlflow_link(run: str) -> str:
    server = os.environ.get("MLFLOW_UI_URL")
    if "://" not in run and server is None:
        return f"MLflow run `{run}`"
    return f"[MLflow run]({run if '://' in run else f'{server}/#/runs/{run}'})"


def _flat(value, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix or "value": value}
    return {
        column: number
        for key, part in value.items()
        for column, number in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _picture(file: Path) -> str:
    """A small copy inside the page itself: no server has to deliver it. Of a moving picture, the first one."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(file) as image:
        frame = image.convert("RGB")
    frame.thumbnail(SIZE)
    frame.quantize(128).save(small, "png")
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
