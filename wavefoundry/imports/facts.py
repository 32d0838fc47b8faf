"""Facts of a data set, generated or imported."""

from wavefoundry.facts import Facts
from wavefoundry.imports.options import Imported, ImportedArrays, ImportedDeepMIMO
from wavefoundry.twin.options import RayTracedTwin, Scenario


def facts_of(dataset: Scenario | Imported, delay_fraction: float) -> Facts:
    """What the parameters of a data set say of its samples.

    Args:
        dataset: its entry in params.yaml.
        delay_fraction: share of the delay bins that angle-delay maps keep.
    """
    slots, antennas, subcarriers = dataset.shape
    array = dataset.array
    subject = dataset if isinstance(dataset, ImportedArrays | ImportedDeepMIMO) else dataset.twin
    band = dataset if isinstance(dataset, ImportedArrays) else dataset.ofdm
    timing = subject.site.sampling if isinstance(subject, RayTracedTwin) else subject
    return Facts(
        slots=slots,
        antennas=antennas,
        subcarriers=subcarriers,
        array=(array.polarisations, array.rows, array.columns),
        delay_fraction=delay_fraction,
        antenna_spacing=array.spacing,
        slot_duration=timing.slot_duration,
        subcarrier_spacing=band.subcarrier_spacing,
        carrier_frequency=subject.carrier_frequency,
    )
