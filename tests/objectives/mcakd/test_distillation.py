from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import TrainerCallback

from tests.networks.wifo import example
from wavefoundry.errors import InputError
from wavefoundry.networks.trace import Trace
from wavefoundry.networks.wifo.model import STRATEGIES, WiFo
from wavefoundry.objectives.mcakd.autonomous_passive import AutonomousPassiveSwitch
from wavefoundry.objectives.mcakd.distillation import Distillation, KnowledgeSelection, attention_distance
from wavefoundry.objectives.mcakd.options import AutonomousPassive, Options
from wavefoundry.training.options import Training
from wavefoundry.training.trainer import train

AL_PL = AutonomousPassive(patience=1, min_gain=0.9, smoothing=0.0, passive_epochs=1)
TRAINING = Training(
    epochs=5,
    batch_size=4,
    learning_rate=1e-3,
    weight_decay=0.01,
    warmup_fraction=0.1,
    max_grad_norm=1.0,
    epochs_per_checkpoint=1,
    precision="float32",
)


def configuration(**changes) -> Options:
    defaults = {
        "weight": 1.0,
        "attention": True,
        "embedding": True,
        "hidden": True,
        "selection": "cross_attention",
        "selection_heads": 2,
        "importance": "batch",
        "memory": 0.0,
        "hidden_state": "after_residual",
        "distance": "relative",
        "autonomous_passive": AL_PL,
    }
    return Options(**defaults | changes)


def wifo(hidden_size: int, seed: int) -> WiFo:
    return example.wifo(seed, architecture={"hidden_size": hidden_size, "heads": 2})


def distillation(**changes) -> Distillation:
    teacher, student = wifo(32, 0), wifo(16, 1)
    return Distillation(student, teacher, configuration(**changes))


def csi(seed=0, shape=(4, 4, 4, 6)) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Batches(torch.utils.data.Dataset):
    """12 samples in 3 batches of an order that never changes."""

    def __len__(self):
        return 12

    def __getitems__(self, indices):
        return {"csi": csi(1, (12, 4, 4, 6))[indices]}

    def batch_sampler(self, batch_size, seed):
        sampler = torch.utils.data.BatchSampler(range(12), batch_size, drop_last=False)
        sampler.set_epoch = lambda epoch: None
        return sampler


def planted(dimensions, size=12, tokens=10, batch=3) -> torch.Tensor:
    """Teacher tokens that say something only in `dimensions`, more in the earlier ones."""
    teacher = 0.01 * torch.randn(batch, tokens, size, generator=seeded(5))
    for rank, dimension in enumerate(dimensions):
        teacher[..., dimension] += 3.0 - rank * 0.5
    return teacher


def test_selection_finds_the_planted_dimensions_in_descending_order():
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, heads=2)
    teacher = planted([7, 2, 10, 5])
    student = torch.randn(3, 10, 4, generator=seeded(6))
    chosen = select.importance(student, teacher).topk(4).indices
    assert chosen.tolist() == [[7, 2, 10, 5]]
    assert torch.equal(select(student, teacher), teacher[..., [7, 2, 10, 5]])


def test_each_sample_has_its_own_dimensions_where_importance_is_of_samples():
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, heads=2, of="sample")
    teacher = torch.cat([planted([7, 2, 10, 5], batch=1), planted([0, 11, 3, 8], batch=1)])
    student = torch.randn(2, 10, 4, generator=seeded(6))
    chosen = select(student, teacher)
    assert torch.equal(chosen[0], teacher[0][:, [7, 2, 10, 5]])
    assert torch.equal(chosen[1], teacher[1][:, [0, 11, 3, 8]])
    # What is picked for a sample does not depend on its company.
    assert torch.equal(chosen[:1], select(student[:1], teacher[:1]))


def test_importance_of_samples_is_that_of_the_batch_where_all_samples_are_equal():
    torch.manual_seed(0)
    of_batch, of_sample = KnowledgeSelection(4, 12, heads=2), KnowledgeSelection(4, 12, heads=2, of="sample")
    of_sample.load_state_dict(of_batch.state_dict())
    student, teacher = torch.randn(1, 6, 4).expand(5, -1, -1), torch.randn(1, 6, 12).expand(5, -1, -1)
    torch.testing.assert_close(
        of_sample.importance(student, teacher), of_batch.importance(student, teacher).expand(5, -1)
    )
    torch.testing.assert_close(of_sample(student, teacher), of_batch(student, teacher))
    # And whatever the samples are, the batch has their mean.
    student, teacher = torch.randn(5, 6, 4), torch.randn(5, 6, 12)
    torch.testing.assert_close(of_sample.importance(student, teacher).mean(0), of_batch.importance(student, teacher)[0])


def test_with_a_memory_the_order_comes_to_rest_while_that_of_single_steps_goes_on_changing():
    def changes(memory: float) -> list[bool]:
        torch.manual_seed(0)
        select = KnowledgeSelection(4, 12, heads=2, memory=memory)
        strength = torch.linspace(0.5, 1.6, 12)[torch.randperm(12, generator=seeded(7))]
        noise, picked = seeded(8), []
        for _ in range(300):
            teacher = strength * (1 + 0.3 * torch.randn(1, 1, 12, generator=noise)).expand(2, 6, 12)
            chosen = select(torch.randn(2, 6, 4, generator=noise), teacher)
            picked.append((chosen[0, :1] == teacher[0, :1].T).int().argmax(0).tolist())
        # The strongest dimensions, in descending order.
        assert memory == 0 or picked[-1] == strength.argsort(descending=True)[:4].tolist()
        return [one != other for one, other in pairwise(picked[200:])]

    assert sum(changes(0.0)) > 50
    assert sum(changes(0.99)) < 10


def test_a_memory_of_nothing_is_the_step_alone():
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, heads=2)
    first, second = torch.randn(2, 6, 12), torch.randn(2, 6, 12)
    student = torch.randn(2, 6, 4)
    alone = select(student, second)
    select(student, first)
    assert torch.equal(select(student, second), alone)


@pytest.mark.parametrize("tokens", [1, 6, 25])
def test_selection_copies_columns_whatever_the_length(tokens):
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, heads=2)
    teacher, student = torch.randn(2, tokens, 12), torch.randn(2, tokens, 4)
    chosen = select(student, teacher)
    assert chosen.shape == (2, tokens, 4)
    columns = {tuple(column) for column in teacher.flatten(0, 1).T.tolist()}
    assert {tuple(column) for column in chosen.flatten(0, 1).T.tolist()} <= columns


def test_projections_receive_gradient_through_the_selection():
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, heads=2)
    student = torch.randn(3, 10, 4, requires_grad=True)
    teacher = torch.randn(3, 10, 12)
    torch.nn.functional.mse_loss(student, select(student, teacher)).backward()
    assert select.query.weight.grad.abs().max() > 0
    assert select.key.weight.grad.abs().max() > 0
    # The student is pulled to the chosen columns, and steers nothing.
    expected = 2 * (student - select(student, teacher)) / student.numel()
    torch.testing.assert_close(student.grad, expected.detach())


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_straight_through_gradient_is_that_of_the_softmax_over_importances(memory):
    torch.manual_seed(0)
    select = KnowledgeSelection(2, 5, heads=1, memory=memory)
    student, teacher, target = torch.randn(1, 6, 2), torch.randn(1, 6, 5), torch.randn(1, 6, 2)
    (gradient,) = torch.autograd.grad((select(student, teacher) * target).sum(), select.key.weight)
    importance = select.importance(student, teacher)[0]
    chosen = importance.topk(2).indices
    pull = (teacher[..., chosen] * target).sum((0, 1))
    (expected,) = torch.autograd.grad((importance.softmax(0)[chosen] * pull).sum(), select.key.weight)
    torch.testing.assert_close(gradient, expected)


def test_ablations_of_the_selection():
    teacher, student = torch.randn(2, 6, 12), torch.randn(2, 6, 4)
    assert torch.equal(KnowledgeSelection(4, 12, 2, "first")(student, teacher), teacher[..., :4])
    torch.manual_seed(0)
    select = KnowledgeSelection(4, 12, 2, "random")
    assert len(set(select.drawn.tolist())) == 4
    assert torch.equal(select(student, teacher), teacher[..., select.drawn])
    assert torch.equal(select(student, teacher), select(student, teacher))


def test_attention_term_is_zero_for_equal_maps_and_blind_to_their_scale():
    maps = [torch.rand(2, 3, 7, 7), torch.rand(2, 3, 7, 7)]
    assert attention_distance(maps, maps) == pytest.approx(0, abs=1e-6)
    assert attention_distance([3 * each for each in maps], maps) == pytest.approx(0, abs=1e-6)
    # Orthogonal maps are at distance 1; the mean goes over layers and heads.
    one, other = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    one[:, :, 0, 0] = 1
    other[:, 0, 0, 0] = other[:, 1, 1, 1] = 1
    assert attention_distance([one], [other]) == pytest.approx(0.5)


def test_attention_term_is_zero_when_the_student_is_its_teacher():
    teacher = wifo(32, 0)
    twin = Distillation(wifo(32, 0), teacher, configuration(embedding=False, hidden=False))
    for seed in range(4):
        assert twin(csi(), seeded(seed))["attention_loss"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", ["plain", "relative"])
@pytest.mark.parametrize("hidden_state", ["before_residual", "after_residual"])
@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_all_terms_are_zero_when_first_dimensions_of_a_twin_are_copied(distance, hidden_state, memory):
    """A twin is as wide as its teacher: all dimensions are the first ones; picked by importance they are permuted."""
    settings = {"distance": distance, "hidden_state": hidden_state}
    twin = Distillation(wifo(32, 0), wifo(32, 0), configuration(selection="first", **settings))
    for seed in range(3):
        outputs = twin(csi(), seeded(seed))
        assert all(outputs[f"{name}_loss"] == pytest.approx(0, abs=1e-6) for name in ("embedding", "hidden"))
        torch.testing.assert_close(outputs["loss"], outputs["self_loss"])
    permuted = Distillation(wifo(32, 0), wifo(32, 0), configuration(memory=memory, **settings))
    assert permuted(csi(), seeded())["hidden_loss"] > 1e-3


def test_hidden_states_before_and_after_the_residual_differ_by_the_tokens_of_the_last_layer():
    model, trace = wifo(32, 0).eval(), Trace()
    block = model.encoder.blocks[-1]
    read = []
    block.register_forward_pre_hook(lambda module, values: read.append(values[0]))
    model.solve(model.draw(csi(), seeded()), trace)
    hidden = trace.encoder_hidden
    torch.testing.assert_close(hidden.after_residual, read[0] + hidden.before_residual)
    torch.testing.assert_close(
        hidden.before_residual, block.attention(block.attention_norm(read[0]), None), rtol=1e-4, atol=1e-5
    )


def test_the_plain_distance_is_the_relative_one_times_the_power_of_what_was_picked():
    plain, relative = distillation(distance="plain"), distillation(distance="relative")
    relative.load_state_dict(plain.state_dict())
    seen = [Trace(), Trace()]
    puzzle = plain.student.eval().draw(csi(), seeded())
    plain.student.solve(puzzle, seen[0])
    plain._teacher[0].solve(puzzle, seen[1])
    chosen = plain.selections["embedding"](seen[0].embedding, seen[1].embedding)
    torch.testing.assert_close(
        plain.terms(*seen)["embedding"], relative.terms(*seen)["embedding"] * chosen.square().mean()
    )


def test_a_strategy_that_does_not_fit_is_left_out_of_all():
    model = distillation()
    # One patch of two slots: nothing can be hidden in time.
    found = model(csi(shape=(4, 2, 4, 6)), seeded())
    assert "frequency_loss" in found and "time_loss" not in found
    with pytest.raises(InputError, match="single patch"):
        model(csi(shape=(4, 2, 2, 2)), seeded())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": 0.9, "importance": "sample"}, r"memory is 0\.9, with importance: sample allowed: 0"),
        ({"memory": 0.9, "selection": "first"}, "selection: first knows no importance, allowed with it: .*memory: 0"),
        ({"importance": "sample", "selection": "random"}, "selection: random knows no importance"),
        ({"memory": 1.0}, "less than 1"),
    ],
)
def test_settings_that_say_nothing_together_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        configuration(**changes)


def test_loss_is_the_students_own_plus_the_weighted_terms():
    model = distillation(weight=0.3)
    outputs = model(csi(), seeded())
    terms = sum(outputs[f"{name}_loss"] for name in ("attention", "embedding", "hidden"))
    torch.testing.assert_close(outputs["loss"], outputs["self_loss"] + 0.3 * terms)
    # Alone, the student would have solved the same puzzles.
    torch.testing.assert_close(outputs["self_loss"], model.student(csi(), seeded())["loss"])


def test_a_step_is_the_mean_of_the_three_strategies():
    model, generator = distillation(), seeded()
    outputs = model(csi(), seeded())
    alone = [model._solve(model.student.draw(csi(), generator, name), torch.device("cpu")) for name in STRATEGIES]
    for name in ("loss", "self_loss", "attention_loss", "embedding_loss", "hidden_loss"):
        torch.testing.assert_close(outputs[name], torch.stack([one[name] for one in alone]).mean())
    for strategy, one in zip(STRATEGIES, alone, strict=True):
        torch.testing.assert_close(outputs[f"{strategy}_loss"], one["self_loss"])
    # The teacher is left alone in autonomous phases here, too.
    model.passive = False
    outputs = model(csi(), seeded())
    assert "attention_loss" not in outputs and torch.equal(outputs["loss"].detach(), outputs["self_loss"])


def test_teacher_and_student_see_the_same_puzzles(monkeypatch):
    model = distillation()
    seen = []
    original = WiFo.reconstruct

    def record(self, visible, visible_at, hidden_at, *others, **named):
        seen.append((visible, visible_at, hidden_at))
        return original(self, visible, visible_at, hidden_at, *others, **named)

    monkeypatch.setattr(WiFo, "reconstruct", record)
    for seed in range(6):
        seen.clear()
        model(csi(), seeded(seed))
        assert len(seen) == 6
        for student, teacher in zip(seen[::2], seen[1::2], strict=True):
            assert all(torch.equal(own, shown) for own, shown in zip(student, teacher, strict=True))


def test_terms_can_be_switched_off():
    names = {"attention", "embedding", "hidden"}
    for off in names:
        outputs = distillation(**{off: False})(csi(), seeded())
        assert {name for name in names if f"{name}_loss" in outputs} == names - {off}
    assert set(distillation(hidden=False).selections) == {"embedding"}


def test_gradient_reaches_student_and_selections_but_not_the_teacher():
    model = distillation()
    model(csi(), seeded())["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    assert all(parameter.grad is None for parameter in model._teacher[0].parameters())
    assert not any("teacher" in name for name in model.state_dict())


class Refusing(TrainerCallback):
    """In autonomous epochs the teacher's forward raises."""

    def __init__(self, model):
        self._model = model
        self._forward = model._teacher[0].reconstruct

    def on_step_begin(self, args, state, control, *, model, **context):
        def refuse(*values):
            raise AssertionError("the teacher was run in an autonomous epoch")

        model._teacher[0].reconstruct = self._forward if model.passive else refuse


def test_the_teacher_is_never_run_in_an_autonomous_epoch(tmp_path):
    model = distillation()
    switch = AutonomousPassiveSwitch(AL_PL)
    _, history = train(
        model, Batches(), config=TRAINING, seed=0, checkpoints=tmp_path, callbacks=[switch, Refusing(model)]
    )
    assert [row["phase"] for row in history] == ["autonomous", "autonomous", "passive", "autonomous", "passive"]
    assert [row["teacher_passes_saved"] for row in history] == pytest.approx([1, 1, 2 / 3, 3 / 4, 3 / 5])
    assert all(("attention_loss" in row) == (row["phase"] == "passive") for row in history)
    # And the guard works.
    model.passive = True
    model._teacher[0].reconstruct = lambda *values, **named: pytest.fail("run")
    with pytest.raises(pytest.fail.Exception):
        model(csi(), seeded())


@pytest.mark.parametrize("changes", [{}, {"memory": 0.9}], ids=["default", "with a memory"])
def test_phases_and_weights_survive_an_interruption(tmp_path, changes):
    class Killed(Exception):
        pass

    class KillInEpoch4(TrainerCallback):
        def on_step_end(self, args, state, control, **context):
            if state.global_step == 10:
                raise Killed

    def run(folder, *callbacks):
        switch = AutonomousPassiveSwitch(AL_PL)
        return train(
            distillation(**changes),
            Batches(),
            config=TRAINING,
            seed=0,
            checkpoints=folder,
            callbacks=[switch, *callbacks],
        )

    unbroken, expected = run(tmp_path / "unbroken")
    with pytest.raises(Killed):
        run(tmp_path / "killed", KillInEpoch4())
    (checkpoint,) = (tmp_path / "killed").glob("checkpoint-*")
    assert not any("teacher" in name for name in load_file(checkpoint / "model.safetensors"))
    resumed, history = run(tmp_path / "killed")
    assert history == expected
    for name, value in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_hidden_states_and_embedding_have_their_own_selection():
    model = distillation()
    traces = [Trace(), Trace()]
    puzzle = model.student.draw(csi(), seeded())
    model.student.solve(puzzle, traces[0])
    model._teacher[0].solve(puzzle, traces[1])
    terms = model.terms(*traces)
    student, teacher = ((one.encoder_hidden.after_residual, one.decoder_hidden.after_residual) for one in traces)
    chosen = model.selections["encoder"](student[0], teacher[0])
    decoded = model.selections["decoder"](student[1], teacher[1])
    expected = sum(
        (own - shown).square().sum() / shown.square().sum()
        for own, shown in ((student[0], chosen), (student[1], decoded))
    )
    torch.testing.assert_close(terms["hidden"], expected)
