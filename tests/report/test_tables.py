"""Figures as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.report.tables import significant


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_a_number_of_any_size_has_plain_digits_and_the_rounding_asked_for(value, digits):
    text = significant(value, digits)
    assert set(text) <= set("0123456789.")
    assert float(text) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    assert len(text.replace(".", "").strip("0")) <= digits


@pytest.mark.parametrize(("value", "text"), [(147.3, "150"), (99.6, "100"), (8.34, "8.3"), (0.9, "0.9"), (0.0, "0")])
def test_numbers_as_a_table_shows_them(value, text):
    assert significant(value, 2) == text
