"""One table: rows that know some columns, statistics over samples, and the way to a file and back."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import StorageError
from storage.tables import read_table, write_table
from wavefoundry.evaluation.results import COLUMNS, as_table, sample_statistics

ROWS = [
    {"evaluation": "prediction", "model": "wifo", "seed": 3, "dataset": "d1", "question": "time", "split": "test",
     "metric": "nmse", **sample_statistics(np.array([0.1, 0.2, 0.6]))},
    {"evaluation": "downstream", "model": "raw", "dataset": "d1", "question": "los", "part": "curve",
     "label_fraction": 0.1, "patch_size": "4", "split": "validation", "metric": "f1", "value": 0.123456789012},
    {"evaluation": "efficiency", "model": "wifo", "metric": "parameters", "value": 12345678},
]  # fmt: skip


def test_rows_get_all_columns_and_what_they_do_not_say_is_missing():
    table = as_table(ROWS)
    assert list(table.columns) == list(COLUMNS) and len(table) == 3
    assert {column: str(kind) for column, kind in table.dtypes.items()} == COLUMNS
    assert table["seed"][0] == 3 and table["seed"][1:].isna().all()
    assert table["part"].isna().tolist() == [True, False, True]
    assert table["value"].tolist() == pytest.approx([0.3, 0.123456789012, 12345678])


def test_no_rows_make_a_table_with_all_columns():
    assert list(as_table([]).columns) == list(COLUMNS) and as_table([]).empty


def test_a_column_that_the_table_does_not_know_is_named():
    with pytest.raises(KeyError, match="unknown columns: data_set, vlaue"):
        as_table([ROWS[0], {"vlaue": 1.0, "data_set": "d1"}])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_statistics_are_those_of_numpy(values):
    found = sample_statistics(np.array(values))
    ordered = np.sort(values)
    assert found["samples"] == len(values)
    assert found["value"] == pytest.approx(sum(values) / len(values))
    assert found["deviation"] == pytest.approx(np.sqrt(((ordered - ordered.mean()) ** 2).mean()), abs=1e-6)
    assert found["median"] == pytest.approx((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
    assert ordered[0] <= found["quantile_90"] <= ordered[-1]
    assert (ordered <= found["quantile_90"] + 1e-9 * (1 + found["quantile_90"])).mean() >= 0.9 - 1 / len(values)


def test_a_table_comes_back_from_its_file(tmp_path):
    table = as_table(ROWS)
    write_table(tmp_path / "new/results.csv", table)
    again = read_table(tmp_path / "new/results.csv", COLUMNS)
    pandas.testing.assert_frame_equal(again, table, rtol=1e-8)
    # Written again, it is the same file.
    before = (tmp_path / "new/results.csv").read_bytes()
    write_table(tmp_path / "new/results.csv", again)
    assert (tmp_path / "new/results.csv").read_bytes() == before


def test_a_table_without_rows_comes_back_from_its_file(tmp_path):
    write_table(tmp_path / "results.csv", as_table([]))
    pandas.testing.assert_frame_equal(
        read_table(tmp_path / "results.csv", COLUMNS), as_table([]), check_index_type=False
    )


def test_a_file_that_is_no_table_of_results_is_refused_in_one_line(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(StorageError, match="no such file"):
        read_table(path, COLUMNS)
    for text, message in (
        ("a,b\n1,2\n", "found the columns a, b, allowed: evaluation, model"),
        ("", "no table of results"),
        (",".join(COLUMNS) + "\n" + ",".join(["x"] * len(COLUMNS)) + "\n", "no table of results"),
    ):
        path.write_text(text)
        with pytest.raises(StorageError, match=message) as error:
            read_table(path, COLUMNS)
        assert "\n" not in str(error.value)
