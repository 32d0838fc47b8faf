import pytest
import torch

from tests.networks.lmmse.example import smooth
from tests.networks.wifo import example
from tests.networks.wifo_cf import example as feedback
from wavefoundry.networks.wifo.model import WiFo
from wavefoundry.objectives.output_matching.options import Options
from wavefoundry.objectives.output_matching.training import OutputMatching

MATCHING = Options(weight=0.5)


def csi(shape=(4, 4, 4, 6)) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wifo(hidden_size: int, seed: int, **architecture) -> WiFo:
    return example.wifo(seed, architecture={"hidden_size": hidden_size, "heads": 2} | architecture)


def test_a_student_that_is_its_teacher_has_nothing_to_match():
    matching = OutputMatching(wifo(32, 0), wifo(32, 0), MATCHING)
    for seed in range(4):
        found = matching(csi(), seeded(seed))
        assert found["output_loss"] == pytest.approx(0, abs=1e-10)
        torch.testing.assert_close(found["loss"].detach(), found["self_loss"])


def test_the_loss_is_the_students_own_and_the_weighted_distance_of_the_answers_to_the_same_puzzles():
    student, teacher = wifo(16, 1).eval(), wifo(32, 0)
    found = OutputMatching(student, teacher, MATCHING)(csi(), seeded())
    apart, wrong = [], []
    for puzzle in student.draw_all(csi(), seeded()):
        scale = puzzle.visible.abs().square().mean((1, 2), keepdim=True).sqrt()
        asked = (puzzle.visible / scale, puzzle.visible_at, puzzle.hidden_at, puzzle.grid)
        answers = student.reconstruct(*asked).mixed, teacher.eval().reconstruct(*asked).mixed
        apart.append((answers[0] - answers[1]).abs().square().mean().detach())
        wrong.append((answers[0] - puzzle.hidden / scale).abs().square().mean().detach())
    assert len(apart) == 3
    torch.testing.assert_close(found["output_loss"], torch.stack(apart).mean())
    torch.testing.assert_close(found["self_loss"], torch.stack(wrong).mean())
    torch.testing.assert_close(found["loss"].detach(), found["self_loss"] + 0.5 * found["output_loss"])


def test_the_student_is_pulled_to_the_mean_of_truth_and_teacher():
    """The gradient by the answer is that of one error, to the mean of truth and teacher weighted 1 and the weight."""
    matching = OutputMatching(wifo(16, 1).eval(), wifo(32, 0), Options(weight=3.0))
    matching(csi(), seeded())["loss"].backward()
    student = matching.student
    errors = []
    for puzzle in student.draw_all(csi(), seeded()):
        scale = puzzle.visible.abs().square().mean((1, 2), keepdim=True).sqrt()
        asked = (puzzle.visible / scale, puzzle.visible_at, puzzle.hidden_at, puzzle.grid)
        target = (puzzle.hidden / scale + 3 * matching._teacher[0].reconstruct(*asked).mixed) / 4
        errors.append(4 * (student.reconstruct(*asked).mixed - target).abs().square().mean())
    expected = torch.autograd.grad(torch.stack(errors).mean(), student.head.weight)
    torch.testing.assert_close(student.head.weight.grad, expected[0], rtol=1e-4, atol=1e-6)
    assert all(weight.grad is None for weight in matching._teacher[0].parameters())
    assert not any("teacher" in name for name in matching.state_dict())


def test_answers_may_be_channels_that_are_fed_back():
    student = feedback.wifo_cf(1, architecture={"hidden_size": 16}).train()
    found = OutputMatching(student, feedback.wifo_cf(0), MATCHING)(smooth(6, 3, 8, 16), seeded())
    assert found["output_loss"] > 0
    torch.testing.assert_close(found["loss"].detach(), found["self_loss"] + 0.5 * found["output_loss"])


def test_depths_heads_and_widths_are_free_and_tokens_are_not():
    teacher = example.options()
    for free in ({"hidden_size": 16}, {"heads": 2}, {"encoder_depth": 3}, {"hidden_size": 64}):
        assert MATCHING.why_not("wifo", example.options(architecture=free), "wifo", teacher) is None
    assert MATCHING.why_not(
        "wifo", example.options(architecture={"patch_size": [2, 2, 4]}), "wifo", teacher
    ) == "architecture.patch_size [2, 2, 4] differs from the teacher's [2, 2, 2]"  # fmt: skip
    assert "the teacher is a wifo, the student a wifo_cf" in MATCHING.why_not(
        "wifo_cf", feedback.options(), "wifo", teacher
    )
