"""A stage that is killed in mid-training and started again ends in the same weights."""

import os
import shutil
import signal
import time

from tests.pipeline.conftest import tiny_parameters


def test_a_killed_training_ends_in_the_same_weights(study):
    content = tiny_parameters()
    content["teach"]["wifo"]["training"] |= {"epochs": 40, "epochs_per_checkpoint": 1}
    study.write_parameters(content)
    study.repro("teach@wifo")
    unbroken = study.digests()["models/wifo"]

    for name in ("models/wifo", ".dvc/cache"):
        shutil.rmtree(study.folder / name)
    process = study.start("-m", "dvc", "repro", "teach@wifo", start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(study.folder.glob(".checkpoints/teach@wifo/*/*/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (study.folder / "models/wifo/seed_0").exists()

    result = study.dvc("repro", "teach@wifo")
    assert result.returncode == 0, result.stdout
    assert "epoch 1 of" not in result.stdout and "epoch 40 of" in result.stdout
    assert study.digests()["models/wifo"] == unbroken
    assert not (study.folder / ".checkpoints/teach@wifo").exists()
    study.write_parameters(tiny_parameters())
    study.repro()
