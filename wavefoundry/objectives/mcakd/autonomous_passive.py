"""AL-PL: a student learns alone while it makes progress, and from its teacher for a while where it stalls.

Source: "Tiny-WiFo: A Lightweight Wireless Foundation Model for Channel Prediction via Multi-Component Adaptive
Knowledge Distillation", arXiv:2511.04015, section III-C. The phase of an epoch is a function of the rows of the epochs
before it, which the Trainer keeps in its checkpoints: there is no other state that a resume could lose.
"""

from transformers import TrainerCallback

from wavefoundry.objectives.mcakd.options import AutonomousPassive

AUTONOMOUS, PASSIVE = "autonomous", "passive"


class AutonomousPassiveSwitch(TrainerCallback):
    """Sets `model.passive` for each epoch.

    Adds to the history row of each epoch "phase" and "teacher_passes_saved", the share of the teacher's forward passes
    up to there that distilling in every epoch would have cost in addition.

    Args:
        config: None distils in every epoch.
    """

    def __init__(self, config: AutonomousPassive | None):
        self._config = config

    def on_epoch_begin(self, args, state, control, **context):
        context["model"].passive = next_phase(state.log_history, self._config) == PASSIVE

    def on_epoch_end(self, args, state, control, **context):
        rows = state.log_history
        rows[-1]["phase"] = PASSIVE if context["model"].passive else AUTONOMOUS
        # Every epoch has as many steps, and a step of a passive one runs the teacher once.
        rows[-1]["teacher_passes_saved"] = sum(row["phase"] == AUTONOMOUS for row in rows) / len(rows)


def next_phase(rows: list[dict], config: AutonomousPassive | None) -> str:
    """Phase of the next epoch.

    Starts autonomous. Turns passive when the relative gain of the smoothed self-supervised loss over the last
    `patience` autonomous epochs is below `min_gain`; turns back after `passive_epochs`. The gain counts from the epoch
    before these, so the first switch comes after `patience` + 1 epochs at the earliest.

    Args:
        rows: of the epochs so far, with "phase" and "self_loss".
        config: None for passive throughout.
    """
    if config is None:
        return PASSIVE
    if not rows:
        return AUTONOMOUS
    run = _run_length(rows)
    if rows[-1]["phase"] == PASSIVE:
        return PASSIVE if run < config.passive_epochs else AUTONOMOUS
    if run < config.patience or len(rows) == config.patience:
        return AUTONOMOUS
    losses = smoothed([row["self_loss"] for row in rows], config.smoothing)
    before = losses[-1 - config.patience]
    return PASSIVE if before - losses[-1] < config.min_gain * before else AUTONOMOUS


def smoothed(values: list[float], smoothing: float) -> list[float]:
    """Exponential mean, started at the first value; `smoothing` is the weight of the past."""
    means = values[:1]
    for value in values[1:]:
        means.append(smoothing * means[-1] + (1 - smoothing) * value)
    return means


def _run_length(rows: list[dict]) -> int:
    """Epochs since the phase last changed."""
    run = 0
    while run < len(rows) and rows[-1 - run]["phase"] == rows[-1]["phase"]:
        run += 1
    return run
