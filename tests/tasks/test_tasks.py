"""Tasks whose answer is known: pilots of channels in a subspace, noise of a known power, beams that move."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.evaluation.downstream.example import HEADS, example_task, snapshots_of, subspace_channels
from wavefoundry.evaluation.downstream.channels import channel_examples, score_channel_head
from wavefoundry.evaluation.downstream.examples import ChannelExamples
from wavefoundry.evaluation.downstream.inputs import Input, RawChannel, Reading
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.metrics import nmse, to_db
from wavefoundry.tasks.interpolation import interpolate_linearly, keep_pilots


def whole_examples(csi: torch.Tensor, known: torch.Tensor) -> ChannelExamples:
    source = Input(RawChannel(), csi.shape[1])
    return channel_examples(source, source.embed(known), snapshots_of(csi), np.arange(len(csi)))


def test_interpolation_of_a_channel_in_a_subspace_is_exact():
    csi = subspace_channels()
    data = whole_examples(csi, keep_pilots(csi, [2, 4]))
    found = score_channel_head(data, 1.0, 0, [1e-12])
    assert max(to_db(found[split]["nmse"].mean()) for split in ("validation", "test")) < -60


def test_pilots_are_all_that_is_known():
    csi = subspace_channels(2, 6, 8)
    known = example_task("interpolation", pilot_spacing=[2, 4]).known(csi)
    assert (known != 0).sum() == 2 * 3 * 2
    assert torch.equal(known[:, ::2, ::4], csi[:, ::2, ::4])


def test_estimation_gains_on_the_noise_and_gets_better_with_the_snr():
    csi = subspace_channels()
    errors = []
    for snr_db in (0.0, 10.0, 20.0):
        noisy = example_task("estimation", snr_db=snr_db, noise_seed=1).known(csi)
        found = score_channel_head(whole_examples(csi, noisy), 1.0, 0, HEADS.penalties)
        errors.append(to_db(found["test"]["nmse"].mean()))
        # Of 64 dimensions the channels fill 6: a linear estimator can remove most of the noise.
        assert errors[-1] < -snr_db - 4
    assert errors == sorted(errors, reverse=True)


def test_a_part_of_the_snapshots_gives_the_scores_of_all_of_them():
    csi, some = subspace_channels(), snapshots_of(subspace_channels())
    whole = whole_examples(csi, keep_pilots(csi, [2, 4]))
    labelled = some.rows["train"][:20]
    members = np.unique(np.concatenate([labelled, some.rows["validation"], some.rows["test"]]))
    rows = some.rows | {"train": labelled}
    part = ChannelExamples(
        members, whole.tokens[members], whole.targets[members], whole.join, whole.clean[members], rows
    )
    found = [score_channel_head(data, 1.0, 0, HEADS.penalties) for data in (part, replace(whole, rows=rows))]
    assert all(np.array_equal(found[0][split]["nmse"], found[1][split]["nmse"]) for split in ("validation", "test"))


def test_a_channel_task_reads_what_its_heads_need():
    some, task = snapshots_of(subspace_channels()), example_task("interpolation")
    reading = Reading(Input(RawChannel(), 8), some, 64)
    data = task.read(reading, "per_patch", 0.25, [0, 1])
    scored = [some.rows[split] for split in ("validation", "test")]
    assert set(np.concatenate(scored)) < set(data.members) and len(data.members) < len(some.csi)
    found = task.evaluate(data, 0.25, [0, 1], HEADS)
    whole = whole_examples(some.csi, task.known(some.csi))
    for seed, scores in enumerate(found):
        expected = score_channel_head(whole, 0.25, seed, HEADS.penalties)["test"]["nmse"]
        np.testing.assert_allclose(scores["test"]["nmse"], expected, rtol=1e-3)
    # All labels are the same labels for every seed.
    every = task.evaluate(whole, 1.0, [0, 1], HEADS)
    assert len(every) == 2 and every[0] == every[1]


def test_tracking_sees_the_past_windows_only_and_is_scored_on_the_next_beam():
    some = snapshots_of(subspace_channels())
    features = np.arange(len(some.csi), dtype=np.float32)[:, None]
    task = example_task("beam_tracking", past=3)
    data = task.examples(some, features, None)
    assert (data.features[:, -1:] - data.features == [2, 1, 0]).all()
    following = data.features[:, -1].astype(int) + 1
    assert (some.keys[following, 2] == 3).all() and (data.labels == some.beam[following]).all()
    for split, rows in data.rows.items():
        assert set(following[rows]) <= set(some.rows[split])
    assert sum(map(len, data.rows.values())) == len(following)
    last = task.variants(data)["last_window"]
    assert (last.features == data.features[:, -1:]).all() and (last.labels == data.labels).all()


def test_the_strength_reaches_the_heads_that_need_it():
    """Features that tell nothing: only the received strength separates the classes."""
    count = 200
    some = snapshots_of(subspace_channels(count))
    scale = np.where(some.line_of_sight, 1e-3, 1e-6)
    loud = Snapshots(
        some.csi * torch.from_numpy(scale).to(torch.complex64)[:, None, None],
        some.line_of_sight, some.beam, some.position, some.keys, some.rows,
    )  # fmt: skip
    noise = np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32)
    task = example_task("los")
    data = task.examples(loud, noise, np.log10(scale)[:, None].astype(np.float32))
    assert task.evaluate(data, 1.0, [0], HEADS)[0]["test"]["accuracy"].mean() > 0.95
    reading = Reading(Input(RawChannel(), 8), loud, 8)
    for name, sees in {"los": True, "localisation": True, "beam_prediction": False, "beam_tracking": False}.items():
        strength = example_task(name).read(reading, "flattened", 1.0, [0]).strength
        assert (strength is not None) == sees
    np.testing.assert_allclose(
        reading.strength[:, 0], np.log10(loud.csi.abs().square().mean((1, 2)).sqrt().numpy()), atol=1e-5
    )


def test_scores_by_hand():
    ranked, labels = np.array([[1, 2, 3], [2, 1, 3], [4, 2, 3], [2, 3, 4]]), np.array([1, 1, 1, 2])
    beams, sight = example_task("beam_prediction"), example_task("los")
    scores = beams.scores(beams.statistics(ranked, labels))
    # Classes 1 (3 samples: precision 1, recall 1/3) and 2 (1 sample: precision 1/2, recall 1), weighted.
    assert scores == pytest.approx({"top_1": 0.5, "top_3": 0.75, "f1": 0.75 * 0.5 + 0.25 * 2 / 3})
    scores = sight.scores(sight.statistics(ranked[:, :1], labels))
    assert scores == pytest.approx({"accuracy": 0.5, "f1": 0.75 * 0.5 + 0.25 * 2 / 3})
    places = example_task("localisation")
    found = places.scores(places.statistics(np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])))
    assert found == pytest.approx({"absolute_error_m": 7 / 4, "distance_m": 2.5})


def test_linear_interpolation_is_exact_for_linear_channels():
    antenna, subcarrier = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    csi = torch.complex(1 + 2 * antenna - subcarrier, antenna + 0.5 * subcarrier)[None]
    torch.testing.assert_close(interpolate_linearly(keep_pilots(csi, [2, 4]), [2, 4]), csi)


def test_references_of_a_constant_world():
    """One beam, one place: what is always the same needs no learning."""
    csi = torch.polar(torch.ones(120, 8, 8), torch.full((120, 8, 8), math.pi / 3)) + 1e-5 * subspace_channels()
    some = snapshots_of(csi)
    same = Snapshots(csi, np.ones(120, bool), np.full(120, 5), np.ones((120, 2)), some.keys, some.rows)
    names = ("los", "beam_prediction", "beam_tracking", "localisation", "interpolation", "estimation")
    found = {name: example_task(name).reference(same)[1] for name in names}
    assert found["los"]["accuracy"] == found["beam_prediction"]["top_1"] == found["beam_tracking"]["top_1"] == 1
    assert found["localisation"]["distance_m"] == 0
    assert found["interpolation"]["nmse_db"] < -80
    estimation = example_task("estimation")
    assert found["estimation"]["nmse_db"] == pytest.approx(-estimation.options.snr_db, abs=0.3)
    noisy = estimation.known(csi)
    assert 10 * nmse(noisy, csi).mean().log10().item() == pytest.approx(-estimation.options.snr_db, abs=0.3)
