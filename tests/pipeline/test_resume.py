"""A stage that is killed in mid-training and started again ends in the same weights."""

import os
import signal
import time

from tests.pipeline.conftest import study_parameters

COMMAND = ("repro", "--force", "--single-item", "teach@wifo")


def test_a_killed_training_ends_in_the_same_weights(changing):
    content = study_parameters()
    content["teach"]["wifo"]["training"] |= {"epochs": 20, "epochs_per_checkpoint": 1}
    changing.write_parameters(content)
    changing.repro("teach@wifo")
    unbroken = changing.digests()["models/wifo"]

    process = changing.start("-m", "dvc", *COMMAND, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(changing.folder.glob(".checkpoints/teach@wifo/*/*/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (changing.folder / "models/wifo/seed_0").exists()

    result = changing.dvc(*COMMAND)
    assert result.returncode == 0, result.stdout
    assert "epoch 1 of" not in result.stdout and "epoch 20 of" in result.stdout
    assert changing.digests()["models/wifo"] == unbroken
    assert not (changing.folder / ".checkpoints/teach@wifo").exists()
