"""What `make run` says at the end: the table of models, and where to look."""

import json
from pathlib import Path

from stages.stage import clear_errors
from storage.errors import StorageError


@clear_errors()
def main() -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from stages.report import mean_and_spread

    detail, costs = Path("metrics/prediction.json"), Path("measurements/prediction.json")
    for path in (detail, costs):
        if not path.exists():
            raise StorageError(f"{path} does not exist; run `make run` first")
    scores, costs = json.loads(detail.read_text()), json.loads(costs.read_text())
    table = Table(title="Test NMSE on held-out trajectories, mean ± spread over seeds")
    for heading in ("model", "time [dB]", "frequency [dB]", "parameters", "latency [ms]"):
        table.add_column(escape(heading), justify="left" if heading == "model" else "right", no_wrap=True)
    for name, by_axis in scores.items():
        nmse = [mean_and_spread(list(by_axis[axis]["all"]["nmse_db"].values())) for axis in ("time", "frequency")]
        cost = costs["predictors"][name]
        table.add_row(name, *nmse, f"{cost['parameters']:,}", f"{cost['latency_ms']:.1f}")
    Console().print(table)
    print("Report:  open report/report.html in a browser")
    print("MLflow:  make ui, then the second address it prints")
    print("Prefect: make ui, then the first address; start a run from one of the deployments there")


if __name__ == "__main__":
    main()
