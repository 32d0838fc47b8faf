"""What a prediction costs: error against latency, size and energy, and which predictors no other one beats in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas

from wavefoundry.evaluation.summary import energies_mj, latencies_ms, mean_nmse_db, parameter_counts

Cost = Literal["latency_ms", "mebibytes", "energy_mj"]
BYTES = 4  # of a weight in single precision


@dataclass(frozen=True)
class Tradeoff:
    """One predictor.

    model: its name.
    nmse_db: mean over data sets and seeds, on the test split.
    latency_ms: of one prediction on one thread.
    mebibytes: of its weights in single precision; 0 of one without any.
    energy_mj: of one prediction; None where it was not measured.
    """

    model: str
    nmse_db: float
    latency_ms: float
    mebibytes: float
    energy_mj: float | None


def tradeoffs(
    table: pandas.DataFrame, measured: pandas.DataFrame, question: str, datasets: Sequence[str]
) -> list[Tradeoff]:
    """Every predictor that answers a question about all of these data sets, and whose latency was measured.

    Args:
        table, measured: of results.
        question: the question.
        datasets: over which the mean is taken.
    """
    means = mean_nmse_db(table, {question: datasets}, "test").groupby("model", sort=False)["nmse_db"].mean()
    latencies, weights, energies = latencies_ms(measured), parameter_counts(table), energies_mj(measured)
    return [
        Tradeoff(
            str(model),
            float(value),
            latencies[str(model)],
            weights.get(str(model), 0) * BYTES / 2**20,
            energies.get(str(model)),
        )
        for model, value in means.items()
        if model in latencies
    ]


def front_of(found: Sequence[Tradeoff], cost: Cost) -> list[str]:
    """Those that no other one beats in error and one of the costs, the cheapest first; who has no such cost is not
    among them."""
    places = {one.model: (getattr(one, cost), one.nmse_db) for one in found}
    return pareto_front({model: place for model, place in places.items() if place[0] is not None})


def pareto_front(costs: Mapping[str, tuple[float, float]]) -> list[str]:
    """Those than which no other one costs less in one respect and no more in the other, the cheapest in the first
    respect first."""
    front: list[str] = []
    for name, (_, second) in sorted(costs.items(), key=lambda item: item[1]):
        if not front or second < costs[front[-1]][1] or costs[name] == costs[front[-1]]:
            front.append(name)
    return front
