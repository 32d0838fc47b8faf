"""Heads with the last layers of a network and without: one recipe, of which the layers are the only difference."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluation.downstream.example import example_task, waves
from tests.networks.wimamba.example import wimamba
from wavefoundry.evaluation.downstream import tuning
from wavefoundry.evaluation.downstream.inputs import Input
from wavefoundry.evaluation.downstream.options import LastLayers
from wavefoundry.evaluation.downstream.tuning import TunedClassifier, tune
from wavefoundry.networks.representations import Representations
from wavefoundry.training.options import Training

TRAINING = Training(
    epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.0, warmup_fraction=0.1, max_grad_norm=1.0,
    epochs_per_checkpoint=2,
    precision="float32",
)  # fmt: skip


def network(dropout=0.0):
    return wimamba(patch_sizes=[2, 4], hidden_size=16, dropout=dropout).eval()


def options(name: str, **changes) -> LastLayers:
    training = TRAINING.model_copy(update=changes)
    return LastLayers(tasks=[name], layers=1, fraction=0.5, patch_size=4, training=training)


def classifier(layers: int, dropout=0.0) -> TunedClassifier:
    torch.manual_seed(0)
    return TunedClassifier(network(dropout), 4, layers, [8], 2, True, waves().csi[:40])


@pytest.mark.parametrize(("layers", "learning"), [(0, ()), (1, ("layers.1.",)), (2, ("layers.0.", "layers.1."))])
@pytest.mark.parametrize("name", ["los", "beam_prediction"])
def test_tuning_changes_the_last_layers_only_and_repeats(name, layers, learning, tmp_path):
    before, scores = network().state_dict(), []
    for run in ("one", "other"):
        model = network()
        scores.append(tune(example_task(name), model, 4, layers, waves(), options(name), 0, tmp_path / run))
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert {next((one for one in learning if key.startswith(one)), key) for key in changed} == set(learning)
    for split, found in scores[0].items():
        assert all(np.array_equal(values, scores[1][split][name]) for name, values in found.items())
    assert np.isfinite(list(example_task(name).scores(scores[0]["test"]).values())).all()


def test_both_sides_begin_with_the_same_answers_and_learn_from_the_same_batches(tmp_path):
    """All that a training is handed, and every batch of it."""
    seen = []

    class Recorded(TunedClassifier):
        def forward(self, csi, label, generator=None):
            if not seen[-1]["batches"]:
                seen[-1]["first"] = self.logits(csi).detach()
            seen[-1]["batches"].append((csi.clone(), label.clone()))
            return super().forward(csi, label, generator)

    def recorded(model, dataset, **told):
        seen.append({"batches": [], "told": {name: told[name] for name in ("config", "seed")}})
        return train(model, dataset, **told)

    train = tuning.train
    with patch.object(tuning, "TunedClassifier", Recorded), patch.object(tuning, "train", recorded):
        for layers in (0, 1):
            tune(example_task("los"), network(), 4, layers, waves(), options("los"), 3, tmp_path / str(layers))
    frozen, tuned = seen
    assert frozen["told"] == tuned["told"]
    torch.testing.assert_close(frozen["first"], tuned["first"])
    assert len(frozen["batches"]) == len(tuned["batches"]) > 2
    for one, other in zip(frozen["batches"], tuned["batches"], strict=True):
        assert all(map(torch.equal, one, other))


def test_without_a_step_tuned_and_frozen_are_the_same(tmp_path):
    """A rate of nearly nothing: what is left of the difference is not the recipe's."""
    still = options("los", learning_rate=1e-12)
    found = [
        tune(example_task("los"), network(), 4, layers, waves(), still, 0, tmp_path / str(layers)) for layers in (0, 2)
    ]
    for split in ("validation", "test"):
        assert np.array_equal(found[0][split]["found"], found[1][split]["found"])


def test_the_head_reads_features_of_unit_mean_variance():
    model = classifier(layers=1)
    csi = waves().csi[:40]
    read = []
    model.head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model.eval().logits(csi)
    seen = Input(network(), 4).embed(csi)
    assert read[0].shape == (40, seen.mean.shape[1] + 1)
    torch.testing.assert_close(read[0].mean(0), torch.zeros(read[0].shape[1]), atol=1e-4, rtol=0)
    assert read[0][:, :-1].var(0, correction=0).mean().item() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_layers_that_do_not_learn_are_as_in_an_evaluation(layers):
    model = classifier(layers, dropout=0.5).train()
    assert [layer.training for layer in model.backbone.layers] == [index >= 2 - layers for index in range(2)]
    assert model.head.training and not model.backbone.tokens.training
    csi = waves().csi[:8]
    assert torch.equal(model.logits(csi), model.logits(csi)) == (layers == 0)


def test_decay_leaves_the_weights_alone_that_the_network_names():
    model = classifier(layers=1)
    named = model.no_weight_decay()
    assert named == {f"backbone.{name}" for name in network().no_weight_decay()} <= set(dict(model.named_parameters()))


class Direction(nn.Module):
    """A network whose mean over patches is the direction of a wave, far from zero and small."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2)])

    def embed(self, csi, patch_size=None):
        phase = torch.angle(csi[:, 1, 0] * csi[:, 0, 0].conj())
        mean = self.layers[0](100 + 0.01 * torch.stack([phase.cos(), phase.sin()], dim=1))
        return Representations(None, mean[:, None], mean, csi.abs().square().mean((1, 2)).sqrt())


def test_a_head_alone_finds_the_label_that_a_network_tells_at_any_scale(tmp_path):
    task, enough = example_task("los"), options("los", epochs=60, epochs_per_checkpoint=60, batch_size=8)
    torch.manual_seed(0)
    found = tune(task, Direction().eval(), None, 0, waves(), enough, 0, tmp_path)
    assert task.scores(found["validation"])["accuracy"] > 0.9
