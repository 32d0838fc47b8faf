"""Which trained network of an entry is offered to the registry: of several seeds the one with the median score."""

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Candidate:
    """The model of one predictor that is offered to the registry; NMSE by question, over the data sets compared.

    seed: None of a predictor without training.
    """

    name: str
    seed: int | None
    test_nmse_db: dict[str, float]
    validation_nmse_db: dict[str, float]

    @property
    def score_db(self) -> float:
        """What it is judged by: NMSE on the validation split, averaged over the questions."""
        return mean(self.validation_nmse_db.values())

    @property
    def label(self) -> str:
        return "no training" if self.seed is None else f"seed_{self.seed}"


def choose(name: str, test: "pandas.DataFrame", validation: "pandas.DataFrame") -> Candidate:
    """The seed with the median validation NMSE; the better one of the middle two.

    Args:
        name: the predictor.
        test, validation: columns model, question, seed, nmse_db; see `wavefoundry.evaluation.summary.mean_nmse_db`.
    """

    def by_seed(table: "pandas.DataFrame") -> dict[int | None, dict[str, float]]:
        found: dict[int | None, dict[str, float]] = {}
        for row in table[table["model"] == name].to_dict("records"):
            seed = None if row["seed"] != row["seed"] or row["seed"] is None else int(row["seed"])
            found.setdefault(seed, {})[row["question"]] = row["nmse_db"]
        return found

    tested, validated = by_seed(test.astype({"seed": object})), by_seed(validation.astype({"seed": object}))
    candidates = [Candidate(name, seed, tested[seed], validated[seed]) for seed in tested]
    candidates.sort(key=lambda candidate: (mean(candidate.validation_nmse_db.values()), candidate.label))
    return candidates[(len(candidates) - 1) // 2]
