"""What must hold between the parts of params.yaml, beyond the type of each."""

from collections.abc import Iterable, Sequence

from stages.content import DownstreamTasks
from stages.derived import Derived
from wavefoundry.deployment.options import BEST
from wavefoundry.evaluation.claim_options import FeedbackClaim, PredictionClaim, TaskClaim
from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, UNTRAINED, Downstream
from wavefoundry.twin.options import BUILT_IN_SCENES, RayTracedTwin


def check(study: Derived) -> None:
    """Make sure that the parts fit together.

    Raises:
        ValueError: those that do not, with key, value and what is allowed.
    """
    _check_names(study)
    _check_questions(study)
    _check_suites(study)
    _check_learning(study)
    _check_granularities(study)
    if study.evaluate.downstream is not None:
        _check_downstream_data(study, study.evaluate.downstream)
        _check_downstream_inputs(study, study.evaluate.downstream)
    _check_use_of_datasets(study)
    _check_claims(study)
    _check_tables(study)


def _check_names(study: Derived) -> None:
    if not study.datasets:
        raise ValueError("scenarios and imported are both empty; at least one data set is needed")
    taken: dict[str, str] = {}
    for kinds in (("scenarios", "imported"), ("pretrain", "teach", "distill", "predictors")):
        taken.clear()
        for group in kinds:
            for name in getattr(study, group):
                if name in taken:
                    raise ValueError(f"{group}.{name}: the name is taken by {taken[name]}.{name}")
                if kinds[0] == "pretrain" and (name in (RAW, RAW_LMMSE, BEST) or name.endswith(UNTRAINED)):
                    raise ValueError(
                        f"{group}.{name}: the name stands for something else in the results; allowed are names "
                        f"other than {RAW}, {RAW_LMMSE} and {BEST} that do not end in {UNTRAINED}"
                    )
                taken[name] = group
    for name, scenario in study.scenarios.items():
        if isinstance(scenario.twin, RayTracedTwin) and scenario.twin.site.scene not in BUILT_IN_SCENES:
            raise ValueError(
                f"scenarios.{name}.twin.site.scene is {scenario.twin.site.scene!r}, allowed: "
                f"{', '.join(BUILT_IN_SCENES)}; a scene of your own goes under imported, with its files"
            )


def _check_questions(study: Derived) -> None:
    for name, question in study.evaluate.prediction.questions.items():
        _check_datasets(study, f"evaluate.prediction.questions.{name}.exceptions", question.exceptions)


def _check_suites(study: Derived) -> None:
    for name, suite in study.evaluate.prediction.suites.items():
        key = f"evaluate.prediction.suites.{name}"
        for question in suite.questions:
            _check_question(study, f"{key}.questions", question)
        _check_datasets(study, f"{key}.datasets", suite.datasets or ())
        for dataset in suite.datasets or ():
            if reason := study.facts(dataset).why_nothing_to_predict:
                raise ValueError(f"{key}.datasets: {dataset} cannot be asked about: {reason}")


def _check_learning(study: Derived) -> None:
    for name, model in study.models.items():
        key = f"{model.group}.{name}"
        unknown = [dataset for dataset in model.held_out if dataset not in study.datasets]
        if unknown and model.teacher is None:
            found = ", ".join(study.datasets)
            raise ValueError(f"{key}.held_out: there is no data set {unknown[0]!r}, found: {found}")
        for used in model.options.language_models:
            if used not in study.language_models:
                found = ", ".join(study.language_models) or "none"
                raise ValueError(f"{key}.language_model: there is no entry {used!r} of language_models, found: {found}")
        if not study.learnt_by(name):
            told = [f"from {dataset}: {study.why_not_learn(name, dataset)}" for dataset in study.datasets]
            raise ValueError("\n".join(f"{key}: there is no data set that it can learn from; {one}" for one in told))
        if model.objective is not None:
            teacher = study.models[model.teacher or ""]
            reason = model.objective.why_not(model.family, model.options, teacher.family, teacher.options)
            if reason:
                raise ValueError(f"{key}.objective {study.objective_name(name)} cannot be used: {reason}")
    for question, datasets in study.compared.items():
        if not datasets:
            raise ValueError(
                f"evaluate.prediction.questions.{question}: no data set is learnt from by every predictor that "
                "answers it: there is nothing to compare them on"
            )


def _check_use_of_datasets(study: Derived) -> None:
    section = study.evaluate.downstream
    downstream = () if section is None else (section.channels, section.beams)
    for dataset in study.datasets:
        reasons = {name: model.options.why_not(study.facts(dataset)) for name, model in study.models.items()}
        asked = any(question.about(dataset) for question in study.evaluate.prediction.questions.values())
        predicted = study.predictors and asked and not study.facts(dataset).is_snapshot
        if dataset not in downstream and not predicted and all(reasons.values()):
            key = f"{'scenarios' if dataset in study.scenarios else 'imported'}.{dataset}"
            told = [f"{name}: {reason}" for name, reason in reasons.items()] or ["there is none"]
            raise ValueError("\n".join(f"{key}: no entry can read this data set; {one}" for one in told))


def _check_claims(study: Derived) -> None:
    for name, claim in study.claims.items():
        if isinstance(claim, TaskClaim):
            _check_task_claim(study, f"claims.{name}", claim)
        elif isinstance(claim, FeedbackClaim):
            _check_feedback_claim(study, f"claims.{name}", claim)
        else:
            _check_prediction_claim(study, f"claims.{name}", claim)


def _check_prediction_claim(study: Derived, key: str, claim: PredictionClaim) -> None:
    _check_question(study, f"{key}.question", claim.question)
    _check_datasets(study, f"{key}.datasets", claim.datasets or ())
    datasets = claim.datasets or study.compared.get(claim.question, [])
    for field, models in (("model", [claim.model]), ("others", claim.others)):
        _check_answers(study, f"{key}.{field}", models, claim.question, datasets)


def _check_feedback_claim(study: Derived, key: str, claim: FeedbackClaim) -> None:
    section = study.evaluate.feedback
    if section is None:
        raise ValueError(f"{key}.bits is {claim.bits}, but evaluate.feedback is null")
    if claim.bits not in section.rates:
        allowed = ", ".join(map(str, section.rates))
        raise ValueError(f"{key}.bits is {claim.bits}, allowed are evaluate.feedback.rates: {allowed}")
    _check_datasets(study, f"{key}.datasets", claim.datasets or ())
    if not (claim.datasets or study.feedback_compared):
        raise ValueError(f"{key}.datasets is null, and there is no data set that every codec learns and feeds back")
    for field, models in (("model", [claim.model]), ("others", claim.others)):
        for model in models:
            if model not in study.codecs:
                known = ", ".join(study.codecs) or "none"
                raise ValueError(f"{key}.{field}: {model!r} is no codec of this study, found: {known}")
            missing = set(claim.datasets or ()) - set(study.fed_back(model))
            if missing:
                raise ValueError(f"{key}.{field}: {model} does not feed back {', '.join(sorted(missing))}")


def _check_task_claim(study: Derived, key: str, claim: TaskClaim) -> None:
    section = study.evaluate.downstream
    if section is None:
        raise ValueError(f"{key}.task is {claim.task!r}, but evaluate.downstream is null")
    if claim.task not in section.tasks:
        raise ValueError(f"{key}.task is {claim.task!r}, allowed: {', '.join(section.tasks)}")
    if claim.label_fraction not in section.label_fractions:
        raise ValueError(
            f"{key}.label_fraction is {claim.label_fraction}, allowed are evaluate.downstream.label_fractions: "
            f"{', '.join(map(str, section.label_fractions))}"
        )
    scored = _scored_on(study, claim, section)
    for field, models in (("model", [claim.model]), ("others", claim.others)):
        for model in models:
            if model not in scored:
                raise ValueError(
                    f"{key}.{field}: {model!r} has no score of {claim.task!r} with {claim.label_fraction:.0%} of "
                    f"the labels, found: {', '.join(scored)}"
                )


def _scored_on(study: Derived, claim: TaskClaim, section: Downstream) -> list[str]:
    """What has a score of the task of a claim at its fraction of the labels."""
    networks = [name for name in study.models if study.embedded(name)]
    # A network as it was before any training is a control, and measured at the fraction of the choice alone.
    controls = networks if claim.label_fraction == section.choice_fraction else []
    raw = [RAW, RAW_LMMSE] if section.tasks[claim.task].gives_channels else [RAW]
    return [*raw, *networks, *(name + UNTRAINED for name in controls)]


def _check_tables(study: Derived) -> None:
    for name, table in study.tables.items():
        for question in table.questions:
            _check_question(study, f"tables.{name}.questions", question)
        for heading, datasets in table.rows.items():
            _check_datasets(study, f"tables.{name}.rows.{heading}", datasets)
            for question in table.questions:
                _check_answers(study, f"tables.{name}.columns", table.columns.values(), question, datasets)
        for entry in table.columns.values():
            if entry not in (known := [*study.predictors, *study.models]):
                raise ValueError(f"tables.{name}.columns: there is no entry {entry!r}, found: {', '.join(known)}")


def _check_question(study: Derived, key: str, question: str) -> None:
    questions = list(study.evaluate.prediction.questions)
    if question not in questions:
        raise ValueError(f"{key} is {question!r}, allowed: {', '.join(questions)}")


def _check_datasets(study: Derived, key: str, datasets: Iterable[str]) -> None:
    for dataset in datasets:
        if dataset not in study.datasets:
            raise ValueError(f"{key}: no data set {dataset!r}, found: {', '.join(study.datasets)}")


def _check_answers(study: Derived, key: str, models: Iterable[str], question: str, datasets: Sequence[str]) -> None:
    known = (*study.predictors, *study.models)

    def answers(model: str) -> bool:
        return bool(datasets) and all(study.why_not_predict(model, question, one) is None for one in datasets)

    for model in models:
        if model not in known or not answers(model):
            raise ValueError(
                f"{key}: {model!r} is no predictor that answers {question!r} about its data sets, found: "
                f"{', '.join(filter(answers, known)) or 'none'}"
            )


def _check_granularities(study: Derived) -> None:
    measured = study.evaluate.efficiency.patch_size
    for name, model in study.models.items():
        sizes = model.options.granularities
        if sizes is not None and measured not in sizes:
            raise ValueError(
                f"evaluate.efficiency.patch_size is {measured}, allowed are the granularities {sizes} of "
                f"{model.group}.{name}"
            )


def _check_downstream_data(study: Derived, section: DownstreamTasks) -> None:
    for key, name in (("channels", section.channels), ("beams", section.beams)):
        if name not in study.datasets:
            found = ", ".join(study.datasets)
            raise ValueError(f"evaluate.downstream.{key}: there is no data set {name!r}, found: {found}")
        if not study.facts(name).is_linear_array:
            raise ValueError(f"evaluate.downstream.{key}: {name} has no uniform linear array of one polarisation")
    # Whether imported data belong together is seen when they are read.
    pair = [study.scenarios[name].twin for name in (section.channels, section.beams) if name in study.scenarios]
    sites = [(twin.site, twin.base_stations) for twin in pair if isinstance(twin, RayTracedTwin)]
    if len(sites) < len(pair) or (len(sites) == 2 and sites[0] != sites[1]):
        raise ValueError(
            f"evaluate.downstream.channels {section.channels} and evaluate.downstream.beams {section.beams} must "
            "be ray-traced with equal site and base_stations: the beams of a user are labels of its channels"
        )
    antennas = study.facts(section.beams).antennas
    if section.codebook < antennas:
        raise ValueError(
            f"evaluate.downstream.codebook is {section.codebook}, it must be at least the {antennas} antennas of "
            f"{section.beams}"
        )
    for name, task in section.tasks.items():
        if reason := task.why_not(study.facts(section.channels)):
            raise ValueError(f"evaluate.downstream.tasks.{name}: {reason}")


def _check_downstream_inputs(study: Derived, section: DownstreamTasks) -> None:
    for name, model in study.models.items():
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
