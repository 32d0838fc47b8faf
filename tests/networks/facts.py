"""Facts of small data sets."""

from wavefoundry.facts import Facts


def facts(slots: int = 8, antennas: int = 8, subcarriers: int = 16, array=None, delay_fraction: float = 1.0) -> Facts:
    """Of a uniform linear array unless `array` (polarisations, rows, columns) is given."""
    return Facts(
        slots=slots,
        antennas=antennas,
        subcarriers=subcarriers,
        array=array or (1, 1, antennas),
        delay_fraction=delay_fraction,
        antenna_spacing=0.5,
        slot_duration=5e-4,
        subcarrier_spacing=180e3,
        carrier_frequency=3.5e9,
    )
