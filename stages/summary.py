"""What `make run` says at the end: the table of models, and where to look."""

import argparse

from stages import params
from stages.paths import MEASURED, RESULTS
from stages.stage import clear_errors
from storage.tables import read_table


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from wavefoundry.evaluation.results import COLUMNS
    from wavefoundry.report.prediction import overview

    header, rows = overview(read_table(RESULTS, COLUMNS), read_table(MEASURED, COLUMNS), params.read().compared)
    # Narrow enough for a terminal of 80 columns: headings may break, figures may not, and the report tells the seeds.
    title = "Test NMSE [dB] on held-out trajectories, mean ± spread over seeds"
    table = Table(title=escape(title), box=SIMPLE, padding=(0, 1, 0, 0))
    kept = [column for column, heading in enumerate(header) if heading != "seeds"]
    header = [header[column].removesuffix(" [dB]") for column in kept]
    rows = [[row[column].replace(" ± ", "±") for column in kept] for row in rows]
    for column, heading in enumerate(header):
        width = max(len(row[column]) for row in rows)
        table.add_column(escape(heading), justify="left" if heading == "model" else "right", min_width=width)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print("Report:  open report/report.html in a browser")
    print("MLflow:  make ui, then the second address it prints")
    print("Prefect: make ui, then the first address; start a run from one of the deployments there")


if __name__ == "__main__":
    main()
