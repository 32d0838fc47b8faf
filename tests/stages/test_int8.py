"""INT8 forms are calibrated on the training split alone, and kept out of the registry where they lose too much."""

import math

import pytest
import torch

from stages import int8, params
from stages.candidates import Candidate
from stages.int8 import calibration_channels, int8_tags, quantised_form, refusal
from tests.parameters import tiny_parameters


@pytest.mark.parametrize(
    ("lost", "refused"),
    [
        ({"time": 0.2, "frequency": -0.1}, None),
        ({"time": -0.5}, None),
        ({"time": 0.05, "frequency": 0.21}, "refused: 0.21 dB lost with the question 'frequency'"),
        ({"time": 3.0, "frequency": 1.0}, "refused: 3.00 dB lost with the question 'time'"),
        ({"time": 0.0, "frequency": math.nan}, "refused: nan dB lost with the question 'frequency'"),
        ({"time": math.inf, "frequency": 0.0}, "refused: inf dB lost with the question 'time'"),
    ],
)
def test_what_loses_more_than_the_limit_with_any_question_is_refused(lost, refused):
    found = refusal(lost, 0.2)
    assert found == (refused and f"{refused}, register.int8.loss_limit_db is 0.2")


def samples(dataset: str, shape: tuple[int, ...], number: int = 5) -> torch.Tensor:
    """Strong channels, so that noise does not hide which they are; sample n is n + 1 times the first."""
    generator = torch.Generator().manual_seed(len(dataset))
    one = torch.randn(shape, dtype=torch.complex64, generator=generator)
    return torch.stack([(n + 1) * one for n in range(number)])


@pytest.mark.parametrize("number", [1, 2, 5, 99])
def test_calibration_is_on_the_training_split_of_what_was_learnt_from(monkeypatch, number):
    content = tiny_parameters()
    content["teach"]["wifo"]["held_out"] = ["uma_nlos"]
    content["register"]["int8"]["calibration_samples"] = number
    parameters = params.Params.model_validate(content)
    seen = []

    def load_split(dataset, split):
        seen.append((dataset, split))
        return samples(dataset, parameters.datasets[dataset].shape)

    monkeypatch.setattr(int8, "load_split", load_split)
    found = list(calibration_channels(parameters, "tiny_wifo"))
    learnt = ["street_canyon", "measured"]
    assert seen == [(dataset, "train") for dataset in learnt]
    assert len(found) == len(learnt) * 3
    for (known, wanted), (dataset, slots, subcarriers) in zip(
        found,
        [(dataset, *size) for dataset in learnt for size in ((8, 0), (0, 16), (8, 16))],
        strict=True,
    ):
        assert wanted == (slots, subcarriers) and len(known) == min(number, 5)
        shape = parameters.datasets[dataset].shape
        assert known.shape[1:] == (shape[0] - slots, shape[1], shape[2] - subcarriers)
        clean = samples(dataset, shape)[0, : known.shape[1], :, : known.shape[3]].numpy()
        gains = [(clean.conj() * sample).sum().real / (abs(clean) ** 2).sum() for sample in known]
        chosen = {1: [1], 2: [1, 3], 5: [1, 2, 3, 4, 5], 99: [1, 2, 3, 4, 5]}[number]
        assert gains == pytest.approx(chosen, rel=0.05)


def test_an_empty_training_split_calibrates_nothing(monkeypatch):
    parameters = params.Params.model_validate(tiny_parameters())
    monkeypatch.setattr(int8, "load_split", lambda dataset, split: samples(dataset, (16, 16, 32))[:0])
    assert list(calibration_channels(parameters, "wifo")) == []


def test_there_is_no_int8_form_where_none_is_asked_for(tmp_path):
    content = tiny_parameters()
    content["register"]["int8"] = None
    parameters = params.Params.model_validate(content)
    form = quantised_form(parameters, Candidate("wifo", 0, {}, {}), tmp_path, None, tmp_path / "int8")
    assert form.folder is None and form.tags == {"int8": "none: register.int8 is null"}
    assert not (tmp_path / "int8").exists()


def test_tags_of_int8_are_told_from_others():
    tags = {"int8": "none", "int8.mebibytes.fp32": "1", "int80": "x", "latency_ms": "2"}
    assert int8_tags(tags) == {"int8": "none", "int8.mebibytes.fp32": "1"}


@pytest.mark.parametrize(
    ("key", "value"), [("calibration_samples", 0), ("calibration_samples", 1.5), ("loss_limit_db", -0.1)]
)
def test_bad_settings_are_named(key, value):
    content = tiny_parameters()
    content["register"]["int8"][key] = value
    with pytest.raises(ValueError, match=rf"register\.int8\.{key}"):
        params.Params.model_validate(content)
