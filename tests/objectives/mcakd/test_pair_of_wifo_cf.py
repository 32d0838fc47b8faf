"""MCAKD of two WiFo-CF: a student of half the depth and width, with the teacher's codeword."""

import pytest
import torch

from tests.networks.lmmse.example import smooth
from tests.networks.wifo_cf.example import options, wifo_cf
from tests.objectives.mcakd.test_distillation import configuration
from wavefoundry.networks.trace import Trace
from wavefoundry.objectives.mcakd.autonomous_passive import AUTONOMOUS, PASSIVE, next_phase
from wavefoundry.objectives.mcakd.distillation import Distillation, attention_distance

TEACHER = {"encoder_depth": 2, "decoder_depth": 4}
STUDENT = {"hidden_size": 16, "encoder_depth": 1, "decoder_depth": 2}


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(**changes) -> Distillation:
    return Distillation(
        wifo_cf(1, architecture=STUDENT).train(), wifo_cf(0, architecture=TEACHER), configuration(**changes)
    )


def test_all_terms_are_there_and_train_the_student_alone():
    distillation, csi = pair(), smooth(6, 3, 8, 16)
    found = distillation(csi, seeded())
    terms = [found[f"{name}_loss"] for name in ("attention", "embedding", "hidden")]
    assert all(term > 0 for term in terms)
    torch.testing.assert_close(found["loss"].detach(), found["self_loss"] + sum(terms))
    found["loss"].backward()
    reached = {name.split(".")[1] for name, weight in distillation.named_parameters() if weight.grad is not None}
    assert {"encoder", "decoder", "compressor", "expander", "embedding"} <= reached
    assert all(weight.grad is None for weight in distillation._teacher[0].parameters())
    distillation.passive = False
    alone = distillation(csi, seeded())
    own = distillation.student(csi, seeded())
    assert torch.equal(alone["loss"], own["loss"]) and "attention_loss" not in alone


def test_teacher_and_student_feed_back_the_same_channels_in_as_many_bits():
    distillation, csi = pair(), smooth(6, 3, 8, 16)
    student, teacher = distillation.student.eval(), distillation._teacher[0]
    assert student.encode(csi[:, 0], 5).shape == teacher.encode(csi[:, 0], 5).shape
    task, seen = student.draw(csi, seeded()), Trace()
    assert torch.equal(teacher.draw(csi, seeded()).seen, task.seen)
    teacher.solve(task, seen)
    assert len(seen.encoder_attention) == 2 and len(seen.decoder_attention) == 4


def test_a_student_of_half_the_depth_looks_at_every_second_layer():
    maps = [torch.rand(2, 3, 4, 4, generator=seeded(number)).softmax(-1) for number in range(4)]
    assert attention_distance([maps[1], maps[3]], maps).item() == pytest.approx(0, abs=1e-6)
    assert attention_distance([maps[0], maps[2]], maps) > 0.01
    torch.testing.assert_close(attention_distance(maps, maps), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_pairs_that_do_not_correspond_are_refused():
    teacher = options(architecture=TEACHER)

    def why_not(architecture=None, epochs=3, teacher_family="wifo_cf", **changes):
        student = options(architecture=STUDENT | (architecture or {}), training={"epochs": epochs})
        return configuration(**changes).why_not("wifo_cf", student, teacher_family, teacher)

    assert why_not() is None
    for changes, word in (
        ({"encoder_depth": 3}, "encoder_depth 3 does not divide the teacher's 2"),
        ({"heads": 2}, "heads 2 differs"),
        ({"hidden_size": 64}, "hidden_size 64"),
    ):
        assert word in why_not(changes)
    assert "the teacher is a wifo, the student a wifo_cf" in why_not(teacher_family="wifo")
    assert why_not({"decoder_depth": 3}, attention=False) is None


def test_a_training_in_which_the_teacher_would_never_be_asked_is_refused():
    """Two losses of autonomous epochs give the first gain: the third epoch is the first that may be passive."""
    teacher = options(architecture=TEACHER)
    student = options(architecture=STUDENT, training={"epochs": 2})
    assert "from epoch 3 on at the earliest, training.epochs is 2" in configuration().why_not(
        "wifo_cf", student, "wifo_cf", teacher
    )
    assert configuration(autonomous_passive=None).why_not("wifo_cf", student, "wifo_cf", teacher) is None
    rows = [{"phase": AUTONOMOUS, "self_loss": 1.0}]
    config = configuration().autonomous_passive
    assert next_phase(rows, config) == AUTONOMOUS and next_phase(rows * 2, config) == PASSIVE
