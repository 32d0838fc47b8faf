"""Attention relations: the divergence is what it is said to be, knows no width, and teaches the student alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.csi_alm import example as teachers
from tests.networks.csi_alm_light import example as students
from tests.networks.wifo import example as wifo
from wavefoundry.errors import InputError
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.sequences.sequence_options import Link
from wavefoundry.objectives.attention_relations.options import Options
from wavefoundry.objectives.attention_relations.relations import log_relations, relation_loss
from wavefoundry.objectives.attention_relations.training import Distillation

OPTIONS = Options(weight=0.5, relation_heads=4)


def parts(seed, tokens=5, widths=(8, 8, 8), sequences=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sequences, tokens, width, generator=generator, dtype=torch.float64) for width in widths]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), heads=st.sampled_from([1, 2, 4]), tokens=st.integers(1, 6))
def test_zero_for_equal_networks_and_positive_for_others(seed, heads, tokens):
    own, shown = parts(seed, tokens), parts(seed + 100, tokens)
    assert relation_loss(own, own, heads).abs() < 1e-12
    assert (relation_loss(own, shown, heads) > 0) == (tokens > 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), heads=st.sampled_from([1, 2, 4]))
def test_a_rotation_of_the_width_of_a_head_changes_nothing(seed, heads):
    own, shown = parts(seed), parts(seed + 100, widths=(16, 4, 4))
    generator = torch.Generator().manual_seed(seed)
    turns = [torch.linalg.qr(torch.randn(8 // heads, 8 // heads, generator=generator, dtype=torch.float64))[0]] * heads
    turned = [part @ torch.block_diag(*turns) for part in own]
    torch.testing.assert_close(relation_loss(turned, shown, heads), relation_loss(own, shown, heads))


def test_the_divergence_is_that_of_the_definition():
    own, shown = parts(0), parts(1, widths=(4, 12, 8))
    expected = 0.0
    for ours, theirs in zip(own, shown, strict=True):
        for sequence in range(3):
            for head in range(2):

                def relation(values, row, sequence=sequence, head=head):
                    part = values[sequence].unflatten(-1, (2, -1))[:, head]
                    return torch.softmax(part[row] @ part.T / part.shape[1] ** 0.5, 0)

                for row in range(5):
                    p, q = relation(theirs, row), relation(ours, row)
                    expected += (p * (p / q).log()).sum() / (3 * 2 * 5)
    torch.testing.assert_close(relation_loss(own, shown, 2), expected)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_gradient_reaches_only_the_student(kind):
    teacher, student = teachers.csi_alm(kind), students.light().train()
    distillation = Distillation(student, teacher, OPTIONS)
    before = [weight.clone() for weight in teacher.parameters()]
    csi = torch.randn(2, 9, 4, 4, dtype=torch.complex64)
    found = distillation(csi, torch.Generator().manual_seed(0))
    found["loss"].backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in student.parameters())
    assert {id(weight) for weight in distillation.parameters()} == {id(weight) for weight in student.parameters()}
    assert all(torch.equal(old, new) for old, new in zip(before, teacher.parameters(), strict=True))
    torch.testing.assert_close(found["loss"], found["nmse"] + 0.5 * found["relation_loss"])


def test_student_and_teacher_read_the_same():
    student = students.light().train()
    csi = torch.randn(2, 9, 4, 4, dtype=torch.complex64)
    alone = student(csi, torch.Generator().manual_seed(5))
    taught = Distillation(student, students.light(seed=1), OPTIONS)(csi, torch.Generator().manual_seed(5))
    assert torch.equal(alone["nmse"], taught["nmse"])


def test_a_student_becomes_like_its_teacher():
    teacher, student = teachers.csi_alm(), students.light(seed=4).train()
    distillation = Distillation(student, teacher, Options(weight=10.0, relation_heads=4))
    optimiser = torch.optim.Adam(student.parameters(), 3e-3)
    csi, losses = torch.randn(4, 9, 4, 4, dtype=torch.complex64), []
    for _ in range(60):
        found = distillation(csi, torch.Generator().manual_seed(0))
        losses.append(found["relation_loss"].item())
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


def test_who_cannot_learn_from_whom():
    def reason(student, teacher, objective=OPTIONS, families=("csi_alm_light", "csi_alm")):
        return objective.why_not(families[0], student, families[1], teacher)

    assert reason(students.options(), teachers.options()) is None
    assert reason(students.options(), students.options()) is None
    assert "the teacher is a wifo, the student a csi_alm_light" in reason(
        students.options(), wifo.options(), families=("csi_alm_light", "wifo")
    )
    assert "prompts 3 differs from the 2 prompts of the teacher" in reason(
        students.options(architecture={"prompts": 3}), teachers.options()
    )
    assert "prompts 2 differs from the 0 prompts" in reason(students.options(), teachers.options(prompts=None))
    # One that builds on a language model is handed it by its own training alone.
    assert "needs no language model; the teacher is a csi_alm, the student a csi_alm" in reason(
        teachers.options(), teachers.options(), families=("csi_alm", "csi_alm")
    )
    assert "link" in reason(students.options(link={"known_slots": 5}), teachers.options())
    assert "'drawn': 1} differs from the teacher's" in reason(
        students.options(sequences={"drawn": 1}), teachers.options()
    )
    assert "its blocks is false" in reason(students.options(), teachers.options(blocks=False, lora=None))
    assert "relation_heads 5 does not divide architecture.hidden_size 24" in reason(
        students.options(), teachers.options(), Options(weight=1.0, relation_heads=5)
    )


def test_a_family_takes_part_by_what_its_options_say():
    """No class of options of the two families is asked for."""

    class Sparse(FamilyOptions):
        link: Link
        sequences: Any
        statistics: str
        reference: str
        snr_db: list[float]
        architecture: Any
        prompt_tokens: int
        why_no_attention: str | None

    shared = ("link", "sequences", "statistics", "reference", "snr_db")
    given = {name: getattr(students.options(), name) for name in shared}
    sparse = Sparse(**given, architecture=SimpleNamespace(hidden_size=24), prompt_tokens=2, why_no_attention=None)
    assert OPTIONS.why_not("sparse", sparse, "csi_alm", teachers.options()) is None
    assert OPTIONS.why_not("csi_alm_light", students.options(), "sparse", sparse) is None
    deaf = sparse.model_copy(update={"why_no_attention": "its heads are gone"})
    assert "the student has no attention of its own: its heads are gone" in OPTIONS.why_not(
        "sparse", deaf, "csi_alm", teachers.options()
    )


def test_faults_are_named():
    with pytest.raises(InputError, match="relation_heads 3 does not divide the width 8"):
        log_relations(parts(0)[0], 3)
    with pytest.raises(InputError, match="the student has 5 tokens and its teacher 6"):
        relation_loss(parts(0), parts(0, tokens=6), 2)
    student = students.light()
    with pytest.raises(InputError, match=r"link\.known_slots 6 is more than the 5 known slots"):
        student.predict(torch.ones(1, 5, 2, 4, dtype=torch.complex64), 1, 0)
