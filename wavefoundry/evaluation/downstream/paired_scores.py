"""How sure scores of downstream tasks are: trajectories are drawn anew, the same ones for all models.

The same paired bootstrap as in `wavefoundry.evaluation.paired`. A score that is no mean over samples, such as F1, is
computed anew from the samples of every draw.
"""

from collections.abc import Sequence

import numpy as np
import pandas

from wavefoundry.evaluation.downstream.task import DownstreamTask
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.paired import draws


def resampled_scores(
    task: DownstreamTask, samples: pandas.DataFrame, models: Sequence[str], options: Bootstrap
) -> dict[str, pandas.DataFrame]:
    """The deciding score of some models in all resamples.

    Args:
        task: it makes the score of its statistics.
        samples: of this task and one fraction of the labels, columns as
            `wavefoundry.evaluation.results.DOWNSTREAM_SAMPLE_COLUMNS`.
        models: names.
        options: number of resamples and seed.

    Returns:
        by model, a column for each seed, and 1 + resample rows, of which the first is the score measured.

    Raises:
        ValueError: the models were not scored on the same samples.
    """
    chosen = samples[samples["model"].isin(list(models))]
    values = chosen.pivot(index="sample", columns=["model", "seed", "statistic"], values="value").sort_index()
    if values.empty or values.isna().to_numpy().any() or set(models) != set(values.columns.get_level_values("model")):
        raise ValueError(f"{', '.join(models)} were not scored on the same samples")
    trajectories = chosen.drop_duplicates("sample").set_index("sample")["trajectory"].reindex(values.index)
    place, times = draws(trajectories.to_numpy(), options.resamples, np.random.default_rng(options.seed))

    def scored(model: str, seed: int) -> list[float]:
        statistics = {name: values[(model, seed, name)].to_numpy() for name in task.deciding}
        return [task.scores(statistics, drawn[place])[task.metric] for drawn in times]

    seeds = {model: sorted(set(values[model].columns.get_level_values("seed"))) for model in models}
    return {model: pandas.DataFrame({seed: scored(model, seed) for seed in seeds[model]}) for model in models}
