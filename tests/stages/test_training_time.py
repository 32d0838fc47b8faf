"""How long a training took is told of whole trainings only."""

import json
from types import SimpleNamespace

import pytest

from stages import training
from stages.entries import Model
from stages.paths import training_time_file
from tests.networks.wifo import example
from wavefoundry.training.session import Trained


class Run:
    def log_metrics(self, *values, **named):
        pass

    log_folder = log_metrics


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains two seeds, which take 12.34 and 20 seconds; `stop` interrupts the second one after its checkpoint."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(training, "_key", lambda *values: "key")
    monkeypatch.setattr("storage.batches.batches.CSIBatches", lambda *values: None)

    def train(stop: bool) -> dict:
        def one(session):
            clock.now += 12.34 if session.seed == 0 else 20
            if session.seed == 1:
                session.checkpoints.mkdir(parents=True, exist_ok=True)
                if stop:
                    raise KeyboardInterrupt
            return Trained(example.wifo(), [{"epoch": 1, "loss": 1.0}])

        model = Model("wifo", "teach", "wifo", example.options(), (), (0, 1))
        training.train_seeds(Run(), "teach", model, [], [], 1.0, one)
        return json.loads(training_time_file("wifo").read_text())["seconds"]

    return train


def test_every_seed_has_its_seconds(train):
    assert train(stop=False) == {"0": 12.3, "1": 20.0}


def test_a_training_that_went_on_from_a_checkpoint_has_none(train):
    with pytest.raises(KeyboardInterrupt):
        train(stop=True)
    assert train(stop=False) == {"0": 12.3, "1": None}
