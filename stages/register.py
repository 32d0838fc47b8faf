"""Stage register: predictors into the MLflow registry; alias "champion" only for what passes the gate.

One version of each predictor: of several seeds the one with the median NMSE on the validation split. It is registered
in a form that runs without this project, of a transformer also in an INT8 form that loses little (stages/int8.py); the
run keeps its model folder. A version becomes champion when one prediction
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, Any

from stages import params
from stages.candidates import Candidate, choose
from stages.held_out import HeldOut
from stages.int8 import INT8_TAG, int8_tags
from stages.json_files import write_json
from stages.paths import DECISIONS, RESULTS, csi_store, model_folder
from stages.served_form import Logged, TooLargeError, log_form, served
from stages.stage import clear_errors, stage
from stages.trials import trial
from stages.version_page import describe, description, scores_beside_reference
from storage.git import head
from storage.tables import read_table
from wavefoundry.deployment.options import BEST, Register

if TYPE_CHECKING:
    from storage.tracking.registry import Registry, Version

LATENCY_TAG = "latency_ms"
# Score that a version is judged by, the comparison that gave it, and the questions of that comparison.
SCORE_TAG, HELD_OUT_TAG, ASKED_TAG = "validation_nmse_db", "held_out.md5", "questions.md5"
# Tag of a version of BEST: the entry that it is.
ENTRY_TAG = "entry"


def is_better(candidate_db: float, champion_db: float | None, margin_db: float) -> bool:
    """Whether a candidate takes the place of the champion; None: none stands."""
    return champion_db is None or candidate_db < champion_db - margin_db


def offer(
    registry: "Registry",
    candidate: Candidate,
    model_md5: str,
    log: Callable[[], Logged],
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
        log: logs the model; called if the candidate is not registered yet.
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
        logged = log()
        tags |= logged.tags | _tags(candidate, held_out)
        version = registry.register(candidate.name, logged.model_id, run_id, tags)
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
        "int8": version.tags.get(INT8_TAG),
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


def as_best(entry: Offered) -> Logged:
    """The version of an entry, to be registered as BEST too: it is the same model, and is not measured a second time,
    for then what else the machine does at that moment could keep it from being champion."""
    latency = {LATENCY_TAG: f"{entry.decision['latency_ms']:.2f}"}
    return Logged(entry.version.model_id, int8_tags(entry.version.tags) | latency)


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
        from tqdm import tqdm

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
            for name in tqdm(parameters.answering, desc="registered", unit="model"):
                candidate = choose(name, test, validation)
                form = served(parameters, candidate)
                if form is None:
                    continue
                held_out = HeldOut(parameters, name)
                log = partial(log_form, parameters, candidate, form, held_out, run.id)
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
            best = best_entry(offered, set(parameters.compared), gate.latency_limit_ms)
            if best is not None:
                entry = offered[best]
                candidate, md5 = replace(entry.candidate, name=BEST), entry.version.tags[MODEL_TAG]
                version, decision, own = offer(
                    registry, candidate, md5, partial(as_best, entry), entry.held_out, gate, run.id, trying
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
        if decision.get("int8"):
            print(f"{name}{which}, INT8: {decision['int8']}")


if __name__ == "__main__":
    main()
