import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.networks.wimamba.example import wimamba
from tests.training.toy import CONFIG, Batches, Denoiser, KillAt, KilledError
from wavefoundry.errors import InputError
from wavefoundry.training.trainer import COMPLETE, train

STEPS_PER_EPOCH = 5


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    model, history = train(
        Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path_factory.mktemp("unbroken")
    )
    return model.state_dict(), history


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    for name in state:
        assert torch.equal(state[name], expected[name]), name


def script(checkpoints, result, seconds_per_step=0.0):
    command = [sys.executable, "-m", "tests.training.toy", str(checkpoints), str(result), str(seconds_per_step)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)


def test_sigkill_in_mid_training_leaves_no_trace_in_weights_and_history(tmp_path, unbroken):
    process = script(tmp_path / "checkpoints", tmp_path / "killed.safetensors", 0.05)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "checkpoints").glob(f"*/{COMPLETE}")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.safetensors").exists()

    assert script(tmp_path / "checkpoints", tmp_path / "resumed.safetensors").wait() == 0
    state, history = unbroken
    assert_same(load_file(tmp_path / "resumed.safetensors"), state)
    assert json.loads((tmp_path / "resumed.json").read_text()) == history


# After a checkpoint, between two, in the first epoch, and after the last step.
@pytest.mark.parametrize("step", [1, 2 * STEPS_PER_EPOCH + 1, 3 * STEPS_PER_EPOCH + 2, 6 * STEPS_PER_EPOCH])
def test_resume_from_any_step_equals_the_unbroken_run(tmp_path, unbroken, step):
    with pytest.raises(KilledError):
        train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path, callbacks=[KillAt(step)])
    model, history = train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path)
    assert_same(model.state_dict(), unbroken[0])
    assert history == unbroken[1]
    # In the same order, for the columns of a table of them are in it.
    assert [list(row) for row in history] == [list(row) for row in unbroken[1]]


def test_a_checkpoint_killed_while_being_written_is_ignored(tmp_path, unbroken):
    with pytest.raises(KilledError):
        train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path, callbacks=[KillAt(22)])
    (newest,) = tmp_path.glob("checkpoint-*")
    assert newest.name == f"checkpoint-{4 * STEPS_PER_EPOCH}"
    partial = tmp_path / f"checkpoint-{5 * STEPS_PER_EPOCH}"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes((newest / "model.safetensors").read_bytes()[:100])

    model, history = train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path)
    assert_same(model.state_dict(), unbroken[0])
    assert history == unbroken[1]


def test_bfloat16_rounds_products_and_keeps_weights_and_resumes_to_the_bit(tmp_path, unbroken):
    half = CONFIG.model_copy(update={"precision": "bfloat16"})

    def trained(folder, callbacks=()):
        return train(Denoiser(), Batches(), config=half, seed=3, checkpoints=tmp_path / folder, callbacks=callbacks)

    model, history = trained("unbroken")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model(torch.randn(2, 8), torch.Generator())["loss"].dtype == torch.float32
    losses, full = ([row["loss"] for row in rows] for rows in (history, unbroken[1]))
    assert losses != full
    assert losses == pytest.approx(full, rel=0.02)
    with pytest.raises(KilledError):
        trained("killed", [KillAt(2 * STEPS_PER_EPOCH + 1)])
    again, history_again = trained("killed")
    assert_same(again.state_dict(), model.state_dict())
    assert history_again == history


def test_a_finished_training_is_not_repeated(tmp_path, unbroken):
    checkpoints = tmp_path / "checkpoints"
    train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=checkpoints)
    forbidden = Denoiser()
    forbidden.forward = lambda inputs, generator: pytest.fail("a step was taken")
    model, history = train(forbidden, Batches(), config=CONFIG, seed=3, checkpoints=checkpoints)
    assert_same(model.state_dict(), unbroken[0])
    assert history == unbroken[1]


def test_on_epoch_sees_every_row_once_more_after_a_resume(tmp_path, unbroken):
    rows = []
    with pytest.raises(KilledError):
        train(Denoiser(), Batches(), config=CONFIG, seed=3, checkpoints=tmp_path, callbacks=[KillAt(12)])
    train(
        Denoiser(),
        Batches(),
        config=CONFIG,
        seed=3,
        checkpoints=tmp_path,
        on_epoch=lambda row, step: rows.append((dict(row), step)),
    )
    assert rows == [(row, row["epoch"] * STEPS_PER_EPOCH) for row in unbroken[1]]


def test_history_holds_the_schedule_and_only_reproducible_columns(unbroken):
    history = unbroken[1]
    assert [row["epoch"] for row in history] == list(range(1, CONFIG.epochs + 1))
    assert all(row.keys() == {"epoch", "loss", "noise", "learning_rate"} for row in history)
    # Cosine after 3 of 30 steps of warm-up.
    for row in history:
        progress = (row["epoch"] * STEPS_PER_EPOCH - 3) / 27
        assert row["learning_rate"] == pytest.approx(CONFIG.learning_rate * (1 + math.cos(math.pi * progress)) / 2)


def test_another_seed_gives_other_weights(tmp_path, unbroken):
    model, _ = train(Denoiser(), Batches(), config=CONFIG, seed=4, checkpoints=tmp_path)
    assert not torch.equal(model.state_dict()["layers.0.weight"], unbroken[0]["layers.0.weight"])


def test_a_diverged_loss_is_an_error_that_names_the_learning_rate(tmp_path):
    model = Denoiser()
    torch.nn.init.constant_(model.layers[0].weight, math.nan)
    with pytest.raises(InputError, match=r"loss of epoch 1 is nan.*learning_rate is 0.01"):
        train(model, Batches(), config=CONFIG, seed=3, checkpoints=tmp_path)


def test_weight_decay_leaves_biases_norms_and_the_rates_and_skips_of_a_scan_alone(tmp_path):
    model = wimamba(depth=1, patch_sizes=[2])
    # Without a gradient nothing but decay moves a weight.
    model.forward = lambda inputs, generator: {"loss": sum(0 * value.sum() for value in model.parameters())}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    config = CONFIG.model_copy(update={"weight_decay": 0.5, "epochs": 1})
    after = train(model, Batches(), config=config, seed=0, checkpoints=tmp_path)[0].state_dict()
    kept = {name for name, value in before.items() if torch.equal(after[name], value)}
    spared = ("bias", "norm.weight", "A_log", "D")
    assert kept == {name for name in before if name.endswith(spared)}
    for name in before.keys() - kept:
        assert after[name].norm() < before[name].norm(), name
