"""What follows from the content of params.yaml: who learns from what, who answers what, what is compared."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from stages.content import Content
from stages.entries import Model, objective_options, options_of
from wavefoundry.errors import InputError
from wavefoundry.evaluation.feedback_options import question as rate_question
from wavefoundry.evaluation.methods import why_not_predict
from wavefoundry.facts import Facts
from wavefoundry.faults import describe
from wavefoundry.imports.facts import facts_of
from wavefoundry.imports.options import Imported
from wavefoundry.networks.family import families
from wavefoundry.twin.options import Scenario

# Groups of networks that a study trains.
GROUPS = ("pretrain", "teach", "distill")


class Derived(Content):
    """The content of params.yaml with what follows from it."""

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
