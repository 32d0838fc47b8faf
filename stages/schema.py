"""The content of params.yaml: its types, what follows from it, and what must hold between its parts."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from stages.entries import Learners, Methods, Model, Name, Students, Tasks, objective_options, options_of
from stages.scale_out import Workers
from wavefoundry.csi.options import AngleDelay
from wavefoundry.deployment.options import BEST, Register
from wavefoundry.errors import InputError
from wavefoundry.evaluation import options as evaluation
from wavefoundry.evaluation.claim_options import ClaimOptions, FeedbackClaim, PredictionClaim, TaskClaim
from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, UNTRAINED, Downstream
from wavefoundry.evaluation.feedback_options import Feedback
from wavefoundry.evaluation.feedback_options import question as rate_question
from wavefoundry.evaluation.methods import why_not_predict
from wavefoundry.evaluation.suite_options import SuiteOptions
from wavefoundry.evaluation.table_options import TableOptions
from wavefoundry.facts import Facts
from wavefoundry.faults import describe
from wavefoundry.imports.facts import facts_of
from wavefoundry.imports.options import Imported
from wavefoundry.language_models.options import LanguageModelOptions
from wavefoundry.networks.family import families
from wavefoundry.section import Section, Seed
from wavefoundry.twin.options import BUILT_IN_SCENES, RayTracedTwin, Scenario

# Groups of networks that a study trains.
GROUPS = ("pretrain", "teach", "distill")


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


class Params(Content):
    """The content of params.yaml, whose parts fit together."""

    @property
    def datasets(self) -> dict[str, Scenario | Imported]:
        """Everything that becomes a CSI store, generated and imported."""
        return {**self.scenarios, **self.imported}

    def facts(self, dataset: str) -> Facts:
        """What is known of a data set."""
        return facts_of(self.datasets[dataset], self.angle_delay.delay_fraction)

    @property
    def sequences(self) -> list[str]:
        """Data sets in which there is something to predict; the others hold snapshots, of one slot."""
        return [name for name in self.datasets if not self.facts(name).is_snapshot]

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every network that the study trains, in the order of the DAG; seed S of NAME lies in models/NAME/seed_S.

        Raises:
            ValueError: a teacher is unknown or its own student, or the options of a student are not valid.
        """
        found = {
            name: Model(name, group, entry.family, options_of(entry), tuple(entry.held_out), tuple(entry.seeds))
            for group in ("pretrain", "teach")
            for name, entry in getattr(self, group).items()
        }
        waiting = dict(self.distill)
        while waiting:
            ready = [name for name, student in waiting.items() if student.teacher in found]
            if not ready:
                name, student = next(iter(waiting.items()))
                if student.teacher in waiting:
                    raise ValueError(f"distill.{name}.teacher: {student.teacher!r} is taught by its own student")
                known = ", ".join([*self.pretrain, *self.teach, *self.distill])
                raise ValueError(f"distill.{name}.teacher: there is no entry {student.teacher!r}, found: {known}")
            for name in ready:
                found[name] = _student(name, waiting.pop(name), found)
        order = [*self.pretrain, *self.teach, *self.distill]
        return {name: found[name] for name in order}

    def model(self, name: str, groups: Sequence[str] = GROUPS) -> Model:
        """One network that the study trains.

        Raises:
            InputError: none of these groups has such an entry.
        """
        found = [other for other, model in self.models.items() if model.group in groups]
        if name not in found:
            listed = ", ".join(found) or "none"
            raise InputError(f"params.yaml: {', '.join(groups)}: no entry {name!r}, found: {listed}")
        return self.models[name]

    def entry(self, group: str, name: str) -> Any:
        """One entry of `scenarios`, `imported`, `language_models` or `predictors`.

        Raises:
            InputError: no such entry.
        """
        entries = dict(getattr(self, group))
        if name not in entries:
            raise InputError(f"params.yaml: {group} has no entry {name!r}, found: {', '.join(entries) or 'none'}")
        return entries[name]

    def method_options(self, name: str) -> tuple[str, BaseModel]:
        """Method and options of one entry of `predictors`.

        Raises:
            InputError: no such entry.
        """
        entry = self.entry("predictors", name)
        return entry.method, entry

    def objective_name(self, name: str) -> str | None:
        """What a student learns by; None of one that learns alone, and of what is no student."""
        objective = self.distill[name].objective if name in self.distill else None
        return None if objective is None else objective.kind

    def why_not_learn(self, name: str, dataset: str) -> str | None:
        """Why a network does not learn from a data set; None if it does."""
        model = self.models[name]
        if dataset in model.held_out:
            return "it is held out"
        if model.teacher is not None and (reason := self.why_not_learn(model.teacher, dataset)):
            return f"its teacher {model.teacher} does not: {reason}"
        return model.options.why_not(self.facts(dataset))

    def learnt_by(self, name: str) -> list[str]:
        """Data sets on which a network is trained; all others are new to it."""
        return [dataset for dataset in self.datasets if self.why_not_learn(name, dataset) is None]

    def has_learnt(self, name: str, dataset: str) -> bool:
        """Whether a predictor is a network that has learnt from a data set."""
        return name in self.models and dataset in self.learnt_by(name)

    def why_not_predict(self, name: str, question: str, dataset: str) -> str | None:
        """Why a predictor, trained or not, does not answer a question about a data set; None if it does."""
        facts = self.facts(dataset)
        if reason := facts.why_nothing_to_predict:
            return reason
        blocks = self.evaluate.prediction.questions[question].about(dataset)
        if blocks is None:
            return "it is not asked about this data set"
        known, wanted = blocks.sizes(facts.slots, facts.subcarriers)
        for axis, size in zip(("slots", "subcarriers"), wanted, strict=True):
            if getattr(blocks.wanted, axis) and size < 1:
                return f"the known block leaves none of its {getattr(facts, axis)} {axis}"
        if name in self.predictors:
            return why_not_predict(self.method_options(name)[1], known, wanted)
        return self.models[name].options.why_not_predict(facts, known, wanted)

    def answered(self, name: str) -> list[tuple[str, str]]:
        """(question, data set) that a predictor, trained or not, answers."""
        return [
            (question, dataset)
            for question in self.evaluate.prediction.questions
            for dataset in self.datasets
            if self.why_not_predict(name, question, dataset) is None
        ]

    def answered_in(self, suite: str, name: str) -> list[tuple[str, str]]:
        """(question, data set) of a suite that a predictor answers.

        Where the suite names no data sets, these are those that it has learnt from, among which those are on which
        everybody is compared: what is asked of a predictor does not depend on the others.
        """
        options = self.evaluate.prediction.suites[suite]
        return [
            (question, dataset)
            for question, dataset in self.answered(name)
            if question in options.questions
            and (
                dataset in options.datasets
                if options.datasets is not None
                else name in self.predictors or self.why_not_learn(name, dataset) is None
            )
        ]

    def first_answered(self, name: str) -> dict[str, str]:
        """The first data set about which a predictor answers each question; its latency is measured there."""
        found: dict[str, str] = {}
        for question, dataset in self.answered(name):
            found.setdefault(question, dataset)
        return found

    @property
    def answering(self) -> list[str]:
        """Predictors, trained or not, that answer at least one question, in the order of the DAG, methods first."""
        return [name for name in [*self.predictors, *self.models] if self.answered(name)]

    @cached_property
    def compared(self) -> dict[str, list[str]]:
        """Data sets that every predictor that answers a question has learnt from and answers it about, by question: the
        means over data sets are taken over these. Questions that nobody answers are left out."""
        answered = {name: set(self.answered(name)) for name in self.answering}
        found = {}
        for question in self.evaluate.prediction.questions:
            asked = [name for name, pairs in answered.items() if any(other == question for other, _ in pairs)]
            if asked:
                found[question] = [
                    dataset
                    for dataset in self.datasets
                    if all(
                        (question, dataset) in answered[name]
                        and (name in self.predictors or self.why_not_learn(name, dataset) is None)
                        for name in asked
                    )
                ]
        return found

    def embedded(self, name: str) -> list[str]:
        """The data set of whose slots the downstream tasks ask a network for representations; none where they are left
        out, or it gives none."""
        section = self.evaluate.downstream
        if section is None or self.models[name].options.why_not_embed(self.facts(section.channels)):
            return []
        return [section.channels]

    def fed_back(self, name: str) -> list[str]:
        """Data sets whose slots an entry feeds back; none where channel feedback is left out."""
        if self.evaluate.feedback is None:
            return []
        options = self.models[name].options
        return [dataset for dataset in self.datasets if options.why_not_feed_back(self.facts(dataset)) is None]

    @property
    def codecs(self) -> list[str]:
        """Entries that feed back slots of at least one data set."""
        return [name for name in self.models if self.fed_back(name)]

    @property
    def feedback_compared(self) -> list[str]:
        """Data sets that every codec has learnt from and feeds back: means of feedback are taken over these."""
        codecs = self.codecs
        return [
            dataset
            for dataset in self.datasets
            if codecs
            and all(dataset in self.fed_back(name) and self.why_not_learn(name, dataset) is None for name in codecs)
        ]

    @property
    def feedback_compared_at(self) -> dict[str, list[str]]:
        """The same by rate, as the table of results calls it ("5 bits")."""
        section = self.evaluate.feedback
        return {} if section is None else {rate_question(rate): self.feedback_compared for rate in section.rates}

    @property
    def left_out(self) -> list[str]:
        """A sentence for each network and each data set that it does not learn from though it is not held out, and for
        each predictor without training and each question that others answer about a data set and it does not."""
        unread = [
            f"{name} does not learn from {dataset}: {reason}"
            for name, model in self.models.items()
            for dataset in self.datasets
            if dataset not in model.held_out and (reason := self.why_not_learn(name, dataset))
        ]
        answered = {name: set(self.answered(name)) for name in self.predictors}
        asked = dict.fromkeys(pair for pairs in answered.values() for pair in sorted(pairs))
        return unread + [
            f"{name} does not answer {question} about {dataset}: {self.why_not_predict(name, question, dataset)}"
            for name, pairs in answered.items()
            for question, dataset in asked
            if (question, dataset) not in pairs
        ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_names()
        self._check_questions()
        self._check_suites()
        self._check_learning()
        self._check_granularities()
        if self.evaluate.downstream is not None:
            self._check_downstream_data()
            self._check_downstream_inputs()
        self._check_use_of_datasets()
        self._check_claims()
        self._check_tables()
        return self

    def _check_names(self) -> None:
        if not self.datasets:
            raise ValueError("scenarios and imported are both empty; at least one data set is needed")
        taken: dict[str, str] = {}
        for kinds in (("scenarios", "imported"), ("pretrain", "teach", "distill", "predictors")):
            taken.clear()
            for group in kinds:
                for name in getattr(self, group):
                    if name in taken:
                        raise ValueError(f"{group}.{name}: the name is taken by {taken[name]}.{name}")
                    if kinds[0] == "pretrain" and (name in (RAW, RAW_LMMSE, BEST) or name.endswith(UNTRAINED)):
                        raise ValueError(
                            f"{group}.{name}: the name stands for something else in the results; allowed are names "
                            f"other than {RAW}, {RAW_LMMSE} and {BEST} that do not end in {UNTRAINED}"
                        )
                    taken[name] = group
        for name, scenario in self.scenarios.items():
            if isinstance(scenario.twin, RayTracedTwin) and scenario.twin.site.scene not in BUILT_IN_SCENES:
                raise ValueError(
                    f"scenarios.{name}.twin.site.scene is {scenario.twin.site.scene!r}, allowed: "
                    f"{', '.join(BUILT_IN_SCENES)}; a scene of your own goes under imported, with its files"
                )

    def _check_questions(self) -> None:
        for name, question in self.evaluate.prediction.questions.items():
            self._check_datasets(f"evaluate.prediction.questions.{name}.exceptions", question.exceptions)

    def _check_suites(self) -> None:
        for name, suite in self.evaluate.prediction.suites.items():
            key = f"evaluate.prediction.suites.{name}"
            for question in suite.questions:
                self._check_question(f"{key}.questions", question)
            self._check_datasets(f"{key}.datasets", suite.datasets or ())
            for dataset in suite.datasets or ():
                if reason := self.facts(dataset).why_nothing_to_predict:
                    raise ValueError(f"{key}.datasets: {dataset} cannot be asked about: {reason}")

    def _check_learning(self) -> None:
        for name, model in self.models.items():
            key = f"{model.group}.{name}"
            unknown = [dataset for dataset in model.held_out if dataset not in self.datasets]
            if unknown and model.teacher is None:
                found = ", ".join(self.datasets)
                raise ValueError(f"{key}.held_out: there is no data set {unknown[0]!r}, found: {found}")
            for used in model.options.language_models:
                if used not in self.language_models:
                    found = ", ".join(self.language_models) or "none"
                    raise ValueError(
                        f"{key}.language_model: there is no entry {used!r} of language_models, found: {found}"
                    )
            if not self.learnt_by(name):
                told = [f"from {dataset}: {self.why_not_learn(name, dataset)}" for dataset in self.datasets]
                raise ValueError(
                    "\n".join(f"{key}: there is no data set that it can learn from; {one}" for one in told)
                )
            if model.objective is not None:
                teacher = self.models[model.teacher or ""]
                reason = model.objective.why_not(model.family, model.options, teacher.family, teacher.options)
                if reason:
                    raise ValueError(f"{key}.objective {self.objective_name(name)} cannot be used: {reason}")
        for question, datasets in self.compared.items():
            if not datasets:
                raise ValueError(
                    f"evaluate.prediction.questions.{question}: no data set is learnt from by every predictor that "
                    "answers it: there is nothing to compare them on"
                )

    def _check_use_of_datasets(self) -> None:
        section = self.evaluate.downstream
        downstream = () if section is None else (section.channels, section.beams)
        for dataset in self.datasets:
            reasons = {name: model.options.why_not(self.facts(dataset)) for name, model in self.models.items()}
            asked = any(question.about(dataset) for question in self.evaluate.prediction.questions.values())
            predicted = self.predictors and asked and not self.facts(dataset).is_snapshot
            if dataset not in downstream and not predicted and all(reasons.values()):
                key = f"{'scenarios' if dataset in self.scenarios else 'imported'}.{dataset}"
                told = [f"{name}: {reason}" for name, reason in reasons.items()] or ["there is none"]
                raise ValueError("\n".join(f"{key}: no entry can read this data set; {one}" for one in told))

    def _check_claims(self) -> None:
        for name, claim in self.claims.items():
            if isinstance(claim, TaskClaim):
                self._check_task_claim(f"claims.{name}", claim)
            elif isinstance(claim, FeedbackClaim):
                self._check_feedback_claim(f"claims.{name}", claim)
            else:
                self._check_prediction_claim(f"claims.{name}", claim)

    def _check_prediction_claim(self, key: str, claim: PredictionClaim) -> None:
        self._check_question(f"{key}.question", claim.question)
        self._check_datasets(f"{key}.datasets", claim.datasets or ())
        datasets = claim.datasets or self.compared.get(claim.question, [])
        for field, models in (("model", [claim.model]), ("others", claim.others)):
            self._check_answers(f"{key}.{field}", models, claim.question, datasets)

    def _check_feedback_claim(self, key: str, claim: FeedbackClaim) -> None:
        section = self.evaluate.feedback
        if section is None:
            raise ValueError(f"{key}.bits is {claim.bits}, but evaluate.feedback is null")
        if claim.bits not in section.rates:
            allowed = ", ".join(map(str, section.rates))
            raise ValueError(f"{key}.bits is {claim.bits}, allowed are evaluate.feedback.rates: {allowed}")
        self._check_datasets(f"{key}.datasets", claim.datasets or ())
        if not (claim.datasets or self.feedback_compared):
            raise ValueError(f"{key}.datasets is null, and there is no data set that every codec learns and feeds back")
        for field, models in (("model", [claim.model]), ("others", claim.others)):
            for model in models:
                if model not in self.codecs:
                    known = ", ".join(self.codecs) or "none"
                    raise ValueError(f"{key}.{field}: {model!r} is no codec of this study, found: {known}")
                missing = set(claim.datasets or ()) - set(self.fed_back(model))
                if missing:
                    raise ValueError(f"{key}.{field}: {model} does not feed back {', '.join(sorted(missing))}")

    def _check_task_claim(self, key: str, claim: TaskClaim) -> None:
        section = self.evaluate.downstream
        if section is None:
            raise ValueError(f"{key}.task is {claim.task!r}, but evaluate.downstream is null")
        if claim.task not in section.tasks:
            raise ValueError(f"{key}.task is {claim.task!r}, allowed: {', '.join(section.tasks)}")
        if claim.label_fraction not in section.label_fractions:
            raise ValueError(
                f"{key}.label_fraction is {claim.label_fraction}, allowed are evaluate.downstream.label_fractions: "
                f"{', '.join(map(str, section.label_fractions))}"
            )
        scored = self._scored_on(claim, section)
        for field, models in (("model", [claim.model]), ("others", claim.others)):
            for model in models:
                if model not in scored:
                    raise ValueError(
                        f"{key}.{field}: {model!r} has no score of {claim.task!r} with {claim.label_fraction:.0%} of "
                        f"the labels, found: {', '.join(scored)}"
                    )

    def _scored_on(self, claim: TaskClaim, section: Downstream) -> list[str]:
        """What has a score of the task of a claim at its fraction of the labels."""
        networks = [name for name in self.models if self.embedded(name)]
        # A network as it was before any training is a control, and measured at the fraction of the choice alone.
        controls = networks if claim.label_fraction == section.choice_fraction else []
        raw = [RAW, RAW_LMMSE] if section.tasks[claim.task].gives_channels else [RAW]
        return [*raw, *networks, *(name + UNTRAINED for name in controls)]

    def _check_tables(self) -> None:
        for name, table in self.tables.items():
            for question in table.questions:
                self._check_question(f"tables.{name}.questions", question)
            for heading, datasets in table.rows.items():
                self._check_datasets(f"tables.{name}.rows.{heading}", datasets)
                for question in table.questions:
                    self._check_answers(f"tables.{name}.columns", table.columns.values(), question, datasets)
            for entry in table.columns.values():
                if entry not in (known := [*self.predictors, *self.models]):
                    raise ValueError(f"tables.{name}.columns: there is no entry {entry!r}, found: {', '.join(known)}")

    def _check_question(self, key: str, question: str) -> None:
        questions = list(self.evaluate.prediction.questions)
        if question not in questions:
            raise ValueError(f"{key} is {question!r}, allowed: {', '.join(questions)}")

    def _check_datasets(self, key: str, datasets: Iterable[str]) -> None:
        for dataset in datasets:
            if dataset not in self.datasets:
                raise ValueError(f"{key}: no data set {dataset!r}, found: {', '.join(self.datasets)}")

    def _check_answers(self, key: str, models: Iterable[str], question: str, datasets: Sequence[str]) -> None:
        known = (*self.predictors, *self.models)

        def answers(model: str) -> bool:
            return bool(datasets) and all(self.why_not_predict(model, question, one) is None for one in datasets)

        for model in models:
            if model not in known or not answers(model):
                raise ValueError(
                    f"{key}: {model!r} is no predictor that answers {question!r} about its data sets, found: "
                    f"{', '.join(filter(answers, known)) or 'none'}"
                )

    def _check_granularities(self) -> None:
        measured = self.evaluate.efficiency.patch_size
        for name, model in self.models.items():
            sizes = model.options.granularities
            if sizes is not None and measured not in sizes:
                raise ValueError(
                    f"evaluate.efficiency.patch_size is {measured}, allowed are the granularities {sizes} of "
                    f"{model.group}.{name}"
                )

    def _check_downstream_data(self) -> None:
        section = self.evaluate.downstream
        assert section is not None
        for key, name in (("channels", section.channels), ("beams", section.beams)):
            if name not in self.datasets:
                found = ", ".join(self.datasets)
                raise ValueError(f"evaluate.downstream.{key}: there is no data set {name!r}, found: {found}")
            if not self.facts(name).is_linear_array:
                raise ValueError(f"evaluate.downstream.{key}: {name} has no uniform linear array of one polarisation")
        # Whether imported data belong together is seen when they are read.
        pair = [self.scenarios[name].twin for name in (section.channels, section.beams) if name in self.scenarios]
        sites = [(twin.site, twin.base_stations) for twin in pair if isinstance(twin, RayTracedTwin)]
        if len(sites) < len(pair) or (len(sites) == 2 and sites[0] != sites[1]):
            raise ValueError(
                f"evaluate.downstream.channels {section.channels} and evaluate.downstream.beams {section.beams} must "
                "be ray-traced with equal site and base_stations: the beams of a user are labels of its channels"
            )
        antennas = self.facts(section.beams).antennas
        if section.codebook < antennas:
            raise ValueError(
                f"evaluate.downstream.codebook is {section.codebook}, it must be at least the {antennas} antennas of "
                f"{section.beams}"
            )
        for name, task in section.tasks.items():
            if reason := task.why_not(self.facts(section.channels)):
                raise ValueError(f"evaluate.downstream.tasks.{name}: {reason}")

    def _check_downstream_inputs(self) -> None:
        section = self.evaluate.downstream
        assert section is not None
        for name, model in self.models.items():
            sizes = model.options.granularities
            missing = [size for size in section.patch_sizes if sizes is not None and size not in sizes]
            if missing:
                raise ValueError(
                    f"evaluate.downstream.patch_sizes: {model.group}.{name} has no embedding for {missing[0]}, "
                    f"allowed: {', '.join(map(str, sizes or ()))}"
                )
            layers = model.options.tunable_layers
            if section.tuning is not None and layers and section.tuning.layers > layers:
                raise ValueError(
                    f"evaluate.downstream.tuning.layers is {section.tuning.layers}, allowed: at most the depth "
                    f"{layers} of {model.group}.{name}"
                )


def _student(name: str, entry: Any, found: Mapping[str, Model]) -> Model:
    teacher = found[entry.teacher]
    objective = None if entry.objective is None else objective_options(entry.objective)
    if objective is not None and (reason := objective.why_not_families(entry.family, teacher.family)):
        raise ValueError(f"distill.{name}.objective {entry.objective.kind} cannot be used: {reason}")
    try:
        if entry.family == teacher.family:
            options = teacher.options.changed(entry.options)
        else:
            options = families()[entry.family].model_validate(entry.options)
    except ValidationError as error:
        faults = [describe(("distill", name, "options", *fault["loc"]), fault) for fault in error.errors()]
        if entry.family != teacher.family:
            faults.insert(
                0,
                f"distill.{name}.options: the student is a {entry.family} and its teacher {entry.teacher} a "
                f"{teacher.family}, allowed: all options of a {entry.family}",
            )
        raise ValueError("\n".join(faults)) from None
    return Model(
        name,
        "distill",
        entry.family,
        options,
        teacher.held_out,
        tuple(entry.seeds),
        entry.teacher,
        objective,
    )
