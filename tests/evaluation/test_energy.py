"""Energy of calls by counters in a folder like that of the kernel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.evaluation.energy import counters, millijoules

RANGE = 262_143_328_850


@pytest.fixture(scope="module")
def powercap(tmp_path_factory):
    """Makes the folder with one zone for each (name of the folder, name of the zone, counter)."""

    def make(*zones):
        folder = tmp_path_factory.mktemp("powercap")
        (folder / "intel-rapl").mkdir()
        for place, name, counter in zones:
            zone = folder / place
            zone.mkdir()
            (zone / "name").write_text(f"{name}\n")
            (zone / "max_energy_range_uj").write_text(f"{RANGE}\n")
            (zone / "energy_uj").write_text(f"{counter}\n")
        return folder

    return make


@given(start=st.integers(0, RANGE - 1), spent=st.integers(1, RANGE // 100), calls=st.integers(1, 20))
def test_the_energy_is_what_each_call_spends_though_the_counter_comes_round(powercap, start, spent, calls):
    folder = powercap(("intel-rapl:0", "package-0", start))

    def call():
        file = folder / "intel-rapl:0/energy_uj"
        file.write_text(f"{(int(file.read_text()) + spent) % RANGE}\n")

    assert millijoules(call, calls, folder) == pytest.approx(spent / 1e3)


def test_all_packages_count_and_neither_their_parts_nor_what_holds_them(powercap):
    folder = powercap(
        ("intel-rapl:0", "package-0", 10), ("intel-rapl:0:0", "core", 5), ("intel-rapl:0:1", "dram", 5),
        ("intel-rapl:1", "package-1", RANGE - 1), ("intel-rapl:2", "psys", 7), ("intel-rapl-mmio:0", "package-0", 10),
    )  # fmt: skip

    def call():
        for place in ("0", "0:0", "0:1", "1", "2"):
            file = folder / f"intel-rapl:{place}/energy_uj"
            file.write_text(str((int(file.read_text()) + 3000) % RANGE))

    assert [counter.file.parent.name for counter in counters(folder)] == ["intel-rapl:0", "intel-rapl:1"]
    assert millijoules(call, 4, folder) == pytest.approx(6.0)


def test_nothing_is_said_where_the_machine_does_not_tell(powercap, tmp_path):
    called = []
    assert millijoules(lambda: called.append(1), 3, tmp_path / "missing") is None
    assert millijoules(lambda: called.append(1), 3, powercap(("intel-rapl:0", "psys", 10))) is None
    damaged = powercap(("intel-rapl:0", "package-0", 10), ("intel-rapl:1", "package-1", "no number"))
    assert counters(damaged) == [] and millijoules(lambda: called.append(1), 3, damaged) is None
    lost = powercap(("intel-rapl:0", "package-0", 10))
    (lost / "intel-rapl:0/max_energy_range_uj").unlink()
    assert millijoules(lambda: called.append(1), 3, lost) is None
    # Nobody is called in vain.
    assert not called
    resting = powercap(("intel-rapl:0", "package-0", 10))
    assert millijoules(lambda: called.append(1), 3, resting) is None and len(called) == 3
    gone = powercap(("intel-rapl:0", "package-0", 10))
    assert millijoules((gone / "intel-rapl:0/energy_uj").unlink, 1, gone) is None
