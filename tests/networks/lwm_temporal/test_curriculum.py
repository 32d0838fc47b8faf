"""The curriculum of masked channel modelling, epoch by epoch."""

from types import SimpleNamespace

import pytest

from wavefoundry.networks.lwm_temporal.curriculum import MaskingCurriculum
from wavefoundry.networks.lwm_temporal.options import Masking


def masking(**changes):
    values = {
        "strategies": ["random", "rect", "tube"],
        "min_mask_ratio": 0.4,
        "max_mask_ratio": 0.6,
        "warmup_epochs": 4,
        "curriculum": "ratio",
    }
    return Masking(**values | changes)


def test_ratio_rises_linearly_and_stays():
    curriculum = MaskingCurriculum(masking())
    assert [curriculum.ratio(epoch) for epoch in range(6)] == pytest.approx([0.4, 0.45, 0.5, 0.55, 0.6, 0.6])
    assert curriculum.strategies(0) == ["random", "rect", "tube"]


def test_strategies_join_one_by_one_at_the_full_ratio():
    curriculum = MaskingCurriculum(masking(curriculum="strategies"))
    assert [len(curriculum.strategies(epoch)) for epoch in range(6)] == [1, 1, 2, 2, 3, 3]
    assert curriculum.strategies(2) == ["random", "rect"]
    assert {curriculum.ratio(epoch) for epoch in range(6)} == {0.6}


@pytest.mark.parametrize("curriculum", ["ratio", "strategies"])
def test_no_warm_up_starts_with_everything(curriculum):
    begun = MaskingCurriculum(masking(curriculum=curriculum, warmup_epochs=0))
    model = SimpleNamespace()
    begun.on_epoch_begin(None, SimpleNamespace(epoch=None), None, model=model)
    assert model.mask_ratio == 0.6 and model.mask_strategies == ["random", "rect", "tube"]
