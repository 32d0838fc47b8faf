"""Tables of results: CSV files that pandas reads, written whole or not at all."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas

from storage.errors import StorageError
from storage.replacement import replace_file


def write_table(path: Path, table: pandas.DataFrame) -> None:
    """Write a table; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_table(path: Path, columns: Mapping[str, str]) -> pandas.DataFrame:
    """Read a table that `write_table` wrote.

    Args:
        path: the file.
        columns: the type of every column.

    Raises:
        StorageError: there is no such file, or it has other columns.
    """
    if not path.is_file():
        raise StorageError(f"{path}: no such file; run the stages before this one (dvc repro)")
    try:
        table = pandas.read_csv(path, dtype=dict(columns))
    except ValueError as error:
        raise StorageError(f"{path}: no table of results: {str(error).splitlines()[0]}") from error
    if list(table.columns) != list(columns):
        raise StorageError(f"{path}: found the columns {', '.join(table.columns)}, allowed: {', '.join(columns)}")
    return table


def read_tables(paths: Iterable[Path], columns: Mapping[str, str]) -> pandas.DataFrame:
    """Tables of the same columns as one, in the order of their files; arguments and errors as of `read_table`."""
    return pandas.concat([read_table(path, columns) for path in paths], ignore_index=True)
