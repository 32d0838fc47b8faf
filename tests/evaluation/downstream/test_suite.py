"""The whole of one input, small: chosen on validation, nested over fractions, the same again."""

import numpy as np
import pytest
import torch

from stages import params
from wavefoundry.config import LastLayers, Training
from wavefoundry.evaluation.downstream.inputs import raw_channel, snapshot_backbone
from wavefoundry.evaluation.downstream.suite import InputEvaluation
from wavefoundry.evaluation.downstream.tasks import CHANNEL_TASKS, TASKS, Snapshots
from wavefoundry.evaluation.downstream.tuning import tune
from wavefoundry.networks.wimamba.model import WiMamba, WiMambaConfig

DEFAULT = params.read().evaluate.downstream
SECTION = type(DEFAULT).model_validate(
    DEFAULT.model_dump()
    | {
        "patch_sizes": [2, 4],
        "label_fractions": [0.5, 1.0],
        "choice_fraction": 0.5,
        "seeds": [0, 1],
        "heads": DEFAULT.heads.model_dump() | {"steps": 8, "penalties": [1e-4, 1e-2]},
        "tracking": {"past": 2},
        "tuning": None,
    }
)


def snapshots() -> Snapshots:
    """Waves whose direction is the beam and the place, in sight where they come from the right."""
    generator = np.random.default_rng(0)
    users, windows = 30, 4
    turns = np.repeat(generator.uniform(-0.5, 0.5, users), windows) + 0.01 * np.tile(np.arange(windows), users)
    antenna, subcarrier = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    phase = turns[:, None, None] * antenna + generator.uniform(0, 1, (len(turns), 1, 1)) * (1 + 0.1 * subcarrier)
    csi = torch.from_numpy(np.exp(2j * np.pi * phase)).to(torch.complex64)
    user, window = np.divmod(np.arange(users * windows), windows)
    split = np.digitize(user, [20, 25])
    return Snapshots(
        csi,
        turns > 0,
        np.floor(16 * (turns % 1)).astype(int),
        np.stack([100 * turns, 0 * turns], axis=1),
        np.stack([0 * user, user, window], axis=1),
        {name: np.flatnonzero(split == code) for code, name in enumerate(("train", "validation", "test"))},
    )


def network() -> WiMamba:
    torch.manual_seed(0)
    return WiMamba(WiMambaConfig(patch_sizes=(2, 4), hidden_size=16, depth=2, dropout=0.0)).eval()


def evaluate(choices=None):
    by_patch = {str(size): snapshot_backbone(network(), size) for size in (2, 4)}
    return InputEvaluation(by_patch, snapshots(), SECTION, choices).run()


@pytest.fixture(scope="module")
def result():
    return evaluate()


def test_every_representation_is_tried_at_every_patch_size(result):
    for task in TASKS:
        kinds = {"per_patch"} if task in CHANNEL_TASKS else {"class_token", "flattened", "mean"}
        assert set(result.table[task]) == kinds
        assert all(set(by_patch) == {"2", "4"} for by_patch in result.table[task].values())
        for by_patch in result.table[task].values():
            for scores in by_patch.values():
                assert all(len(values) == 1 for split in scores.values() for values in split.values())


def test_the_best_on_the_validation_split_is_chosen(result):
    for task, about in TASKS.items():
        reached = {
            (kind, patch): np.mean(scores["validation"][about.metric])
            for kind, by_patch in result.table[task].items()
            for patch, scores in by_patch.items()
        }
        best = (max if about.higher_is_better else min)(reached.values())
        assert reached[result.chosen[task]] == best
        kind, patch = result.chosen[task]
        of_the_search = result.table[task][kind][patch]["test"][about.metric]
        assert result.curves[task]["0.5"]["test"][about.metric][:1] == of_the_search
        assert list(result.curves[task]) == ["0.5", "1"]


def test_the_same_again_to_the_bit_and_alone_as_among_others(result):
    """A control that tries the choices alone finds for them what the search found."""
    again = evaluate(result.chosen)
    assert again.curves == {task: {"0.5": curve["0.5"]} for task, curve in result.curves.items()}
    assert again.last_window == result.last_window and again.round_trip == {}


def test_what_a_patch_tells_of_itself_is_all_of_the_raw_channel(result):
    raw = InputEvaluation({"4": raw_channel(4, ("flattened",))}, snapshots(), SECTION).run()
    assert raw.round_trip["4"] < -20
    assert set(result.round_trip) == {"2", "4"}


def test_the_test_split_decides_nothing(result):
    """Other labels on the test split: the same choices, and the same scores on the validation split."""
    some = snapshots()
    test = some.rows["test"]
    some.beam[test], some.line_of_sight[test] = 0, ~some.line_of_sight[test]
    some.position[test] += 7
    by_patch = {str(size): snapshot_backbone(network(), size) for size in (2, 4)}
    other = InputEvaluation(by_patch, some, SECTION).run()
    assert other.chosen == result.chosen
    for task, curve in other.curves.items():
        assert all(scores["validation"] == result.curves[task][name]["validation"] for name, scores in curve.items())


@pytest.mark.parametrize("task", ["los", "beam_prediction"])
def test_tuning_changes_the_last_layers_only_and_repeats(task, tmp_path):
    training = Training(
        epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.0, warmup_fraction=0.1, max_grad_norm=1.0,
        epochs_per_checkpoint=2,
    )  # fmt: skip
    section = LastLayers(layers=1, fraction=0.5, patch_size=4, training=training)
    before, scores = network().state_dict(), []
    for run in ("one", "other"):
        model = network()
        scores.append(tune(task, model, snapshots(), section, 0, tmp_path / run))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("layers.1.") for name in changed)
    assert scores[0] == scores[1]
