"""The keys of params.yaml and their types, each by itself."""

from typing import Annotated

from pydantic import Field

from stages.entries import Learners, Methods, Name, Students, Tasks
from stages.scale_out import Workers
from wavefoundry.csi.options import AngleDelay
from wavefoundry.deployment.options import Register
from wavefoundry.evaluation import options as evaluation
from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.evaluation.downstream.options import Downstream
from wavefoundry.evaluation.feedback_options import Feedback
from wavefoundry.evaluation.suite_options import SuiteOptions
from wavefoundry.evaluation.table_options import TableOptions
from wavefoundry.imports.options import Imported
from wavefoundry.language_models.options import LanguageModelOptions
from wavefoundry.section import Section, Seed
from wavefoundry.twin.options import Scenario


class Prediction(evaluation.Prediction):
    """Questions and suites have names like entries."""

    questions: Annotated[dict[Name, evaluation.QuestionOptions], Field(min_length=1)]
    suites: dict[Name, SuiteOptions]


class DownstreamTasks(Downstream):
    """Tasks are told apart by the names of their files."""

    tasks: Annotated[Tasks, Field(min_length=1)]


class Evaluate(Section):
    """What is evaluated of every entry that can do it."""

    prediction: Prediction
    downstream: DownstreamTasks | None = Field(description="null leaves the downstream tasks out")
    feedback: Feedback | None = Field(description="null leaves channel feedback out")
    efficiency: evaluation.Efficiency


class Content(Section):
    """The content of params.yaml, each key by itself."""

    seed: Seed = Field(description="of the data sets; trainings have seeds of their own")
    workers: Workers
    scenarios: dict[Name, Scenario]
    imported: dict[Name, Annotated[Imported, Field(discriminator="kind")]]
    angle_delay: AngleDelay
    language_models: dict[Name, LanguageModelOptions]
    pretrain: Learners
    teach: Learners
    distill: Students
    predictors: Methods
    evaluate: Evaluate
    claims: dict[Name, ClaimOptions]
    tables: dict[Name, TableOptions]
    register_: Register = Field(alias="register")
