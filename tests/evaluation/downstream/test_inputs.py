"""Every input reads snapshots alike, and its patches put together again are the channel."""

import pytest
import torch

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.evaluation.downstream.inputs import (
    REPRESENTATIONS,
    embed_all,
    lwm_temporal_backbone,
    raw_channel,
    snapshot_backbone,
    wifo_backbone,
)
from wavefoundry.networks.lwm.model import LWM, LWMConfig
from wavefoundry.networks.lwm_temporal.model import LWMTemporal, LWMTemporalConfig
from wavefoundry.networks.wifo.model import WiFo, WiFoConfig
from wavefoundry.networks.wimamba.model import WiMamba, WiMambaConfig


def inputs(name: str):
    torch.manual_seed(0)
    if name == "wimamba":
        return snapshot_backbone(WiMamba(WiMambaConfig(hidden_size=16, depth=1)).eval(), 4)
    if name == "lwm":
        return snapshot_backbone(LWM(LWMConfig(hidden_size=16, depth=1, heads=2)).eval(), 6)
    if name == "lwm_temporal":
        config = LWMTemporalConfig(patch_size=(2, 2), embed_dim=16, depth=1, num_heads=2, keep_percentage=1.0)
        return lwm_temporal_backbone(LWMTemporal(config).eval())
    if name == "wifo":
        config = WiFoConfig(patch_size=[2, 4, 2], hidden_size=24, encoder_depth=1, decoder_depth=1, heads=2)
        return wifo_backbone(WiFo(config).eval())
    return raw_channel(2, ("flattened",))


def csi(samples=3) -> torch.Tensor:
    return torch.randn(samples, 8, 12, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["raw", "wimamba", "lwm", "lwm_temporal", "wifo"])
class TestEveryInput:
    def test_patches_join_to_the_channel(self, name):
        source = inputs(name)
        torch.testing.assert_close(source.join(source.cut(csi()), (8, 12)), csi(), atol=1e-5, rtol=1e-5)

    def test_each_token_has_its_patch(self, name):
        source = inputs(name)
        assert embed_all(source, csi()).patches.shape[:2] == source.cut(csi()).shape[:2]

    def test_the_scale_of_a_snapshot_is_told_apart_from_its_shape(self, name):
        seen, louder = (embed_all(inputs(name), factor * csi()) for factor in (1.0, 1e-5))
        torch.testing.assert_close(seen.patches, louder.patches, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(seen.scale, 1e5 * louder.scale)

    def test_samples_do_not_meet(self, name):
        source = inputs(name)
        alone = torch.cat([source.embed(one).patches for one in csi().split(1)])
        torch.testing.assert_close(embed_all(source, csi()).patches, alone, rtol=1e-4, atol=1e-4)

    def test_the_representations_named_are_there(self, name):
        source, seen = inputs(name), embed_all(inputs(name), csi())
        for kind in source.representations:
            assert kind in REPRESENTATIONS and (kind == "flattened" or getattr(seen, kind).shape[0] == 3)


def test_late_delays_are_lost_where_the_network_keeps_the_early_ones():
    config = LWMTemporalConfig(patch_size=(2, 3), embed_dim=16, depth=1, num_heads=2, keep_percentage=0.25)
    source = lwm_temporal_backbone(LWMTemporal(config).eval())
    early = to_csi(to_angle_delay(csi(), (1, 1, 8), 3), (1, 1, 8), 12)
    torch.testing.assert_close(source.join(source.cut(csi()), (8, 12)), early, atol=1e-5, rtol=1e-5)
