import pytest

from wavefoundry.objectives.mcakd.autonomous_passive import AUTONOMOUS, PASSIVE, next_phase, smoothed
from wavefoundry.objectives.mcakd.options import AutonomousPassive

CONFIG = AutonomousPassive(patience=2, min_gain=0.1, smoothing=0.0, passive_epochs=2)


def phases(losses, config=CONFIG):
    """Phases of a training whose epoch i has the self-supervised loss losses[i], and that of the epoch after."""
    rows = []
    for loss in losses:
        rows.append({"self_loss": loss, "phase": next_phase(rows, config)})
    return "".join(
        "P" if phase == PASSIVE else "A" for phase in [*(row["phase"] for row in rows), next_phase(rows, config)]
    )


def test_starts_autonomous_and_stays_so_while_the_loss_falls_fast():
    assert phases([]) == "A"
    assert phases([1.0, 0.9, 0.8, 0.7, 0.6]) == "AAAAAA"


def test_a_plateau_turns_it_passive_for_passive_epochs_and_then_back():
    # Gain over epochs 2, 3 is 0, then 2 passive epochs, 2 autonomous ones without gain, and so on.
    assert phases([1.0] * 10) == "AAAPPAAPPAA"


def test_gain_is_relative_and_measured_over_patience_epochs():
    # Over 2 epochs 1.0 -> 0.91 gains 9 %, less than 10 %; 1.0 -> 0.89 gains 11 %.
    assert phases([1.0, 0.96, 0.91]) == "AAAP"
    assert phases([1.0, 0.96, 0.89]) == "AAAA"
    assert phases([1e-6, 0.96e-6, 0.89e-6]) == "AAAA"


def test_a_rising_loss_is_no_progress():
    assert phases([1.0, 2.0, 3.0]) == "AAAP"


def test_gain_after_a_passive_phase_counts_from_its_end():
    # The loss halved in the passive phase; after it nothing more was gained.
    assert phases([1.0, 1.0, 1.0, 0.7, 0.5, 0.5, 0.5]) == "AAAPPAAP"


def test_smoothing_looks_through_noise():
    losses = [1.0, 0.5, 1.0, 0.5, 1.0]
    assert smoothed(losses, 0.0) == losses
    assert smoothed(losses, 0.5) == pytest.approx([1.0, 0.75, 0.875, 0.6875, 0.84375])
    # Unsmoothed, epoch 3 looks like a stall; smoothed it has gained 12.5 % over two epochs.
    assert phases(losses[:3]) == "AAAP"
    assert phases(losses[:3], CONFIG.model_copy(update={"smoothing": 0.5})) == "AAAA"


def test_without_al_pl_every_epoch_is_passive():
    assert phases([1.0, 0.5, 0.2], None) == "PPPP"
    assert next_phase([], None) == PASSIVE and next_phase([], CONFIG) == AUTONOMOUS
