"""Tasks whose answer is known: pilots of channels in a subspace, noise of a known power, beams that move."""

import math

import numpy as np
import pytest
import torch

from stages import params
from wavefoundry.evaluation.downstream.inputs import embed_all, raw_channel
from wavefoundry.evaluation.downstream.references import interpolate_linearly, references
from wavefoundry.evaluation.downstream.tasks import (
    ChannelExamples,
    Snapshots,
    classification_scores,
    degraded,
    examples,
    keep_pilots,
    position_scores,
    score_channel_head,
    score_head,
)
from wavefoundry.evaluation.metrics import nmse

DEFAULT = params.read().evaluate.downstream


def section(**changes):
    return type(DEFAULT).model_validate(DEFAULT.model_dump() | changes)


def channels(count=120, antennas=8, subcarriers=8, dimensions=6, seed=0) -> torch.Tensor:
    """Channels of random coefficients in a fixed real linear space, so that pilots tell the rest."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(dimensions, antennas * subcarriers, dtype=torch.complex64, generator=generator)
    coefficients = torch.randn(count, dimensions, dtype=torch.complex64, generator=generator)
    return (coefficients @ basis).unflatten(1, (antennas, subcarriers))


def snapshots(csi: torch.Tensor, windows: int = 4) -> Snapshots:
    """Users of `windows` windows each; four fifths of them to learn from, then validation, then test."""
    count = len(csi)
    user, window = np.divmod(np.arange(count), windows)
    split = np.minimum(user * 5 * windows // count, 4)
    rows = {name: np.flatnonzero(np.isin(split, codes)) for name, codes in
            {"train": [0, 1, 2], "validation": [3], "test": [4]}.items()}  # fmt: skip
    beam = (3 * user + window) % 8
    place = np.random.default_rng(0).normal(size=(count, 2))
    return Snapshots(csi, place[:, 0] > 0, beam, place, np.stack([0 * user, user, window], axis=1), rows)


def channel_examples(csi: torch.Tensor, known: torch.Tensor) -> ChannelExamples:
    source = raw_channel(csi.shape[1], ())
    seen = embed_all(source, known)
    clean = csi / seen.scale[:, None, None]
    shape = tuple(csi.shape[1:])
    return ChannelExamples(
        np.arange(len(csi)), seen.patches, source.cut(clean), lambda tokens: source.join(tokens, shape), clean
    )


def test_interpolation_of_a_channel_in_a_subspace_is_exact():
    csi = channels()
    data = channel_examples(csi, keep_pilots(csi, [2, 4]))
    exact = section(heads=DEFAULT.heads.model_dump() | {"penalties": [1e-12]})
    found = score_channel_head(data, snapshots(csi).rows, 1.0, 0, exact)
    assert max(found[split]["nmse_db"] for split in ("validation", "test")) < -60


def test_pilots_are_all_that_is_known():
    csi = channels(2, 6, 8)
    known = keep_pilots(csi, [2, 4])
    assert (known != 0).sum() == 2 * 3 * 2
    assert torch.equal(known[:, ::2, ::4], csi[:, ::2, ::4])


def test_estimation_gains_on_the_noise_and_gets_better_with_the_snr():
    csi = channels()
    errors = []
    for snr_db in (0.0, 10.0, 20.0):
        noisy = degraded("estimation", csi, section(estimation={"snr_db": snr_db, "noise_seed": 1}))
        found = score_channel_head(channel_examples(csi, noisy), snapshots(csi).rows, 1.0, 0, DEFAULT)
        errors.append(found["test"]["nmse_db"])
        # Of 64 dimensions the channels fill 6: a linear estimator can remove most of the noise.
        assert errors[-1] < -snr_db - 4
    assert errors == sorted(errors, reverse=True)


def test_a_part_of_the_snapshots_gives_the_scores_of_all_of_them():
    csi, some = channels(), snapshots(channels())
    whole = channel_examples(csi, keep_pilots(csi, [2, 4]))
    labelled = some.rows["train"][:20]
    members = np.unique(np.concatenate([labelled, some.rows["validation"], some.rows["test"]]))
    part = ChannelExamples(members, whole.tokens[members], whole.targets[members], whole.join, whole.clean[members])
    rows = some.rows | {"train": labelled}
    assert score_channel_head(part, rows, 1.0, 0, DEFAULT) == score_channel_head(whole, rows, 1.0, 0, DEFAULT)


def test_tracking_sees_the_past_windows_only_and_is_scored_on_the_next_beam():
    some = snapshots(channels())
    features = np.arange(len(some.csi), dtype=np.float32)[:, None]
    data = examples("beam_tracking", some, features, np.ones(len(some.csi)), 3)
    assert (data.features[:, -1:] - data.features == [2, 1, 0]).all()
    following = data.features[:, -1].astype(int) + 1
    assert (some.keys[following, 2] == 3).all() and (data.labels == some.beam[following]).all()
    for split, rows in data.rows.items():
        assert set(following[rows]) <= set(some.rows[split])
    assert sum(map(len, data.rows.values())) == len(following)


def test_the_strength_reaches_the_heads_that_need_it():
    """Features that tell nothing: only the received strength separates the classes."""
    count = 200
    some = snapshots(channels(count))
    scale = np.where(some.line_of_sight, 1e-3, 1e-6)
    data = examples("los", some, np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32), scale, 3)
    assert score_head("los", data, 1.0, 0, DEFAULT)["test"]["accuracy"] > 0.95
    assert examples("beam_prediction", some, data.features, scale, 3).strength is None


def test_scores_by_hand():
    ranked = np.array([[1, 2, 3], [2, 1, 3], [4, 2, 3], [2, 3, 4]])
    scores = classification_scores("beam_prediction", ranked, np.array([1, 1, 1, 2]))
    # Classes 1 (3 samples: precision 1, recall 1/3) and 2 (1 sample: precision 1/2, recall 1), weighted.
    assert scores == pytest.approx({"top_1": 0.5, "top_3": 0.75, "f1": 0.75 * 0.5 + 0.25 * 2 / 3})
    found = position_scores(np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found == pytest.approx({"absolute_error_m": 7 / 4, "distance_m": 2.5})


def test_linear_interpolation_is_exact_for_linear_channels():
    antenna, subcarrier = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    csi = torch.complex(1 + 2 * antenna - subcarrier, antenna + 0.5 * subcarrier)[None]
    torch.testing.assert_close(interpolate_linearly(keep_pilots(csi, [2, 4]), [2, 4]), csi)


def test_references_of_a_constant_world():
    """One beam, one place: what is always the same needs no learning."""
    csi = torch.polar(torch.ones(120, 8, 8), torch.full((120, 8, 8), math.pi / 3)) + 1e-5 * channels()
    same = snapshots(csi)
    same = Snapshots(csi, np.ones(120, bool), np.full(120, 5), np.ones((120, 2)), same.keys, same.rows)
    found = {task: scores for task, (_, scores) in references(same, DEFAULT).items()}
    assert found["los"]["accuracy"] == found["beam_prediction"]["top_1"] == found["beam_tracking"]["top_1"] == 1
    assert found["localisation"]["distance_m"] == 0
    assert found["interpolation"]["nmse_db"] < -80
    assert found["estimation"]["nmse_db"] == pytest.approx(-DEFAULT.estimation.snr_db, abs=0.3)
    noisy = degraded("estimation", csi, DEFAULT)
    assert 10 * nmse(noisy, csi).mean().log10().item() == pytest.approx(-DEFAULT.estimation.snr_db, abs=0.3)
