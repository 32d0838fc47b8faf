"""Pairs of samples, histories and subsets of labels."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.samples import KEYS, labelled_subset, pair_samples, past_windows

ALL = np.array([(station, user, window) for station in range(2) for user in range(4) for window in range(3)])


def dataset(rows) -> xr.Dataset:
    """Samples of ALL by their rows; the position tells which one it is."""
    keys = ALL[rows]
    position = np.stack([keys[:, 1], keys[:, 2], keys[:, 0]], axis=-1)[:, None].astype(float)
    variables = {name: (("sample",), keys[:, column]) for column, name in enumerate(KEYS)}
    return xr.Dataset(variables | {"position": (("sample", "time", "xyz"), position)})


rows_of_a_store = st.lists(st.integers(0, len(ALL) - 1), unique=True, min_size=1)


@given(rows_of_a_store, rows_of_a_store)
def test_pairs_survive_rows_that_only_one_store_has_and_any_order(first, second):
    shared = [row for row in first if row in second]
    if not shared:
        with pytest.raises(InputError, match="share no sample"):
            pair_samples(dataset(first), dataset(second))
        return
    left, right = pair_samples(dataset(first), dataset(second))
    assert np.array(first)[left].tolist() == shared
    assert np.array(second)[right].tolist() == shared


def test_users_of_another_site_are_refused():
    elsewhere = dataset(range(5))
    elsewhere["position"] = elsewhere["position"] + 3.0
    with pytest.raises(InputError, match=r"do not share a site: .* up to 5\.2 m apart"):
        pair_samples(dataset(range(5)), elsewhere)


@pytest.mark.parametrize("name", [*KEYS, "position"])
def test_a_missing_variable_is_named(name):
    with pytest.raises(InputError, match=f"'{name}' is missing"):
        pair_samples(dataset(range(5)), dataset(range(5)).drop_vars(name))


@given(rows_of_a_store, st.integers(1, 2))
def test_histories_are_the_windows_right_before_of_the_same_user(rows, past):
    keys = ALL[rows]
    present = {tuple(key) for key in keys.tolist()}
    expected = {(s, u, w) for s, u, w in present if all((s, u, w - step) in present for step in range(1, past + 1))}
    if not expected:
        with pytest.raises(InputError, match=f"past is {past}, but no user has {past + 1} windows in a row"):
            past_windows(keys, past)
        return
    histories, following = past_windows(keys, past)
    assert {tuple(key) for key in keys[following].tolist()} == expected
    steps = keys[following][:, None] - keys[histories]
    assert (steps[..., :2] == 0).all() and (steps[..., 2] == np.arange(past, 0, -1)).all()


@given(st.integers(1, 300), st.integers(0, 9), st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_more_labels_are_the_same_labels_and_others(count, seed, one, other):
    rows = np.arange(1000, 1000 + count)
    small, large = (labelled_subset(rows, fraction, seed).tolist() for fraction in sorted((one, other)))
    assert large[: len(small)] == small
    assert len(large) == max(1, round(max(one, other) * count)) == len(set(large)) and set(large) <= set(rows.tolist())
    assert labelled_subset(rows, 1.0, seed).tolist() == labelled_subset(rows, 1.0, seed).tolist()


def test_seeds_draw_different_labels():
    rows = np.arange(100)
    assert set(labelled_subset(rows, 0.1, 0)) != set(labelled_subset(rows, 0.1, 1))
