"""The report's section on which predictor to take where time and memory are short."""

from collections.abc import Sequence

from wavefoundry.evaluation.tradeoff import Tradeoff, pareto_front
from wavefoundry.report.tables import markdown_table


def tradeoff_section(found: Sequence[Tradeoff], question: str, picture: str) -> str:
    """Markdown: every predictor, the best first, and whether another one is both better and cheaper.

    Args:
        found: the predictors.
        question: that they answer.
        picture: file that `wavefoundry.plots.tradeoff` has drawn, as the report links it.
    """
    by_latency = pareto_front({one.model: (one.latency_ms, one.nmse_db) for one in found})
    by_size = pareto_front({one.model: (one.mebibytes, one.nmse_db) for one in found})
    rows = [
        [
            one.model,
            f"{one.nmse_db:.2f}",
            f"{one.latency_ms:.1f}",
            f"{one.mebibytes:.2f}",
            "yes" if one.model in by_latency else "-",
            "yes" if one.model in by_size else "-",
        ]
        for one in sorted(found, key=lambda one: one.nmse_db)
    ]
    header = ["model", f"{question} [dB]", "latency [ms]", "weights [MiB]", "front by latency", "front by size"]
    return "\n\n".join(
        [
            "On the front is who is beaten by no other predictor in error and cost at once. Latency is that of one "
            "prediction on one thread, of the network as it was trained, not of its served form; weights are counted "
            "in single precision.",
            f"![Error against cost]({picture})",
            markdown_table(header, rows),
        ]
    )
