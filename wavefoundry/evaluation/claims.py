"""What the papers claim, set against what was measured here, whoever wins."""

from dataclasses import dataclass

BASELINES = {"sample_and_hold": "sample-and-hold", "autoregression": "a linear predictor of each tap"}


@dataclass(frozen=True)
class Claim:
    """One comparison: the claim, the figures measured, and whether they bear it out."""

    claim: str
    measured: str
    holds: bool


def check_claims(summary: dict[str, dict[str, float]], parameters: dict[str, int]) -> list[Claim]:
    """Compare the test NMSE of the predictors with the claims that this study can test.

    Args:
        summary: {predictor: {"time_nmse_db": dB, "time_nmse_db_spread": dB, "frequency_nmse_db": ...}}.
        parameters: number of trained values of each predictor.

    Returns:
        one entry per claim whose predictors are all there.
    """
    trained = [name for name in parameters if parameters[name] and name in summary]
    claims = [_beats(summary, name, baseline) for baseline in BASELINES if baseline in summary for name in trained]
    if {"wifo", "tiny_wifo"} <= summary.keys():
        claims.append(_keeps_teacher(summary, parameters))
    if {"tiny_wifo", "tiny_wifo_no_kd"} <= summary.keys():
        claims += [_gains_by_distillation(summary, axis) for axis in ("time", "frequency")]
    return claims


def _beats(summary: dict, name: str, baseline: str) -> Claim:
    ours, theirs = summary[name]["time_nmse_db"], summary[baseline]["time_nmse_db"]
    return Claim(
        f"{name} predicts better in time than {BASELINES[baseline]}",
        f"{ours:.2f} dB against {theirs:.2f} dB",
        ours < theirs,
    )


def _keeps_teacher(summary: dict, parameters: dict) -> Claim:
    student, teacher = (summary[name]["time_nmse_db"] for name in ("tiny_wifo", "wifo"))
    share = parameters["tiny_wifo"] / parameters["wifo"]
    return Claim(
        "Tiny-WiFo keeps over 98 % of WiFo's performance with a quarter of its parameters (read here as at most "
        "0.1 dB lost in time-domain NMSE)",
        f"{student:.2f} dB with {share:.0%} of the parameters, WiFo {teacher:.2f} dB",
        student <= teacher + 0.1,
    )


def _gains_by_distillation(summary: dict, axis: str) -> Claim:
    key = f"{axis}_nmse_db"
    distilled, alone = summary["tiny_wifo"], summary["tiny_wifo_no_kd"]
    gain = alone[key] - distilled[key]
    spread = max(distilled.get(f"{key}_spread", 0.0), alone.get(f"{key}_spread", 0.0))
    verdict = "more than" if abs(gain) > spread else "within"
    return Claim(
        f"MCAKD makes the student better than training it alone ({axis}-domain prediction)",
        f"gain {gain:+.2f} dB, {verdict} the spread over seeds of {spread:.2f} dB",
        gain > spread,
    )
