"""Stage register: predictors into the MLflow registry; alias "champion" only for what passes the gate.

One version of each predictor: of several seeds the one with the median NMSE on the validation split. It is registered
in a form that runs without this project; the run keeps its model folder. A version becomes champion when one prediction
takes at most `register.latency_limit_ms`, and none stands or its NMSE on the validation split in dB, averaged over the
questions, is lower than the standing champion's by more than `register.margin_db`; the test split is told and decides
nothing. Both are judged alike: when the held-out data or the code that scores have changed since, the standing champion
is scored anew, by the code registered with it.

What only tries something leaves the champions as they are: an experiment of DVC, and a run of the flow with parameters
of its own, register new versions without an alias. So does whoever asks other questions, or at another SNR, than the
standing champion was judged by. `python -m stages.register --promote NAME VERSION` makes such a version champion.

The name `predictor` stands for the best of all entries that answer every question in time, chosen by the validation
split; its champion is what somebody loads who asks for no network in particular.

`python -m stages.register --rollback NAME` gives the alias back to the champion before; the version that had it is
marked as demoted and stays out of the race.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from stages import params
from stages.dependencies import closure
from stages.evaluate_prediction import questions
from stages.json_files import write_json
from stages.loading import load_network, load_split
from stages.paths import DECISIONS, RESULTS, csi_store, model_folder
from stages.stage import clear_errors, stage
from stages.trials import trial
from storage.digests import digest
from storage.git import head
from storage.tables import read_table
from wavefoundry.deployment.options import BEST, Register

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import torch

    from storage.tracking.registry import Registry, Version

LATENCY_TAG = "latency_ms"
# Score that a version is judged by, the comparison that gave it, and the questions of that comparison.
SCORE_TAG, HELD_OUT_TAG, ASKED_TAG = "validation_nmse_db", "held_out.md5", "questions.md5"
SERVED = Path(__file__).with_name("served_predictor.py")
# What a registered model imports.
REQUIREMENTS = ("mlflow", "onnxruntime")
# Modules that decide about a score, besides the predictor itself.
SCORING = ("wavefoundry.evaluation.prediction", "wavefoundry.evaluation.metrics")
MEAN = "mean"
# Tag of a version of BEST: the entry that it is.
ENTRY_TAG = "entry"
LAYOUT = (
    "csi: complex (batch, time, antenna, subcarrier), or real (batch, 2, time, antenna, subcarrier) with real parts in "
    "channel 0, or real (batch, time, antenna, subcarrier, 2) with real parts at 0; all sizes are free. The result has "
    "the layout of the input: the next `slots` slots of the next `subcarriers` subcarriers, and 0 means the known "
    "ones."
)


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


def is_better(candidate_db: float, champion_db: float | None, margin_db: float) -> bool:
    """Whether a candidate takes the place of the champion; None: none stands."""
    return champion_db is None or candidate_db < champion_db - margin_db


class HeldOut:
    """The validation data and questions that versions of one predictor are judged by."""

    def __init__(self, parameters: params.Params, name: str):
        self._section = parameters.evaluate.prediction
        self._repetitions = parameters.evaluate.efficiency.prediction_repetitions
        answered = list(parameters.first_answered(name))
        self._questions = {asked: question for asked, question in questions(parameters).items() if asked in answered}
        self._compared = {asked: parameters.compared[asked] for asked in self._questions}
        datasets = dict.fromkeys(name for names in self._compared.values() for name in names)
        self.stores = {name: digest(csi_store(name)) for name in datasets}

    @property
    def asked_md5(self) -> str:
        """Equal for two comparisons with the same questions at the same SNR, whatever the data."""
        asked = self._section.model_dump(include={"snr_db", "noise_seed"})
        asked |= {name: question.options.model_dump() for name, question in self._questions.items()}
        return _md5(asked)

    @property
    def md5(self) -> str:
        """Equal for two comparisons that give the same model the same score."""
        code = {str(file): digest(file) for file in closure(SCORING)}
        return _md5([self.asked_md5, self.stores, code])

    def example(self) -> tuple["np.ndarray", dict[str, int]]:
        """Input of one prediction and its parameters, as a registered model takes them."""
        asked, question = next(iter(self._questions.items()))
        known, _, wanted = question.split(load_split(self._compared[asked][0], "validation")[:1])
        return _two_channels(known), _wanted(wanted)

    def latency_ms(self, version: "Version") -> float:
        """Wall time of one prediction by a registered version, of one sample."""
        from storage.tracking.registry import load
        from wavefoundry.evaluation.efficiency import median_ms

        model, (known, wanted) = load(version), self.example()
        return median_ms(lambda: model.predict(known, params=wanted), self._repetitions)

    def score_db(self, version: "Version") -> float:
        """NMSE of a registered version on the validation split [dB], averaged over the questions, as the evaluation
        finds it."""
        from storage.tracking.registry import predict_isolated
        from wavefoundry.evaluation.metrics import nmse, to_db

        work = [
            (name, *question.split(load_split(dataset, "validation")))
            for name, question in self._questions.items()
            for dataset in self._compared[name]
        ]
        inputs = [(_two_channels(known), _wanted(wanted)) for _, known, _, wanted in work]
        outputs = predict_isolated(version, inputs, self._section.batch_size)
        errors: dict[str, list[float]] = {}
        for (name, _, target, _), output in zip(work, outputs, strict=True):
            errors.setdefault(name, []).append(nmse(_complex(output), target).mean().item())
        return mean(to_db(mean(datasets)) for datasets in errors.values())


def _md5(content: Any) -> str:
    return hashlib.md5(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Served:
    """How one predictor gets into the registry.

    md5: identifies the model; equal for the same weights, or the same method and options.
    export: writes what runs without this project into a folder.
    folder: the model folder of a network, which is registered beside.
    """

    md5: str
    export: Callable[[Path], None]
    folder: Path | None


def served(parameters: params.Params, candidate: Candidate) -> Served | None:
    """How a candidate is registered; None if its family does not say how it is served."""
    if candidate.seed is None:
        from wavefoundry.deployment.method_export import export

        method, options = parameters.method_options(candidate.name)

        def write(folder: Path) -> None:
            export(method, options, folder)

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "served"))
            return Served(digest(Path(folder, "served")), write, None)
    from wavefoundry.networks.family import serving_module

    folder_of_model = model_folder(candidate.name, candidate.seed)
    module = serving_module(parameters.models[candidate.name].family)
    if module is None:
        return None

    def write_network(folder: Path) -> None:
        module.export(load_network(parameters, candidate.name, folder_of_model), folder)

    return Served(digest(folder_of_model), write_network, folder_of_model)


def offer(
    registry: "Registry",
    candidate: Candidate,
    model_md5: str,
    log: Callable[[], str],
    held_out: HeldOut,
    gate: Register,
    run_id: str,
    trial: str | None,
) -> tuple["Version", dict[str, Any], bool]:
    """Register a candidate unless it is registered, and give it the alias that it earns.

    A trial, and whoever judges by another comparison than the standing champion's, changes nothing that was registered
    before.

    Args:
        registry: where.
        candidate: what is offered, and its scores.
        model_md5: identifies the model.
        log: gives the id of the logged model; called if the candidate is not registered yet.
        held_out: what it was scored on.
        gate: what it must pass.
        run_id: the run of the stage.
        trial: what the run is called if it only tries something.

    Returns:
        The version, what was decided and why, and whether the version is this run's to describe.
    """
    from storage.tracking.registry import CHALLENGER, CHAMPION, DEMOTED_TAG, MODEL_TAG

    champion = registry.champion(candidate.name)
    version = registry.find(candidate.name, model_md5)
    aside = f"{trial} only tries something" if trial else _other_comparison(champion, held_out)
    own = version is None or aside is None
    if version is None:
        tags = {MODEL_TAG: model_md5, "git.commit": head().get("commit", "unknown")}
        version = registry.register(candidate.name, log(), run_id, tags | _tags(candidate, held_out))
    elif aside is None:
        registry.tag(version, _tags(candidate, held_out))
    latency = float(version.tags.get(LATENCY_TAG) or held_out.latency_ms(version))
    if LATENCY_TAG not in version.tags:
        registry.tag(version, {LATENCY_TAG: f"{latency:.2f}"})
    champion_db = None
    if aside is not None:
        alias, reason = None, aside
    elif champion and champion.number == version.number:
        alias, reason = CHAMPION, "is the standing champion"
    elif DEMOTED_TAG in version.tags:
        alias, reason = None, "was demoted"
    else:
        if champion:
            champion_db = _champion_score(registry, champion, held_out)
        better = is_better(candidate.score_db, champion_db, gate.margin_db)
        reason = _reason(champion, better, gate.margin_db)
        if latency > gate.latency_limit_ms:
            better, reason = False, f"{reason}, but slower than {gate.latency_limit_ms} ms"
        alias = CHAMPION if better else CHALLENGER
        registry.promote(version) if better else registry.set_alias(version, alias)
    decision = {
        "version": version.number,
        "alias": alias,
        "reason": reason,
        "seed": candidate.label,
        "validation_nmse_db": round(candidate.score_db, 4),
        "test_nmse_db": round(mean(candidate.test_nmse_db.values()), 4),
        "latency_ms": round(latency, 2),
        "champion_before": champion.number if champion else None,
        "champion_before_validation_nmse_db": None if champion_db is None else round(champion_db, 4),
    }
    return version, decision, own


@dataclass(frozen=True)
class Offered:
    """A candidate, the version that it is, and what was decided about it.

    held_out: what it was scored on.
    beside: its `scores_beside_reference`.
    """

    candidate: Candidate
    version: "Version"
    decision: dict[str, Any]
    held_out: HeldOut
    beside: dict


def best_entry(offered: dict[str, Offered], questions: set[str], latency_limit_ms: float) -> str | None:
    """The entry with the lowest NMSE in dB on the validation split, averaged over the questions.

    Args:
        offered: by the name of the entry.
        questions: all of these must be answered.
        latency_limit_ms: the longest that one prediction may take.

    Returns:
        its name; None if there is no such entry.
    """
    eligible = {
        name: mean(entry.candidate.validation_nmse_db.values())
        for name, entry in offered.items()
        if set(entry.candidate.validation_nmse_db) == questions and entry.decision["latency_ms"] <= latency_limit_ms
    }
    return min(eligible, key=lambda name: eligible[name], default=None)


def _champion_score(registry: "Registry", champion: "Version", held_out: HeldOut) -> float:
    if champion.tags.get(HELD_OUT_TAG) == held_out.md5:
        return float(champion.tags[SCORE_TAG])
    score = held_out.score_db(champion)
    registry.tag(champion, {SCORE_TAG: str(score), HELD_OUT_TAG: held_out.md5})
    return score


def _other_comparison(champion: "Version | None", held_out: HeldOut) -> str | None:
    """Why a version cannot be set against the champion; None if it can."""
    if champion is None or champion.tags.get(ASKED_TAG) == held_out.asked_md5:
        return None
    return (
        f"version {champion.number}, the champion, was judged by other questions or at another SNR; "
        "--promote makes this one champion"
    )


def _reason(champion: "Version | None", better: bool, margin_db: float) -> str:
    if champion is None:
        return "no champion stood"
    return f"{'better' if better else 'not better'} than version {champion.number} by more than {margin_db} dB"


def _tags(candidate: Candidate, held_out: HeldOut) -> dict[str, str]:
    tags = {"scenarios": ", ".join(held_out.stores), "seed": candidate.label, SCORE_TAG: str(candidate.score_db)}
    tags |= {HELD_OUT_TAG: held_out.md5, ASKED_TAG: held_out.asked_md5}
    tags |= {f"data.{name}.md5": md5 for name, md5 in held_out.stores.items()}
    for question, value in candidate.test_nmse_db.items():
        tags[f"test_nmse_db.{question}"] = str(value)
        tags[f"validation_nmse_db.{question}"] = str(candidate.validation_nmse_db[question])
    return tags


class TooLargeError(Exception):
    """What would be served is larger than the registry takes; the message says how large, and what is allowed."""


def _log(candidate: Candidate, form: Served, held_out: HeldOut, size_limit: float, run_id: str) -> str:
    """Export a predictor and log it; the id of the logged model.

    Raises:
        TooLargeError: the export has more than `size_limit` MiB.
    """
    from storage.tracking.registry import log_predictor
    from wavefoundry.deployment import served_predictor

    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "served")
        form.export(exported)
        size = sum(file.stat().st_size for file in exported.rglob("*") if file.is_file()) / 2**20
        if size > size_limit:
            raise TooLargeError(
                f"not registered: its served form has {size:.0f} MiB, register.size_limit_mebibytes is {size_limit:g}"
            )
        return log_predictor(
            candidate.name,
            {"served": exported, "code": Path(served_predictor.__file__)},
            run_id=run_id,
            python_file=SERVED,
            # A build for one kind of machine ("+cpu") is no requirement.
            requirements=[f"{name}=={installed_version(name).partition('+')[0]}" for name in REQUIREMENTS],
            example=held_out.example(),
            layout=LAYOUT,
            network=form.folder,
        )


def scores_beside_reference(
    candidate: Candidate, table: "pandas.DataFrame", compared: Mapping[str, list[str]], reference: str | None
) -> dict[str, dict[str, dict[str, float]]]:
    """Test NMSE beside that of the reference, {question: {predictor: {data set or "mean": dB}}}.

    Args:
        candidate: the seed that is offered.
        table: of results.
        compared: data sets that the mean is taken over, by question.
        reference: a predictor without training; None: there is none.
    """
    from wavefoundry.evaluation.summary import by_dataset_nmse_db, mean_nmse_db

    rows = by_dataset_nmse_db(table, "test")
    means = mean_nmse_db(table, compared, "test").assign(dataset=MEAN)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in [*rows.astype({"seed": object}).to_dict("records"), *means.astype({"seed": object}).to_dict("records")]:
        ours = row["model"] == candidate.name and (candidate.seed is None or row["seed"] == candidate.seed)
        if ours or row["model"] == reference:
            by_model = found.setdefault(row["question"], {})
            by_model.setdefault(row["model"], {})[row["dataset"]] = row["nmse_db"]
    for by_model in found.values():
        ours_only = by_model.get(candidate.name, {})
        for name in list(by_model):
            by_model[name] = {dataset: value for dataset, value in by_model[name].items() if dataset in ours_only}
    return {question: by_model for question, by_model in found.items() if candidate.name in by_model}


def description(
    candidate: Candidate, decision: dict, by_question: dict, snr_db: float, stores: Mapping[str, str]
) -> str:
    """A registered version in Markdown, with its `scores_beside_reference`.

    Args:
        candidate, decision: what was offered, and what was decided.
        by_question: its scores.
        snr_db: of the known block.
        stores: digests of the data sets that it was judged on.
    """
    from wavefoundry.report.tables import markdown_table

    columns = [(question, name) for question, by_predictor in by_question.items() for name in by_predictor]
    datasets = list(dict.fromkeys(name for question, model in columns for name in by_question[question][model]))
    rows = [
        [dataset, *(_decibels(by_question[question][name].get(dataset)) for question, name in columns)]
        for dataset in datasets
    ]
    lines = [
        f"Predictor `{candidate.name}` ({candidate.label}), registered as {decision['alias'] or 'no alias'}: "
        f"{decision['reason']}. One prediction takes {decision['latency_ms']} ms.",
        f"It is judged by the validation split: {candidate.score_db:.2f} dB at {snr_db:g} dB SNR, averaged over "
        f"{', '.join(candidate.validation_nmse_db)} and over the data sets "
        f"{', '.join(f'{name} ({md5[:8]})' for name, md5 in stores.items())}.",
        markdown_table(
            [f"NMSE [dB] on the test split, {snr_db:g} dB SNR", *(f"{question}, {name}" for question, name in columns)],
            rows,
        ),
        LAYOUT,
    ]
    return "\n\n".join(lines)


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def describe(
    registry: "Registry",
    version: "Version",
    text: str,
    by_question: dict[str, dict[str, dict[str, float]]],
    run_id: str,
) -> None:
    """Give a version its description and its chart."""
    from wavefoundry.plots.scores import draw_scores

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, f"{version.name}.png")
        draw_scores(by_question, picture)
        registry.describe(version, text, picture, run_id)


def _wanted(wanted: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("slots", "subcarriers"), wanted, strict=True))


def _two_channels(csi: "torch.Tensor") -> "np.ndarray":
    """complex (batch, ...) -> float32 numpy (batch, 2, ...)."""
    import numpy as np

    return np.stack([csi.real.numpy(), csi.imag.numpy()], axis=1)


def _complex(channels: "np.ndarray") -> "torch.Tensor":
    import torch

    real, imaginary = torch.from_numpy(channels).unbind(dim=1)
    return torch.complex(real, imaginary)


def roll_back(name: str) -> None:
    """Give the alias champion back to the version before."""
    from storage.tracking.registry import Registry, clear_failures

    with clear_failures():
        before, champion = Registry().roll_back(name)
    print(f"{name}: version {champion.number} is champion again, version {before.number} is demoted")


def promote(name: str, number: str) -> None:
    """Make a version the champion, whatever it was judged by.

    Raises:
        StorageError: there is no such version.
    """
    from storage.tracking.registry import Registry, clear_failures

    with clear_failures():
        registry = Registry()
        registry.promote(registry.version(name, number))
    print(f"{name}: version {number} is champion")


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.register", description=__doc__.splitlines()[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--rollback", metavar="NAME", help="give the alias champion back to the version before")
    choice.add_argument("--promote", nargs=2, metavar=("NAME", "VERSION"), help="make a version the champion")
    arguments = parser.parse_args()
    if arguments.rollback is not None:
        roll_back(arguments.rollback)
    elif arguments.promote is not None:
        promote(*arguments.promote)
    else:
        register(params.read())


def register(parameters: params.Params) -> None:
    """Offer every predictor of the study that can be served."""
    compared = dict.fromkeys(name for names in parameters.compared.values() for name in names)
    stores = [csi_store(name) for name in compared]
    folders = [
        model_folder(name, seed)
        for name in parameters.answering
        if name in parameters.models
        for seed in parameters.models[name].seeds
    ]
    with stage(
        "register", section=parameters.register_, dependencies=[*stores, *folders, RESULTS], outputs=[DECISIONS]
    ) as run:
        from storage.tracking.registry import MODEL_TAG, Registry, clear_failures
        from wavefoundry.evaluation.results import COLUMNS
        from wavefoundry.evaluation.summary import mean_nmse_db

        table = read_table(RESULTS, COLUMNS)
        test, validation = (mean_nmse_db(table, parameters.compared, split) for split in ("test", "validation"))
        offered: dict[str, Offered] = {}
        left_out: dict[str, dict] = {}
        gate, snr_db, trying = parameters.register_, parameters.evaluate.prediction.snr_db, trial()
        reference = next(iter(parameters.predictors), None)
        with clear_failures():
            registry = Registry()
            for name in parameters.answering:
                candidate = choose(name, test, validation)
                form = served(parameters, candidate)
                if form is None:
                    continue
                held_out = HeldOut(parameters, name)
                log = partial(_log, candidate, form, held_out, gate.size_limit_mebibytes, run.id)
                try:
                    version, decision, own = offer(registry, candidate, form.md5, log, held_out, gate, run.id, trying)
                except TooLargeError as error:
                    left_out[name] = {"alias": None, "reason": str(error), "seed": candidate.label}
                    continue
                beside = scores_beside_reference(candidate, table, parameters.compared, reference)
                if own:
                    text = description(candidate, decision, beside, snr_db, held_out.stores)
                    describe(registry, version, text, beside, run.id)
                offered[name] = Offered(candidate, version, decision, held_out, beside)
            decisions = {name: entry.decision for name, entry in offered.items()}
            best = best_entry(offered, set(parameters.evaluate.prediction.questions), gate.latency_limit_ms)
            if best is not None:
                entry = offered[best]
                candidate, md5 = replace(entry.candidate, name=BEST), entry.version.tags[MODEL_TAG]
                version, decision, own = offer(
                    registry, candidate, md5, lambda: entry.version.model_id, entry.held_out, gate, run.id, trying
                )
                if own:
                    registry.tag(version, {ENTRY_TAG: best})
                    text = description(candidate, decision, entry.beside, snr_db, entry.held_out.stores)
                    describe(registry, version, f"The best of all entries: `{best}`.\n\n{text}", entry.beside, run.id)
                decisions[BEST] = decision | {ENTRY_TAG: best}
        decisions |= left_out
        write_json(DECISIONS, decisions)
        run.log_folder(DECISIONS, "registry")
    if BEST not in decisions:
        print(f"{BEST}: no entry answers every question within {parameters.register_.latency_limit_ms} ms")
    for name, decision in decisions.items():
        which = "" if name in left_out else f" version {decision['version']}"
        print(f"{name}{which}: {decision['alias'] or 'no alias'} ({decision['reason']})")


if __name__ == "__main__":
    main()
