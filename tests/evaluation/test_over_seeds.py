"""How sure a difference is over seeds."""

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from wavefoundry.evaluation.over_seeds import difference_over_seeds


def test_same_seeds_are_compared_one_by_one():
    one, other = {0: -3.0, 1: -5.0, 2: -4.5}, {0: -2.0, 1: -3.0, 2: -4.0}
    found = difference_over_seeds(one, other, 0.95)
    interval = ttest_rel(list(one.values()), list(other.values())).confidence_interval(0.95)
    assert found.margin == pytest.approx((interval.high - interval.low) / 2)
    assert found.spread == pytest.approx(np.std([-1, -2, -0.5], ddof=1))


def test_other_seeds_are_two_samples():
    one, other = {0: -3.0, 1: -5.0, 2: -4.5}, {3: -2.0, 4: -3.0}
    found = difference_over_seeds(one, other, 0.9)
    interval = ttest_ind(list(one.values()), list(other.values()), equal_var=False).confidence_interval(0.9)
    assert found.margin == pytest.approx((interval.high - interval.low) / 2)
    assert found.spread == pytest.approx(np.hypot(np.std([3, 5, 4.5], ddof=1), 0.5**0.5))


def test_what_is_not_trained_does_not_vary():
    one = {0: -3.0, 1: -5.0, 2: -4.5}
    found = difference_over_seeds(one, {}, 0.95)
    assert found == difference_over_seeds(one, {0: 0.0, 1: 0.0, 2: 0.0}, 0.95)
    assert difference_over_seeds({}, {}, 0.95) == (0, 0)


def test_of_one_seed_nothing_is_known():
    assert difference_over_seeds({0: -3.0}, {0: -2.0, 1: -3.0}, 0.95) is None
    assert difference_over_seeds({0: -3.0}, {}, 0.95) is None


def test_chance_alone_decides_as_seldom_as_it_says():
    """Models that are equal in expectation: the interval misses 0 in as many of the draws as its level leaves."""
    generator = np.random.default_rng(0)
    missed = []
    for _ in range(2000):
        one, other = ({seed: float(generator.normal()) for seed in range(3)} for _ in range(2))
        found = difference_over_seeds(one, other, 0.95)
        missed.append(abs(np.mean(list(one.values())) - np.mean(list(other.values()))) > found.margin)
    assert np.mean(missed) == pytest.approx(0.05, abs=0.02)
