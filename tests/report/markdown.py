"""Markdown tables, taken apart."""


def cells(table: str) -> dict[str, list[str]]:
    """Rows of a markdown table by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}
