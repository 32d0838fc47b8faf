"""Whether pretrained representations beat the raw channel where labels are few, and what was measured about why not."""

import statistics
from dataclasses import dataclass

from wavefoundry.evaluation.downstream.tasks import CHANNEL_TASKS, TASKS

RAW = "raw"
UNTRAINED = "untrained"  # ending of the name of a network that was never trained, the control of pretraining


@dataclass(frozen=True)
class Verdict:
    """Best pretrained input, chosen on the validation split, against the raw channel, both on the test split.

    margin: by how much the pretrained one is better, in the unit of the task's metric; negative if it is worse.
    spread: the larger standard deviation over seeds of the two.
    reasons: what else was measured about it, one sentence each.
    gained: whether pretraining made the best one better, by more than the spread, than it was before any training, with
        the same features; None where that was not measured.
    """

    task: str
    best: str
    score: float
    raw: float
    margin: float
    spread: float
    reasons: tuple[str, ...]
    gained: bool | None

    @property
    def beats(self) -> bool:
        """By more than the spread."""
        return self.margin > self.spread


def judge(results: dict, fraction: float) -> list[Verdict]:
    """One verdict for each task at a fraction of the labels.

    Args:
        results: {input: {"table": ..., "chosen": ..., "curves": ...}} as `suite.Result` holds them; RAW is among them.
        fraction: one of those of the curves.
    """
    return [_judge_task(task, results, f"{fraction:g}") for task in TASKS]


def mean(scores: dict, split: str, metric: str) -> float:
    return statistics.mean(scores[split][metric])


def spread(scores: dict, split: str, metric: str) -> float:
    """Standard deviation over seeds, 0 of a single one."""
    values = scores[split][metric]
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _judge_task(task: str, results: dict, fraction: str) -> Verdict:
    metric, sign = TASKS[task].metric, 1 if TASKS[task].higher_is_better else -1
    at = {name: result["curves"][task][fraction] for name, result in results.items() if task in result["curves"]}
    pretrained = [name for name in at if name != RAW and not name.endswith(UNTRAINED)]
    best = max(pretrained, key=lambda name: sign * mean(at[name], "validation", metric))
    score, raw = (mean(at[name], "test", metric) for name in (best, RAW))
    return Verdict(
        task,
        best,
        score,
        raw,
        sign * (score - raw),
        max(spread(at[name], "test", metric) for name in (best, RAW)),
        tuple(_reasons(task, results, at, best, fraction)),
        _gained(at[best], at.get(f"{best}_{UNTRAINED}"), metric, sign),
    )


def _gained(pretrained: dict, untrained: dict | None, metric: str, sign: int) -> bool | None:
    if untrained is None:
        return None
    gain = sign * (mean(pretrained, "test", metric) - mean(untrained, "test", metric))
    return gain > max(spread(scores, "test", metric) for scores in (pretrained, untrained))


def _reasons(task: str, results: dict, at: dict, best: str, fraction: str) -> list[str]:
    metric = TASKS[task].metric
    reasons = []
    control = f"{best}_{UNTRAINED}"
    if control in at:
        reasons.append(
            f"{best} as it was before any training reaches {show(task, mean(at[control], 'test', metric))} with the "
            "same features"
        )
    if task in CHANNEL_TASKS:
        patch_size = results[best]["chosen"][task][1]
        lost = results[best]["round_trip"].get(patch_size)
        if lost is not None:
            reasons.append(
                f"what {best} makes of a patch gives a linear head back only so much of the clean channel itself: "
                f"{show(task, lost)}"
            )
        same_size = results[RAW]["table"][task]["per_patch"].get(patch_size)
        if same_size is not None and patch_size != results[RAW]["chosen"][task][1]:
            reasons.append(
                f"in patches of {patch_size} x {patch_size} too, the raw channel reaches "
                f"{show(task, mean(same_size, 'test', metric))}"
            )
    curves = {name: results[name]["curves"][task] for name in (best, RAW)}
    if "1" in curves[RAW] and fraction != "1":
        with_all = {name: show(task, mean(curve["1"], "test", metric)) for name, curve in curves.items()}
        reasons.append(f"with all labels {best} reaches {with_all[best]}, the raw channel {with_all[RAW]}")
    return reasons


def show(task: str, value: float) -> str:
    """A score as text, with its unit."""
    unit = TASKS[task].unit
    return f"{value:.3f}" if not unit else f"{value:.1f} {unit}"
