"""The questions of the study, as they are asked about single data sets."""

from typing import TYPE_CHECKING

from stages import params

if TYPE_CHECKING:
    from wavefoundry.evaluation.prediction import Question


def question_about(parameters: params.Params, name: str, dataset: str) -> "Question":
    """A question of the study, as it is asked about a data set that it is asked about."""
    from wavefoundry.evaluation.prediction import Question

    section = parameters.evaluate.prediction
    blocks = section.questions[name].about(dataset)
    assert blocks is not None
    return Question(blocks, section.snr_db, section.noise_seed)
