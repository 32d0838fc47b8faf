"""The report's section on data sets: what each one is, in a sentence, and its figures."""

from collections.abc import Mapping, Sequence

from wavefoundry.facts import Facts
from wavefoundry.imports.options import Imported, ImportedArrays, ImportedDeepMIMO, ImportedScene
from wavefoundry.report.tables import summary_table
from wavefoundry.twin.options import RayTracedTwin, Scenario

# Figures of a summary whose names end in a unit, looked up in this order: the unit in which they are told, and the
# factor to it. What ends in seconds is a delay.
UNITS = {"_m_s": ("m/s", 1.0), "_db": ("dB", 1.0), "_s": ("ns", 1e9)}
MODELS = {
    "umi": "UMi", "uma": "UMa", "rma": "RMa", "inh": "InH", "inf_sl": "InF-SL", "inf_dl": "InF-DL", "inf_sh": "InF-SH",
    "inf_dh": "InF-DH",
}  # fmt: skip


def dataset_sentence(
    name: str,
    dataset: Scenario | Imported,
    facts: Facts,
    line_of_sight: float | None,
    learners: Sequence[str],
    held_out: Sequence[str],
    networks: Sequence[str],
) -> str:
    """What a data set is, in markdown.

    Args:
        name: its entry.
        dataset: its parameters.
        facts: of its samples.
        line_of_sight: share of the samples with line of sight; None where it is not known.
        learners: networks that learn from it.
        held_out: networks from which it is held out.
        networks: all of the study.
    """
    polarisations, rows, columns = facts.array
    array = f"{rows} x {columns} antennas" + (" of two polarisations" if polarisations == 2 else "")
    slots = f"{facts.slots} slots of {1e3 * facts.slot_duration:g} ms"
    if facts.is_snapshot:
        slots = f"one slot of {1e3 * facts.slot_duration:g} ms"
    sight = "line of sight not known" if line_of_sight is None else f"{line_of_sight:.0%} of them in line of sight"
    told = (
        f"**{name}**: {origin(dataset)} at {facts.carrier_frequency / 1e9:g} GHz, {array}; samples of {slots} and "
        f"{facts.subcarriers} subcarriers {facts.subcarrier_spacing / 1e3:g} kHz apart, {sight}. "
    )
    told += f"Networks that learn from it: {_listed(learners, networks)}"
    return told + (f"; held out from: {_listed(held_out, networks)}." if held_out else ".")


def origin(dataset: Scenario | Imported) -> str:
    """Where the channels of a data set come from: a scene, a channel model, or files."""
    if isinstance(dataset, ImportedArrays):
        return f"channels imported from {dataset.files}"
    if isinstance(dataset, ImportedDeepMIMO):
        return f"paths of DeepMIMO imported from {dataset.files}"
    if isinstance(dataset.twin, RayTracedTwin):
        scene = "imported scene" if isinstance(dataset, ImportedScene) else "scene"
        return f"ray-traced in the {scene} {dataset.twin.site.scene}"
    sight = "with" if dataset.twin.line_of_sight else "without"
    return f"drawn from the channel model {MODELS[dataset.twin.model]} of TR 38.901 {sight} line of sight"


def figures_table(summaries: Mapping[str, Mapping[str, object]]) -> str:
    """The figures of all data sets side by side, a column each, delays in ns.

    Args:
        summaries: {data set: {figure: value}}, as stages write them: the names of figures end in `_s`, `_m_s` or `_db`
            where they have a unit.
    """
    return summary_table({name: dict(map(_with_unit, summary.items())) for name, summary in summaries.items()})


def _listed(names: Sequence[str], networks: Sequence[str]) -> str:
    if not names:
        return "none"
    return "all" if len(names) == len(networks) else ", ".join(names)


def _with_unit(figure: tuple[str, object]) -> tuple[str, object]:
    name, value = figure
    for ending, (unit, factor) in UNITS.items():
        if name.endswith(ending) and isinstance(value, int | float):
            return f"{name.removesuffix(ending)} [{unit}]", factor * value
    return name, value
