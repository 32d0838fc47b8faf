"""Every input reads snapshots alike, and its patches put together again are the channel."""

import numpy as np
import pytest
import torch

from tests.evaluation.downstream.example import waves
from tests.networks.lwm.example import lwm
from tests.networks.lwm_temporal.example import backbone
from tests.networks.wifo.example import wifo
from tests.networks.wimamba.example import wimamba
from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.inputs import (
    NATIVE,
    REPRESENTATIONS,
    Input,
    RawChannel,
    Reading,
    network_inputs,
    raw_inputs,
)
from wavefoundry.networks.capabilities import Embedder


def example_input(name: str) -> Input:
    if name == "wimamba":
        return Input(wimamba(depth=1).eval(), 4)
    if name == "lwm":
        return Input(lwm(depth=1).eval(), 3)
    if name == "lwm_temporal":
        return Input(backbone(delay_fraction=1.0).eval(), None)
    if name == "wifo":
        return Input(wifo(architecture={"patch_size": [2, 4, 2]}).eval(), None)
    return Input(RawChannel(), 2)


def csi(samples=3) -> torch.Tensor:
    return torch.randn(samples, 8, 12, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["raw", "wimamba", "lwm", "lwm_temporal", "wifo"])
class TestEveryInput:
    def test_it_is_an_embedder(self, name):
        assert isinstance(example_input(name).embedder, Embedder)

    def test_patches_join_to_the_channel(self, name):
        source = example_input(name)
        torch.testing.assert_close(source.join(source.cut(csi()), (8, 12)), csi(), atol=1e-5, rtol=1e-5)

    def test_each_token_has_its_patch(self, name):
        source = example_input(name)
        assert source.embed(csi()).patches.shape[:2] == source.cut(csi()).shape[:2]

    def test_the_scale_of_a_snapshot_is_told_apart_from_its_shape(self, name):
        seen, louder = (example_input(name).embed(factor * csi()) for factor in (1.0, 1e-5))
        torch.testing.assert_close(seen.patches, louder.patches, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(seen.scale, 1e5 * louder.scale)

    def test_samples_do_not_meet(self, name):
        source = example_input(name)
        alone = torch.cat([source.embed(one).patches for one in csi().split(1)])
        torch.testing.assert_close(source.embed(csi()).patches, alone, rtol=1e-4, atol=1e-4)

    def test_the_representations_named_are_there(self, name):
        some = waves()
        reading = Reading(example_input(name), some, 16)
        assert set(reading.kinds) <= set(REPRESENTATIONS) and {"flattened", "mean"} <= set(reading.kinds)
        assert ("class_token" in reading.kinds) == (name in ("wimamba", "lwm"))
        for kind in reading.kinds:
            features = reading.features(kind)
            assert len(features) == len(some.csi) and features.shape[1] <= 16


def test_late_delays_are_lost_where_the_network_keeps_the_early_ones():
    source = Input(backbone(delay_fraction=0.25, architecture={"patch_size": [2, 3]}).eval(), None)
    early = to_csi(to_angle_delay(csi(), (1, 1, 8), 3), (1, 1, 8), 12)
    torch.testing.assert_close(source.join(source.cut(csi()), (8, 12)), early, atol=1e-5, rtol=1e-5)


def test_many_snapshots_are_read_in_batches_that_change_nothing_but_rounding():
    source = example_input("wimamba")
    many = csi(150)
    torch.testing.assert_close(source.embed(many).patches, source.embedder.embed(many, 4).patches.detach())


def test_a_network_is_read_at_every_patch_size_that_it_has():
    network = wimamba(depth=1).eval()
    found = network_inputs(network, [2, 4])
    assert {name: source.patch_size for name, source in found.items()} == {"2": 2, "4": 4}
    assert {name: source.patch_size for name, source in network_inputs(network, None).items()} == {NATIVE: None}


def test_the_flattened_raw_channel_is_read_once():
    """Flattened it is the same at every patch size but for the order of its values."""
    found = raw_inputs([4, 2])
    assert [source.kinds for source in found.values()] == [("flattened",), ()]
    values = [source.embed(csi()).patches.flatten(1).sort(dim=1).values for source in found.values()]
    torch.testing.assert_close(*values)
    assert Reading(found["4"], waves(), 8).kinds == ("flattened",)
    assert Reading(found["2"], waves(), 8).kinds == ()


def test_the_raw_channel_wants_a_patch_size():
    with pytest.raises(InputError, match="patches of any size, but none is given"):
        RawChannel().embed(csi())


def test_what_was_released_is_read_again_alike():
    reading = Reading(example_input("lwm"), waves(), 64)
    first = reading.features("mean")
    reading.release()
    assert reading.features("mean") is first
    fresh = Reading(example_input("lwm"), waves(), 64)
    np.testing.assert_array_equal(reading.features("class_token"), fresh.features("class_token"))
    assert reading.strength.shape == (120, 1) and reading.strength.dtype == np.float32


def test_the_raw_channel_of_silence_is_silent_and_of_double_precision_the_same():
    channel = csi()
    found = RawChannel().embed(channel.to(torch.complex128), 2)
    torch.testing.assert_close(found.patches, RawChannel().embed(channel, 2).patches)
    silent = RawChannel().embed(torch.zeros_like(channel), 2)
    assert silent.scale.isfinite().all() and not silent.patches.any()
