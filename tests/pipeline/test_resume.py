"""A stage that is killed in mid-training and started again ends in the same weights."""

import os
import signal
import time

from tests.pipeline.conftest import small_parameters

COMMAND = ("repro", "--force", "--single-item", "teach@wifo")


def test_a_killed_training_ends_in_the_same_weights(small):
    content = small_parameters()
    content["teach"]["wifo"]["training"] |= {"epochs": 40, "epochs_per_checkpoint": 1}
    small.write_parameters(content)
    small.repro("teach@wifo")
    unbroken = small.digests()["models/wifo"]

    process = small.start("-m", "dvc", *COMMAND, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(small.folder.glob(".checkpoints/teach@wifo/*/*/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (small.folder / "models/wifo/seed_0").exists()

    result = small.dvc(*COMMAND)
    assert result.returncode == 0, result.stdout
    assert "epoch 1 of" not in result.stdout and "epoch 40 of" in result.stdout
    assert small.digests()["models/wifo"] == unbroken
    assert not (small.folder / ".checkpoints/teach@wifo").exists()
