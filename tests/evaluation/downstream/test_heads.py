"""Heads recover what is there to recover, and nothing of it by looking at other labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.evaluation.downstream.heads import (
    Scaling,
    fit_classifier,
    fit_linear,
    fit_regressor,
    project,
    ranked_classes,
)
from wavefoundry.evaluation.downstream.options import Heads

SECTION = Heads(
    steps=300, batch_size=64, learning_rate=3e-3, weight_decay=1e-3, penalties=[1e-8, 1.0], stationary_shares=[1.0]
)


def features(samples=400, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(samples, width)).astype(np.float32)


def test_a_linear_label_is_recovered():
    seen = features()
    labels = (seen @ np.arange(1, 9) > 0).astype(int)
    classifier = fit_classifier(seen[:300], labels[:300], (8,), SECTION, 0)
    assert (ranked_classes(classifier, seen[300:], 1)[:, 0] == labels[300:]).mean() > 0.93


def test_the_best_of_several_classes_come_first():
    """Classes that the training labels do not show are never named, and names are not positions."""
    seen = features(width=4)
    labels = np.array([7, 20, 40, 63])[seen.argmax(axis=1)]
    classifier = fit_classifier(seen[:300], labels[:300], (32,), SECTION, 0)
    ranked = ranked_classes(classifier, seen[300:], 3)
    assert (ranked[:, 0] == labels[300:]).mean() > 0.9
    assert set(ranked.flatten()) == {7, 20, 40, 63} and all(len(set(row)) == 3 for row in ranked.tolist())


def test_labels_of_one_class_give_that_class():
    classifier = fit_classifier(features(5), np.full(5, 31), (8,), SECTION, 0)
    assert ranked_classes(classifier, features(9), 3).tolist() == [[31]] * 9


def test_a_linear_target_is_recovered_in_its_unit():
    seen = features()
    target = 100 + 40 * seen[:, :2]
    head = fit_regressor(seen[:300], target[:300], (64, 32), SECTION, 0)
    assert np.abs(head(seen[300:]) - target[300:]).mean() < 8


@pytest.mark.parametrize("fit", [fit_classifier, fit_regressor])
def test_a_seed_repeats_to_the_bit(fit):
    seen = features(60)
    target = (seen[:, 0] > 0).astype(int) if fit is fit_classifier else seen[:, :2]
    heads = [fit(seen, target, (8,), SECTION, 3) for _ in range(2)]
    found = [head.predict_proba(seen) if fit is fit_classifier else head(seen) for head in heads]
    assert np.array_equal(*found)


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(1e-6, 1e6))
def test_a_linear_map_is_found_at_any_scale(seed, scale):
    generator = np.random.default_rng(seed)
    seen = (scale * features(50, 6, seed) + scale).astype(np.float32)
    target = seen @ generator.normal(size=(6, 3)).astype(np.float32) / np.float32(scale) + 2
    layer = fit_linear(seen[:40], target[:40], [1e-10], lambda layer: 0.0)
    assert np.abs(layer(seen[40:]) - target[40:]).max() < 1e-3


def test_the_penalty_is_the_one_that_the_loss_likes():
    """Hardly any penalty follows the noise, far too much of it gives the mean."""
    seen, unseen = features(30, 20), features(200, 20, 5)
    target = seen[:, :1] + features(30, 1, 7)
    penalties, losses = [1e-8, 0.3, 1e6], {}

    def loss(layer):
        return float(np.square(layer(unseen) - unseen[:, :1]).mean())

    for penalty in penalties:
        losses[penalty] = loss(fit_linear(seen, target, [penalty], loss))
    assert min(losses, key=losses.get) == 0.3
    assert loss(fit_linear(seen, target, penalties, loss)) == losses[0.3]


@given(st.integers(1, 20), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_scaling_can_be_undone_and_gives_unit_mean_variance(width, deviation, mean):
    values = mean + deviation * features(50, width).astype(np.float64)
    scaling = Scaling.of(values)
    scaled = scaling(values)
    np.testing.assert_allclose(scaled.var(axis=0).mean(), 1.0)
    np.testing.assert_allclose(scaling.undo(scaled), values, atol=1e-9 * (abs(mean) + deviation))


def test_constant_features_are_no_fault():
    assert np.isfinite(Scaling.of(np.ones((3, 2)))(np.ones((3, 2)))).all()


def test_projection_keeps_what_lies_in_few_directions_and_sees_the_training_rows_only():
    basis = np.random.default_rng(2).normal(size=(4, 100)).astype(np.float32)
    wide = features(80, 4) @ basis
    narrow = project(wide, np.arange(40), 4)
    distances = [np.linalg.norm(values[40:] - values[39], axis=1) for values in (wide, narrow)]
    np.testing.assert_allclose(*distances, rtol=1e-3)
    changed = wide.copy()
    changed[60:] = 0
    np.testing.assert_array_equal(project(changed, np.arange(40), 4)[:60], narrow[:60])
    assert project(wide, np.arange(40), 100) is wide
