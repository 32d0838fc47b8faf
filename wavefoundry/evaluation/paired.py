"""How sure a mean and a difference are: trajectories are drawn anew, and all predictors see the same ones.

The paired bootstrap of Efron: samples of one trajectory stay together, for they are alike; each data set keeps its
number of trajectories; intervals are quantiles. Predictors that are wrong about the same users differ by less than
their own intervals suggest.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from wavefoundry.evaluation.options import Bootstrap

UNTRAINED = -1  # stands for the seed of what has none

# Columns of the table of differences.
DIFFERENCE_COLUMNS = {
    "question": "string",
    "model": "string",
    "other": "string",  # empty: the row is the mean of `model` itself
    "difference_db": "float64",  # of model from other, below 0 where model is better
    "low_db": "float64",
    "high_db": "float64",
}


def resampled_means_db(
    samples: pandas.DataFrame, datasets: Sequence[str], options: Bootstrap
) -> tuple[list[str], np.ndarray]:
    """Mean NMSE of every model over data sets, in all resamples; row 0 is the one measured.

    As in `wavefoundry.evaluation.summary`: the mean is one of ratios over samples and then over data sets, and one of
    decibels over the seeds of a model. What is told with an interval is what other tables tell.

    Args:
        samples: of one question and split, columns model, seed, dataset, sample, trajectory, nmse; a seed of a model
            that lacks one of the data sets is left out.
        datasets: each of which counts the same.
        options: number of resamples and seed.

    Returns:
        models in the order of the table; [dB] (1 + resample, model).
    """
    generator = np.random.default_rng(options.seed)
    of = {name: _errors(samples[samples["dataset"] == name]) for name in datasets}
    order = samples[["model", "seed"]].drop_duplicates().fillna({"seed": UNTRAINED}).itertuples(index=False, name=None)
    columns = [column for column in order if all(column in errors.columns for errors, _ in of.values())]
    if not columns:  # a question that nobody was asked about these data sets
        return [], np.empty((1 + options.resamples, 0))
    total = np.zeros((1 + options.resamples, len(columns)))
    for errors, trajectories in of.values():
        group, times = draws(trajectories, options.resamples, generator)
        number = times.shape[1]
        drawn = times @ np.bincount(group, minlength=number)
        # One product a column, not one of matrices: equal columns come out equal to the bit.
        for place, column in enumerate(columns):
            total[:, place] += (times @ np.bincount(group, errors[column].to_numpy(), number)) / drawn
    decibels = 10 * np.log10(total / len(datasets))
    models = list(dict.fromkeys(str(model) for model, _ in columns))
    seeds = {name: [place for place, (model, _) in enumerate(columns) if model == name] for name in models}
    means = [decibels[:, seeds[name]].mean(axis=1) for name in models]
    return models, np.stack(means, axis=1)


def tails(options: Bootstrap) -> list[float]:
    """The quantiles at which intervals begin and end."""
    return [(1 - options.level) / 2, (1 + options.level) / 2]


def draws(trajectories: np.ndarray, resamples: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """How often each trajectory is drawn.

    Args:
        trajectories: number of the trajectory of each sample (sample,).
        resamples: how many.
        generator: of the draws.

    Returns:
        place of the trajectory of each sample (sample,), and float64 (1 + resample, place), row 0 with all once.
    """
    _, place = np.unique(trajectories, return_inverse=True)
    number = int(place.max()) + 1
    times = generator.multinomial(number, np.full(number, 1 / number), size=resamples)
    return place, np.concatenate([np.ones((1, number), times.dtype), times]).astype(float)


def _errors(samples: pandas.DataFrame) -> tuple[pandas.DataFrame, np.ndarray]:
    """NMSE (sample x model and seed), and the trajectory of each sample; its own where none is known."""
    errors = samples.fillna({"seed": UNTRAINED}).pivot(index="sample", columns=["model", "seed"], values="nmse")
    errors = errors.sort_index()
    known = samples.drop_duplicates("sample").set_index("sample")["trajectory"].reindex(errors.index)
    # Numbers of samples and of trajectories must not meet.
    alone = -1 - errors.index.to_numpy()
    return errors, np.where(known.isna(), alone, known.fillna(0).astype("int64").to_numpy())


def differences(
    samples: pandas.DataFrame,
    datasets: Mapping[str, Sequence[str]],
    pairs: Mapping[str, Sequence[tuple[str, str]]],
    options: Bootstrap,
) -> pandas.DataFrame:
    """Means of all models and differences of some pairs, with intervals.

    Args:
        samples: of all questions, of one split, columns as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
        datasets: by question, over which the means are taken.
        pairs: by question, (model, other); pairs of which one has no mean are left out.
        options: of the bootstrap.

    Returns:
        columns as `DIFFERENCE_COLUMNS` [dB].
    """
    rows = []
    for question, names in datasets.items():
        models, means = resampled_means_db(samples[samples["question"] == question], names, options)
        decibels = {model: means[:, column] for column, model in enumerate(models)}
        asked: list[tuple[str, str | None]] = [(model, None) for model in models]
        for model, other in [*asked, *pairs.get(question, ())]:
            if model not in decibels or (other is not None and other not in decibels):
                continue
            values = decibels[model] - (0 if other is None else decibels[other])
            low, high = np.quantile(values[1:], tails(options))
            rows.append(
                {
                    "question": question,
                    "model": model,
                    "other": other,
                    "difference_db": values[0],
                    "low_db": low,
                    "high_db": high,
                }
            )
    return pandas.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).astype(DIFFERENCE_COLUMNS)
