"""Stage register: predictors into the MLflow registry; alias "champion" only for what passes the gate.

One version of each predictor: the seed with the median NMSE on the validation split, never chosen by the test split.
It is registered in a form that runs without this project (ONNX), together with its model folder.
A version becomes champion when one prediction takes at most `register.latency_limit_ms`, and none stands or its test
NMSE in dB, averaged over the time and the frequency domain, is lower than the standing champion's by more than
`register.margin_db`. Both are judged on the same data: when the held-out data or the task have changed since, the
standing champion is scored anew, by the code registered with it.

`python -m stages.register --rollback NAME` gives the alias back to the champion before; the version that had it is
marked as demoted and stays out of the race.
"""

import argparse
import hashlib
import json
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from statistics import mean

from stages import params
from stages.csi import store_path
from stages.evaluate_prediction import load_split, tasks
from stages.json_files import write_json
from stages.model_folders import model_folder
from stages.stage import clear_errors, git_commit, stage
from storage.digests import digest
from storage.errors import StorageError
from wavefoundry.config import Register

METRICS = Path("metrics/prediction.json")
DECISIONS = Path("measurements/registry.json")
LATENCY_TAG = "latency_ms"
# What every version is shown beside.
REFERENCE = "sample_and_hold"
SERVED = Path(__file__).with_name("served_predictor.py")
# What a registered model imports.
REQUIREMENTS = ("mlflow", "onnxruntime")
LAYOUT = (
    "csi: complex (batch, time, antenna, subcarrier), or real (batch, 2, time, antenna, subcarrier) with real parts in "
    "channel 0, or real (batch, time, antenna, subcarrier, 2) with real parts at 0; all sizes are free. The result has "
    "the layout of the input: the next `horizon` slots (axis time) or subcarriers (axis frequency)."
)


@dataclass(frozen=True)
class Candidate:
    """The model of one predictor that is offered to the registry; NMSE by axis, over the data sets compared."""

    name: str
    seed: str
    test_nmse_db: dict[str, float]
    validation_nmse_db: dict[str, float]

    @property
    def folder(self) -> Path:
        return Path("models") / self.name / self.seed

    @property
    def score_db(self) -> float:
        return mean(self.test_nmse_db.values())


def choose(name: str, scores: dict) -> Candidate:
    """The seed with the median validation NMSE; the better one of the middle two.

    Args:
        name: the predictor.
        scores: its part of metrics/prediction.json.
    """
    candidates = [
        Candidate(
            name,
            seed,
            {axis: datasets["all"]["nmse_db"][seed] for axis, datasets in scores.items()},
            {axis: datasets["all"]["validation_nmse_db"][seed] for axis, datasets in scores.items()},
        )
        for seed in next(iter(scores.values()))["all"]["nmse_db"]
    ]
    candidates.sort(key=lambda candidate: (mean(candidate.validation_nmse_db.values()), candidate.seed))
    return candidates[(len(candidates) - 1) // 2]


def is_better(candidate_db: float, champion_db: float | None, margin_db: float) -> bool:
    """Whether a candidate takes the place of the champion; None: none stands."""
    return champion_db is None or candidate_db < champion_db - margin_db


class HeldOut:
    """The test data and tasks that models are compared on."""

    def __init__(self, parameters: params.Params):
        self.section = parameters.evaluate.prediction
        self.stores = {name: digest(store_path(name)) for name in parameters.compared}

    @property
    def md5(self) -> str:
        """Equal for two comparisons that give the same model the same score."""
        task = self.section.model_dump(include={"snr_db", "history_fraction", "band_fraction", "noise_seed"})
        return hashlib.md5(json.dumps([task, self.stores], sort_keys=True).encode()).hexdigest()

    def example(self):
        """Input of one prediction and its parameters, as a registered model takes them."""
        name = next(iter(self.stores))
        known, target = tasks(self.section)[0].split(load_split([name], "test")[name][:1])
        return _two_channels(known), {"axis": "time", "horizon": target.shape[1]}

    def latency_ms(self, version) -> float:
        """Wall time of one prediction by a registered version, of one sample."""
        from storage.registry import latency_ms

        return latency_ms(version, *self.example(), self.section.latency_repetitions)

    def score_db(self, version) -> float:
        """Test NMSE in dB of a registered version, averaged over the axes: what stage evaluate computes for a model."""
        from storage.registry import predict_isolated
        from wavefoundry.evaluation.metrics import nmse, to_db

        work = [
            (task, *task.split(csi)) for task in tasks(self.section) for csi in load_split(self.stores, "test").values()
        ]
        inputs = [
            (_two_channels(known), {"axis": task.axis, "horizon": target.shape[1 if task.axis == "time" else 3]})
            for task, known, target in work
        ]
        errors = {}
        for (task, _, target), output in zip(
            work, predict_isolated(version, inputs, self.section.batch_size), strict=True
        ):
            errors.setdefault(task.axis, []).append(nmse(_complex(output), target).mean().item())
        return mean(to_db(mean(datasets)) for datasets in errors.values())


def offer(registry, candidate: Candidate, held_out: HeldOut, gate: Register, run_id: str) -> dict:
    """Register a candidate unless it is registered, and give it the alias that it earns.

    Returns:
        What was decided and why.
    """
    from storage.registry import CHALLENGER, CHAMPION, DEMOTED_TAG, MODEL_TAG

    model_md5 = digest(candidate.folder)
    champion = registry.champion(candidate.name)
    version = registry.find(candidate.name, model_md5)
    tags = {MODEL_TAG: model_md5, "git.commit": git_commit()} if version is None else {}
    tags |= _tags(candidate, held_out)
    if version is None:
        version = registry.register(candidate.name, _log(candidate, held_out, run_id), run_id, tags)
    else:
        registry.tag(version, tags)
    latency = float(version.tags.get(LATENCY_TAG) or held_out.latency_ms(version))
    registry.tag(version, {LATENCY_TAG: f"{latency:.2f}"})
    champion_db = None
    if champion and champion.number == version.number:
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
    return {
        "version": version.number,
        "alias": alias,
        "reason": reason,
        "seed": candidate.seed,
        "nmse_db": round(candidate.score_db, 4),
        "latency_ms": round(latency, 2),
        "champion_before": champion.number if champion else None,
        "champion_before_nmse_db": None if champion_db is None else round(champion_db, 4),
    }


def _champion_score(registry, champion, held_out: HeldOut) -> float:
    if champion.tags.get("held_out.md5") == held_out.md5:
        return float(champion.tags["nmse_db"])
    score = held_out.score_db(champion)
    registry.tag(champion, {"nmse_db": str(score), "held_out.md5": held_out.md5})
    return score


def _reason(champion, better: bool, margin_db: float) -> str:
    if champion is None:
        return "no champion stood"
    return f"{'better' if better else 'not better'} than version {champion.number} by more than {margin_db} dB"


def _tags(candidate: Candidate, held_out: HeldOut) -> dict[str, str]:
    tags = {"scenarios": ", ".join(held_out.stores)}
    tags |= {"seed": candidate.seed, "nmse_db": str(candidate.score_db), "held_out.md5": held_out.md5}
    tags |= {f"data.{name}.md5": md5 for name, md5 in held_out.stores.items()}
    for axis, value in candidate.test_nmse_db.items():
        tags[f"test_nmse_db.{axis}"] = str(value)
        tags[f"validation_nmse_db.{axis}"] = str(candidate.validation_nmse_db[axis])
    return tags


def _log(candidate: Candidate, held_out: HeldOut, run_id: str) -> str:
    import wavefoundry.models  # noqa: F401  (registers the architectures)
    from storage.checkpoints import load_model
    from storage.registry import log_predictor
    from wavefoundry.deployment import onnx_predictor
    from wavefoundry.deployment.export import export

    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder, "onnx")
        export(load_model(candidate.folder), onnx)
        return log_predictor(
            candidate.name,
            {"onnx": onnx, "code": Path(onnx_predictor.__file__), "model": candidate.folder},
            run_id=run_id,
            python_file=SERVED,
            # A build for one kind of machine ("+cpu") is no requirement.
            requirements=[f"{name}=={installed_version(name).partition('+')[0]}" for name in REQUIREMENTS],
            example=held_out.example(),
            layout=LAYOUT,
        )


def scores_beside_reference(candidate: Candidate, scores: dict) -> dict[str, dict[str, dict[str, float]]]:
    """Test NMSE in metrics/prediction.json beside the reference, {axis: {predictor: {data set: dB}}}."""
    return {
        axis: {
            candidate.name: {name: values["nmse_db"][candidate.seed] for name, values in datasets.items()},
            REFERENCE: {name: next(iter(scores[REFERENCE][axis][name]["nmse_db"].values())) for name in datasets},
        }
        for axis, datasets in scores[candidate.name].items()
    }


def description(candidate: Candidate, decision: dict, by_axis: dict) -> str:
    """A registered version in Markdown, with its `scores_beside_reference`."""
    columns = [(axis, name) for axis, by_predictor in by_axis.items() for name in by_predictor]
    lines = [
        f"Predictor `{candidate.name}` ({candidate.seed}), registered as {decision['alias'] or 'no alias'}: "
        f"{decision['reason']}. One prediction takes {decision['latency_ms']} ms.",
        "",
        "| test NMSE [dB] | " + " | ".join(f"{axis}, {name}" for axis, name in columns) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for dataset in by_axis[columns[0][0]][candidate.name]:
        cells = [f"{by_axis[axis][name][dataset]:.2f}" for axis, name in columns]
        lines.append(f"| {dataset} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", LAYOUT])


def describe(registry, candidate: Candidate, decision: dict, scores: dict, run_id: str) -> None:
    """Give a version its description and its chart."""
    from wavefoundry.plots.scores import draw_scores

    by_axis = scores_beside_reference(candidate, scores)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, f"{candidate.name}.png")
        draw_scores(by_axis, picture)
        version = registry.find(candidate.name, digest(candidate.folder))
        registry.describe(version, description(candidate, decision, by_axis), picture, run_id)


def _two_channels(csi):
    """complex (batch, ...) -> float32 numpy (batch, 2, ...)."""
    import numpy as np

    return np.stack([csi.real.numpy(), csi.imag.numpy()], axis=1)


def _complex(channels):
    import torch

    real, imaginary = torch.from_numpy(channels).unbind(dim=1)
    return torch.complex(real, imaginary)


def roll_back(name: str) -> None:
    from storage.registry import Registry, clear_failures

    with clear_failures():
        before, champion = Registry().roll_back(name)
    print(f"{name}: version {champion.number} is champion again, version {before.number} is demoted")


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.register", description=__doc__.splitlines()[0])
    parser.add_argument("--rollback", metavar="NAME", help="give the alias champion back to the version before")
    name = parser.parse_args().rollback
    if name is not None:
        roll_back(name)
    else:
        register(params.read())


def register(parameters: params.Params) -> None:
    stores = [store_path(name) for name in parameters.compared]
    folders = [model_folder(name, seed) for name, seeds in parameters.predictors.items() for seed in seeds]
    with stage(
        "register", section=parameters.register_, dependencies=[*stores, *folders, METRICS], outputs=[DECISIONS]
    ) as run:
        from storage.registry import Registry, clear_failures

        scores = json.loads(METRICS.read_text())
        missing = [name for name in parameters.predictors if name not in scores]
        if missing:
            raise StorageError(f"{METRICS}: no scores of {', '.join(missing)}; run stage evaluate@prediction")
        held_out, decisions = HeldOut(parameters), {}
        with clear_failures():
            registry = Registry()
            for name in parameters.predictors:
                candidate = choose(name, scores[name])
                decisions[name] = offer(registry, candidate, held_out, parameters.register_, run.id)
                describe(registry, candidate, decisions[name], scores, run.id)
        write_json(DECISIONS, decisions)
        run.log_folder(DECISIONS, "registry")
    for name, decision in decisions.items():
        print(f"{name} version {decision['version']}: {decision['alias'] or 'no alias'} ({decision['reason']})")


if __name__ == "__main__":
    main()
