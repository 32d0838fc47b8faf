"""Intervals of scores that are means, and of scores that are not, against what they are drawn from."""

import numpy as np
import pytest
from pydantic import Field
from sklearn.metrics import f1_score

from tests.evaluation.downstream.example import example_task
from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.paired_scores import resampled_scores
from wavefoundry.evaluation.downstream.task import TaskOptions
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.results import DOWNSTREAM_SAMPLE_COLUMNS, table_of_samples


class Options(TaskOptions):
    hidden: list[int] = Field(description="widths")


class Balanced(ClassificationTask):
    """Decided by F1, which is no mean over samples."""

    title, metric, guess = "balanced", "f1", "a guess"

    def labels(self, snapshots):
        return snapshots.beam


BALANCED = Balanced(Options(hidden=[1]))


def table(values: dict[tuple[str, int, str], np.ndarray], trajectories: np.ndarray):
    return table_of_samples(
        [
            {"model": model, "seed": seed, "question": "t", "label_fraction": 0.1, "statistic": statistic,
             "sample": np.arange(len(trajectories)), "trajectory": trajectories, "value": one}
            for (model, seed, statistic), one in values.items()
        ],
        DOWNSTREAM_SAMPLE_COLUMNS,
    )  # fmt: skip


def test_f1_is_computed_anew_from_the_samples_of_every_draw():
    generator = np.random.default_rng(0)
    labels, trajectories = generator.integers(0, 3, 60), np.repeat(np.arange(12), 5)
    named = np.where(generator.uniform(size=60) < 0.7, labels, generator.integers(0, 3, 60))
    assert BALANCED.deciding == ("found", "label")
    samples = table({("new", 0, "found"): named, ("new", 0, "label"): labels}, trajectories)
    found = resampled_scores(BALANCED, samples, ["new"], Bootstrap(resamples=100, level=0.95, seed=3))["new"][0]
    # By hand: trajectories repeated as often as they are drawn.
    times = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12), size=100)
    repeated = [np.concatenate([np.flatnonzero(trajectories == one).repeat(row[one]) for one in range(12)])
                for row in times]  # fmt: skip
    expected = [f1_score(labels[rows], named[rows], average="weighted") for rows in [np.arange(60), *repeated]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error():
    hits = (np.random.default_rng(1).uniform(size=900) < 0.8).astype(float)
    task = example_task("los")
    # Samples of one trajectory are the same: there are 300 independent ones.
    samples = table({("new", 0, "accuracy"): hits[:300].repeat(3)}, np.arange(300).repeat(3))
    found = resampled_scores(task, samples, ["new"], Bootstrap(resamples=1500, level=0.95, seed=0))["new"][0]
    assert found[0] == pytest.approx(hits[:300].mean())
    assert found[1:].std() == pytest.approx(hits[:300].std() / 300**0.5, rel=0.07)


def test_models_on_other_samples_are_refused():
    task = example_task("los")
    samples = table({("new", 0, "accuracy"): np.ones(4), ("old", 0, "accuracy"): np.ones(4)}, np.arange(4))
    options = Bootstrap(resamples=100, level=0.95, seed=0)
    with pytest.raises(ValueError, match="new, old were not scored on the same samples"):
        resampled_scores(task, samples.iloc[:-1], ["new", "old"], options)
    with pytest.raises(ValueError, match="new, lost were not scored on the same samples"):
        resampled_scores(task, samples, ["new", "lost"], options)
