"""Scores of channel feedback, what they come to, and how they are shown."""

import math

import numpy as np
import pandas
import pytest
import torch

from tests.networks.karhunen_loeve.example import karhunen_loeve
from tests.networks.lmmse.example import smooth
from tests.networks.truncated_angle_delay.example import truncated_angle_delay
from wavefoundry.evaluation.feedback import cosine_similarity, rows_of, score
from wavefoundry.evaluation.feedback_options import Feedback, question
from wavefoundry.evaluation.feedback_summary import feedback_means, summarise_feedback
from wavefoundry.evaluation.results import as_table
from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.uplink import bit_error_rate
from wavefoundry.networks.capabilities import FeedbackCodec
from wavefoundry.plots.feedback import draw_feedback
from wavefoundry.plots.model_styles import model_styles
from wavefoundry.report.feedback import feedback_section


def section(**changes) -> Feedback:
    values = {
        "rates": [2, 4],
        "snr_db": 20.0,
        "noise_seed": 0,
        "batch_size": 7,
        "beamforming_snr_db": 10.0,
        "uplink": {"snr_db": 10.0, "modulation": "qpsk", "repetitions": 1},
    }
    return Feedback.model_validate(values | changes)


class Phases:
    """One entry of 16 is told, by its phase in 2^rate steps; all others are taken for the same."""

    def encode(self, csi, rate):
        turns = csi.flatten(1)[:, 0].angle() / (2 * math.pi) % 1
        words = to_bits((turns * 2**rate).floor().long(), rate)
        return words.repeat(1, csi[0].numel() // 16)

    def decode(self, bits, shape):
        rate = bits.shape[1] * 16 // (shape[0] * shape[1])
        turns = (from_bits(bits[:, :rate]) + 0.5) / 2**rate
        return torch.polar(torch.ones(len(bits)), (2 * math.pi * turns).float())[:, None, None].expand(-1, *shape)


def flat(samples=200, scale=3e-4) -> torch.Tensor:
    turns = torch.rand(samples, generator=torch.Generator().manual_seed(1))
    return scale * torch.polar(torch.ones(samples), 2 * math.pi * turns)[:, None, None].expand(-1, 4, 8)


def test_a_known_codec_has_known_scores():
    assert isinstance(Phases(), FeedbackCodec)
    found = score(Phases(), flat(), 4, section(snr_db=60.0))
    # The error of a phase that is even within a step of pi / 8.
    half = math.pi / 16
    assert found.error_free.mean().item() == pytest.approx(2 - 2 * math.sin(half) / half, rel=0.1)
    # A channel that is turned as a whole is as good for beams, whatever bits arrive wrong.
    torch.testing.assert_close(found.similarity, torch.ones(200).double())
    torch.testing.assert_close(found.efficiency, found.perfect)
    assert found.perfect[0].item() == pytest.approx(math.log2(1 + 4 * 10))
    assert (found.nmse > found.error_free + 1e-6).any()
    good = score(
        Phases(), flat(), 4, section(snr_db=60.0, uplink={"snr_db": 60.0, "modulation": "qpsk", "repetitions": 1})
    )
    assert torch.equal(good.nmse, good.error_free) and torch.equal(good.error_free, found.error_free)


def test_cosine_similarity_ignores_a_factor_of_each_subcarrier_and_is_that_of_beams():
    generator = torch.Generator().manual_seed(0)
    csi = torch.randn(5, 4, 6, dtype=torch.complex64, generator=generator)
    factors = torch.randn(5, 1, 6, dtype=torch.complex64, generator=generator)
    torch.testing.assert_close(cosine_similarity(factors * csi, csi), torch.ones(5).double())
    other = torch.zeros(1, 2, 1, dtype=torch.complex64)
    other[0, 0], csi = 1, torch.tensor([[[3.0 + 0j], [4.0j]]])
    assert cosine_similarity(other, csi).item() == pytest.approx(0.6)
    assert cosine_similarity(torch.zeros_like(csi), csi).item() == 0


def rows(codec, csi) -> list[dict]:
    return list(rows_of(score(codec, csi, 4, section()), codec, csi, 4))


def test_rows_tell_bits_and_of_codecs_that_know_one_the_bound():
    csi = smooth(10, 1, 4, 16)[:, 0]
    plain = {row["metric"]: row["value"] for row in rows(truncated_angle_delay(), csi)}
    assert plain["bits"] == 16 and "nmse_gaussian_bound" not in plain
    model = karhunen_loeve()
    bounded = {row["metric"]: row["value"] for row in rows(model, csi)}
    assert bounded["nmse_gaussian_bound"] == model.bound(16, (4, 16))
    assert bounded.keys() - plain.keys() == {"nmse_gaussian_bound"}


def table() -> pandas.DataFrame:
    """Two codecs, one of them of two seeds; a third one lacks the second data set."""
    rows = []
    for model, seed, nmse in (("one", 0, 0.1), ("two", 0, 0.2), ("two", 1, 0.4), ("few", 0, 0.1)):
        for dataset in ("a", "b")[: 1 if model == "few" else 2]:
            for rate in (2, 4):
                labels = {"evaluation": "feedback", "model": model, "seed": seed, "dataset": dataset}
                labels |= {"question": question(rate), "split": "test"}
                value = nmse / rate * (3 if dataset == "b" else 1)
                metrics = {"nmse": value, "nmse_error_free": value / 2, "cosine_similarity": 0.9, "bits": 32.0 * rate}
                metrics |= {"spectral_efficiency": 3.0, "spectral_efficiency_perfect": 4.0}
                if model == "one":
                    metrics["nmse_gaussian_bound"] = value / 10
                rows += [labels | {"metric": metric, "value": value} for metric, value in metrics.items()]
    return as_table(rows)


def test_means_are_over_data_sets_that_all_have():
    means = feedback_means(table(), ["a", "b"], "test")
    assert set(means["model"]) == {"one", "two"}
    chosen = means[(means["model"] == "one") & (means["metric"] == "nmse")].set_index("rate")["value"]
    assert chosen[2] == pytest.approx(0.1) and chosen[4] == pytest.approx(0.05)
    summary = summarise_feedback(table(), ["a", "b"])
    assert summary["one"] == {"2_bits_nmse_db": -10.0, "4_bits_nmse_db": pytest.approx(-13.0103)}
    assert summary["two"]["2_bits_nmse_db_spread"] == pytest.approx(10 * np.log10(2) / np.sqrt(2), abs=1e-3)
    assert summarise_feedback(table(), []) == {} == summarise_feedback(as_table([]), ["a"])


def test_the_report_has_every_codec_the_bound_and_a_picture(tmp_path):
    options = section()
    text = feedback_section(table(), options, ["a", "b"], bit_error_rate(options.uplink))
    assert "| one | -10.00 | -13.01 |" in text and "| the channel itself | 4.000 | 4.000 |" in text
    assert "| Gaussian bound (one) | -20.00 | -23.01 |" in text
    assert "a share of 0.00078 arrives" in text and "2 bits (64 a slot)" in text
    assert "| few | -16.02 | - |" in text  # by data set
    assert "no data set that every codec" in feedback_section(table(), options, [], 0.0)
    assert "No network" in feedback_section(as_table([]), options, [], 0.0)
    styles = model_styles(["one", "two", "few"], [])
    assert draw_feedback(table(), ["a", "b"], styles, tmp_path / "figures/feedback.png")
    assert (tmp_path / "figures/feedback.png").stat().st_size > 10_000
    assert not draw_feedback(as_table([]), ["a"], styles, tmp_path / "none.png")
