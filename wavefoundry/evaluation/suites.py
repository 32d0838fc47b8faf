"""What suites of questions come to: the error of every predictor under every condition, with intervals.

A condition is an impairment of the known block, or none (`UNIMPAIRED`), over all data sets of the suite. A suite
without impairments has its data sets as conditions.
"""

from collections.abc import Mapping, Sequence

import pandas
import torch

from wavefoundry.csi.impairments import Impairment
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS, differences
from wavefoundry.evaluation.prediction import Question, predict_in_batches
from wavefoundry.evaluation.suite_options import UNIMPAIRED, SuiteOptions
from wavefoundry.networks.capabilities import Predictor

# Figures of single samples.
CONDITION_SAMPLE_COLUMNS = {
    "suite": "string",
    "condition": "string",
    "model": "string",
    "seed": "Int64",
    "question": "string",
    "dataset": "string",
    "sample": "int64",  # its number in the store
    "trajectory": "Int64",  # empty where it is not known
    "nmse": "float64",
}

# Means and differences, as in `wavefoundry.evaluation.paired`.
CONDITION_COLUMNS = {"suite": "string", "condition": "string", **DIFFERENCE_COLUMNS}


def nmse_under(
    predictor: Predictor,
    csi: torch.Tensor,
    question: Question,
    impairment: Impairment,
    chosen: Sequence[int],
    batch_size: int,
) -> torch.Tensor:
    """NMSE of some samples whose known block is impaired.

    Noise and impairment are drawn for all samples, so that each has the noise that it has without the impairment.

    Args:
        predictor: what is judged.
        csi: complex64 (sample, time, antenna, subcarrier), without noise.
        question: what is known and what is asked.
        impairment: of the noisy known block.
        chosen: numbers of the samples.
        batch_size: samples per call of the predictor.

    Returns:
        real float64 (chosen,).
    """
    known, target, wanted = question.split(csi)
    # Not the seed of the noise, whose draws these would repeat.
    drawn = torch.Generator().manual_seed((question.noise_seed + 1) % 2**32)
    impaired = impairment.apply(known, drawn)[chosen]
    found, _ = predict_in_batches(predictor, impaired, wanted, batch_size)
    return nmse(found, target[chosen])


def condition_of(suite: SuiteOptions, dataset: str) -> str:
    """The condition under which a data set is asked about without an impairment."""
    return UNIMPAIRED if suite.impairments else dataset


def condition_differences(
    samples: pandas.DataFrame,
    suites: Mapping[str, SuiteOptions],
    datasets: Mapping[str, Sequence[str]],
    pairs: Mapping[str, Sequence[tuple[str, str]]],
    options: Bootstrap,
) -> pandas.DataFrame:
    """Means of all models under every condition, and differences of some pairs, with intervals.

    Args:
        samples: columns as `CONDITION_SAMPLE_COLUMNS`.
        suites: by name.
        datasets: by question, those on which everybody is compared: of suites that name none.
        pairs: by question, (model, other).
        options: of the bootstrap.

    Returns:
        columns as `CONDITION_COLUMNS` [dB]. A model that lacks one of the data sets of a condition is left out of it.
    """
    found = []
    for name, suite in suites.items():
        own = samples[samples["suite"] == name]
        asked = suite.asked_about(datasets)
        for condition, rows in own.groupby("condition", sort=False):
            means = {
                question: [one for one in names if suite.impairments or one == condition]
                for question, names in asked.items()
            }
            means = {question: names for question, names in means.items() if names}
            table = differences(rows, means, pairs, options)
            table.insert(0, "suite", name)
            table.insert(1, "condition", str(condition))
            found.append(table)
    joined = pandas.concat(found, ignore_index=True) if found else pandas.DataFrame(columns=list(CONDITION_COLUMNS))
    return joined.astype(CONDITION_COLUMNS)
