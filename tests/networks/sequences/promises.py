"""What every network of single sequences promises; the tests of a family inherit it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from tests.networks.sequences.example import TAPS, Channels, noise, paths
from wavefoundry.csi.angle_delay import to_angle_delay
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.family import model_module
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork
from wavefoundry.networks.sequences.sequence_serving import export


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(network: SequenceNetwork) -> SequenceNetwork:
    """In evaluation mode, with weights drawn so that all of them count."""
    generator = seeded(1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn(weights.shape, generator=generator))
    return network.eval()


def assert_same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


class SequencePromises:
    """Of networks with the link of `tests.networks.sequences.example.SEQUENCES`.

    make: a fresh small network in training mode, of changes of its options.
    overfitting: steps, learning rate, and the NMSE that is reached on one batch.
    language_model: the one of a name, where the family builds on one.
    """

    make: ClassVar[Callable[..., SequenceNetwork]]
    overfitting: ClassVar[tuple[int, float, float]]
    language_model: ClassVar[Callable[[str], LanguageModel] | None] = None

    @pytest.fixture(scope="class")
    def network(self) -> SequenceNetwork:
        return drawn(type(self).make())

    def test_it_overfits_one_batch(self):
        steps, rate, reached = self.overfitting
        network, csi = type(self).make(), paths(4, 6, 4, 4)
        optimiser = torch.optim.Adam([weights for weights in network.parameters() if weights.requires_grad], rate)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        first = network(csi, seeded())["nmse"].item()
        for _ in range(steps):
            outputs = network(csi, seeded())
            outputs["loss"].backward()
            optimiser.step()
            decay.step()
            optimiser.zero_grad()
        assert outputs["nmse"].item() < reached < first / 4

    def test_it_is_trained_on_a_share_of_the_samples_with_the_same_weights_each_time(self, tmp_path):
        network = type(self).make(few_shot=0.5, training={"batch_size": 4})
        module = model_module(network.config.model_type)
        rows, weights = [], []
        for run in ("first", "second"):
            torch.manual_seed(0)
            session = SimpleNamespace(
                dataset=Channels(paths(16, 8, 4, 6)),
                delay_fraction=1.0,
                seed=0,
                checkpoints=tmp_path / run,
                on_epoch=lambda row, step: rows.append((row["epoch"], step)),
                language_model=type(self).language_model,
            )
            trained = module.train(network.options, session)
            assert type(trained.model) in module.NETWORKS and trained.model.options == network.options
            assert [set(row) for row in trained.history] == [{"epoch", "loss", "nmse", "learning_rate"}] * 2
            weights.append(trained.model.state_dict())
        # Eight of sixteen samples are two steps of four.
        assert rows == [(1, 2), (2, 4)] * 2
        assert all(torch.equal(first, weights[1][name]) for name, first in weights[0].items())
        assert weights[0].keys() == network.state_dict().keys()

    def test_ports_that_change_places_are_answered_in_their_new_places(self, network):
        known, places = noise(2, 4, 5, 8), torch.tensor([3, 0, 4, 1, 2])
        assert_same(network.predict(known[:, :, places], 2, 0), network.predict(known, 2, 0)[:, :, places])

    def test_a_prediction_does_not_depend_on_who_else_is_in_the_batch(self, network):
        known = noise(3, 4, 2, 4) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None, None]
        together = network.predict(known, 2, 0)
        for index in range(3):
            assert_same(together[index], network.predict(known[index, None], 2, 0)[0])

    def test_of_delay_taps_a_path_on_the_grid_is_continued_in_its_sequence_alone(self):
        network = drawn(type(self).make(sequences=TAPS))
        angle, delay = 2, 1
        array, band = torch.arange(5), torch.arange(4)
        path = torch.polar(torch.ones(5, 4), 2 * torch.pi * (angle / 5 * array[:, None] - delay / 4 * band))
        known = torch.polar(torch.ones(4), 0.3 * torch.arange(4))[:, None, None] * path
        found = to_angle_delay(network.predict(known[None], 2, 0), (1, 1, 5), 4)[0]
        sums = found.abs().sum(0).unflatten(1, (2, 2)).sum(2)
        own = sums[angle, 0].item()
        sums[angle, 0] = 0
        assert own > 0.1
        assert sums.max() < 1e-4 * own

    def test_it_does_depend_on_it_with_the_statistics_of_the_batch(self):
        network = drawn(type(self).make(statistics="batch"))
        known = noise(2, 4, 2, 4) * torch.tensor([1.0, 3.0])[:, None, None, None]
        together, alone = network.predict(known, 2, 0)[0], network.predict(known[:1], 2, 0)[0]
        assert (together - alone).abs().max() > 1e-3 * alone.abs().max()

    def test_silence_is_continued_by_silence(self, network):
        known = noise(2, 4, 3, 4)
        known[1] = 0
        found = network.predict(known, 3, 0)
        assert not found[1].any() and found.isfinite().all()
        assert_same(found[:1], network.predict(known[:1], 3, 0))

    def test_bands_are_continued_each_for_itself(self, network):
        known = noise(2, 4, 3, 8)
        each = [network.predict(band, 2, 0) for band in known.split(4, dim=3)]
        assert_same(network.predict(known, 2, 0), torch.cat(each, dim=3))

    def test_beyond_its_horizon_it_reads_its_own_answers_and_of_long_pasts_the_end(self, network):
        known = noise(2, 7, 3, 4)
        first = network.predict(known[:, -4:], 2, 0)
        second = network.predict(torch.cat([known, first], dim=1)[:, -4:], 2, 0)
        assert_same(network.predict(known, 4, 0), torch.cat([first, second], dim=1))
        assert_same(network.predict(known, 3, 0), torch.cat([first, second], dim=1)[:, :3])

    def test_an_adjacent_band_is_answered(self):
        network = drawn(type(self).make(link={"band": "adjacent"}))
        assert network(noise(2, 6, 4, 8), seeded())["loss"].isfinite()
        assert network.predict(noise(2, 4, 3, 4), 2, 4).shape == (2, 2, 3, 4)
        assert network.predict(noise(2, 4, 3, 4), 1, 4).shape == (2, 1, 3, 4)

    @pytest.mark.parametrize(
        ("band", "shape", "wanted"),
        [
            ("same", (1, 3, 2, 4), (2, 0)),
            ("same", (1, 4, 2, 6), (2, 0)),
            ("same", (1, 4, 2, 4), (2, 4)),
            ("same", (1, 4, 2, 4), (0, 4)),
            ("adjacent", (1, 4, 2, 4), (2, 0)),
            ("adjacent", (1, 4, 2, 8), (2, 4)),
            ("adjacent", (1, 4, 2, 4), (3, 4)),
        ],
    )
    def test_a_question_that_it_cannot_answer_is_refused_with_the_reason_of_its_options(self, band, shape, wanted):
        network = type(self).make(link={"band": band}).eval()
        reason = network.options.why_not_continue((shape[1], shape[3]), wanted)
        with pytest.raises(InputError) as error:
            network.predict(noise(*shape), *wanted)
        assert str(error.value) == reason and "\n" not in reason

    def test_served_it_predicts_the_same(self, network, tmp_path):
        export(network, tmp_path / "new")
        served = ServedPredictor(tmp_path / "new")
        for scale, shape, slots in ((1.0, (2, 5, 3, 8), 5), (1e-6, (1, 4, 1, 4), 1), (1e4, (5, 4, 2, 4), 2)):
            known = scale * noise(*shape)
            found = torch.from_numpy(served.predict(known.numpy(), slots, 0))
            assert_same(found, network.predict(known, slots, 0), 1e-4)
