"""Ready-made studies hold the published data sets as they are published."""

import pytest

from stages.overlay import compose
from stages.params import Params, parse
from tests.parameters import PROJECT

# Carrier [GHz], subcarriers, their spacing [kHz], slots, their duration [ms], rows x columns of the array, scenario,
# line of sight, slowest and fastest user [km/h]. Source: "WiFo: Wireless Foundation Model for Channel Prediction",
# arXiv:2412.08908.
WIFO = """
D1 1.5 128 90 24 1 1x4 UMi NLoS 3-50
D2 1.5 128 180 24 0.5 2x4 RMa NLoS 120-300
D3 1.5 64 90 16 1 1x8 Indoor LoS 0-10
D4 1.5 32 180 16 0.5 4x8 UMa LoS 30-100
D5 2.5 64 180 24 0.5 2x2 RMa NLoS 120-300
D6 2.5 128 90 24 1 2x4 UMi LoS 3-50
D7 2.5 32 360 16 0.5 4x8 UMa LoS 30-100
D8 2.5 64 90 16 1 4x4 Indoor NLoS 0-10
D9 4.9 128 180 24 1 1x4 UMi NLoS 3-50
D10 4.9 64 180 24 0.5 2x4 RMa LoS 120-300
D11 4.9 64 90 16 0.5 4x4 UMa NLoS 30-100
D12 4.9 32 180 16 1 4x8 Indoor LoS 0-10
D13 5.9 64 90 24 0.5 2x8 RMa LoS 120-300
D14 5.9 128 180 24 1 2x4 UMi NLoS 3-50
D15 5.9 64 90 16 1 4x4 Indoor LoS 0-10
D16 5.9 32 360 16 0.5 4x8 UMa NLoS 30-100
D17 3.5 32 180 16 0.5 4x8 UMa NLoS 30-100
D18 6.7 64 180 24 1 4x4 UMi LoS 3-50
D19 28 32 360 16 0.25 4x8 UMa LoS 30-100
"""
MODELS = {"UMi": "umi", "UMa": "uma", "RMa": "rma", "Indoor": "inh"}
NEVER_LEARNT_FROM = {"d17", "d18", "d19"}


@pytest.fixture(scope="module")
def study() -> Params:
    return parse(compose(PROJECT / "studies/tr38901.yaml", PROJECT / "params.yaml"), "studies/tr38901.yaml")


@pytest.mark.parametrize("row", WIFO.strip().splitlines(), ids=lambda row: row.split()[0])
def test_sets_of_wifo_are_those_of_the_published_table(study, row):
    name, carrier, subcarriers, spacing, slots, duration, array, kind, sight, speeds = row.split()
    scenario = study.scenarios[name.lower()]
    twin, ofdm = scenario.twin, scenario.ofdm
    assert twin.carrier_frequency == pytest.approx(1e9 * float(carrier))
    assert (ofdm.subcarriers, ofdm.subcarrier_spacing) == (int(subcarriers), pytest.approx(1e3 * float(spacing)))
    assert (twin.slots, twin.slot_duration) == (int(slots), pytest.approx(1e-3 * float(duration)))
    assert f"{twin.array.rows}x{twin.array.columns}" == array and twin.array.spacing == 0.5
    assert (twin.model, twin.line_of_sight) == (MODELS[kind], sight == "LoS")
    assert [3.6 * speed for speed in twin.speed] == pytest.approx(
        [float(speed) for speed in speeds.split("-")], abs=0.2
    )


def test_sets_on_carriers_of_their_own_are_new_to_everybody(study):
    assert not any(NEVER_LEARNT_FROM & set(study.learnt_by(name)) for name in study.models)
    assert set(study.learnt_by("wifo")) >= {f"d{number}" for number in range(1, 17)}
