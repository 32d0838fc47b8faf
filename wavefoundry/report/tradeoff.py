"""The report's section on which predictor to take where time, memory and energy are short."""

from collections.abc import Sequence

from wavefoundry.evaluation.tradeoff import Tradeoff, front_of
from wavefoundry.report.tables import markdown_table, significant

ENERGY = (
    "Energy is that of one prediction, too: all that the processor spent meanwhile, without the memory; a dash where "
    "it was not measured."
)


def tradeoff_section(found: Sequence[Tradeoff], question: str, picture: str) -> str:
    """Markdown: every predictor, the best first, and whether another one is both better and cheaper.

    Energy is told where that of any predictor was measured.

    Args:
        found: the predictors.
        question: that they answer.
        picture: file that `wavefoundry.plots.tradeoff` has drawn, as the report links it.
    """
    measured = any(one.energy_mj is not None for one in found)
    by_latency, by_size, by_energy = (front_of(found, cost) for cost in ("latency_ms", "mebibytes", "energy_mj"))
    header = ["model", f"{question} [dB]", "latency in PyTorch [ms]", "weights [MiB]"]
    header += ["energy [mJ]"] if measured else []
    header += ["front by latency", "front by size"] + (["front by energy"] if measured else [])
    rows = []
    for one in sorted(found, key=lambda one: one.nmse_db):
        row = [one.model, f"{one.nmse_db:.2f}", significant(one.latency_ms, 2), f"{one.mebibytes:.2f}"]
        row += [_number(one.energy_mj)] if measured else []
        fronts = [by_latency, by_size] + ([by_energy] if measured else [])
        rows.append(row + ["yes" if one.model in front else "-" for front in fronts])
    note = (
        "On the front is who is beaten by no other predictor in error and cost at once. Latency is that of one "
        "prediction on one thread, of the network as it was trained, not of its served form; weights are counted in "
        "single precision."
    )
    return "\n\n".join(
        [f"{note} {ENERGY}" if measured else note, f"![Error against cost]({picture})", markdown_table(header, rows)]
    )


def _number(energy: float | None) -> str:
    return "-" if energy is None else significant(energy, 3)
