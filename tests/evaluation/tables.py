"""Small tables of results."""

import pandas

from wavefoundry.evaluation.results import as_table


def scores(values: dict[tuple, float], split: str = "test") -> pandas.DataFrame:
    """A table of prediction: {(model, seed, data set, question): NMSE as a ratio}."""
    return as_table(
        {
            "evaluation": "prediction",
            "model": model,
            "seed": seed,
            "dataset": dataset,
            "question": question,
            "split": split,
            "metric": "nmse",
            "value": value,
        }
        for (model, seed, dataset, question), value in values.items()
    )
