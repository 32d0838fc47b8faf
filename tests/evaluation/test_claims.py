"""Claims follow the numbers, whoever wins."""

import pandas
import pytest

from wavefoundry.evaluation.claims import KEPT_DB, Claim, Trained, check_claims

NETWORKS = (
    Trained("wifo", 100, None, None, "large"),
    Trained("tiny_wifo", 25, "wifo", "mcakd", "small"),
    Trained("tiny_wifo_no_kd", 25, "wifo", None, "small"),
)
METHODS = ("sample_and_hold", "autoregression")


def means(values: dict[str, dict[str, list[float]]]) -> pandas.DataFrame:
    """{question: {model: NMSE of its seeds [dB]}} as `mean_nmse_db` gives it."""
    rows = [
        {"model": model, "question": question, "seed": None if model in METHODS else seed, "nmse_db": value}
        for question, models in values.items()
        for model, seeds in models.items()
        for seed, value in enumerate(seeds)
    ]
    return pandas.DataFrame(rows, columns=["model", "question", "seed", "nmse_db"]).astype({"seed": "Int64"})


def check(values: dict[str, dict[str, list[float]]], trained=NETWORKS) -> list[Claim]:
    return check_claims(means(values), trained, METHODS)


def verdict(claims: list[Claim], *words: str) -> bool:
    (claim,) = (claim for claim in claims if all(word in claim.claim for word in words))
    return claim.holds


def test_claims_follow_the_numbers():
    claims = check(
        {
            "time": {
                "sample_and_hold": [-1.0],
                "wifo": [-5.0],
                "tiny_wifo": [-3.7, -4.3],
                "tiny_wifo_no_kd": [-3.8, -4.0],
            },
            "frequency": {
                "sample_and_hold": [3.0],
                "wifo": [-4.0],
                "tiny_wifo": [-3.0],
                "tiny_wifo_no_kd": [-2.0],
            },
        }
    )
    # For each question: three models beat sample-and-hold; the teacher is not kept; in time the gain is within the
    # spread.
    assert [claim.holds for claim in claims] == [True, True, True, False, False, True, True, True, False, True]
    assert [claim.claim.startswith("time: ") for claim in claims] == [True] * 5 + [False] * 5
    assert all(claim.claim.startswith(("time: ", "frequency: ")) for claim in claims)


@pytest.mark.parametrize(("seeds", "holds"), [([-4.0, -1.0], True), ([-2.0, -2.0], False), ([0.0, -3.0], False)])
def test_a_network_beats_a_method_with_the_mean_of_its_seeds(seeds, holds):
    (claim,) = check({"time": {"autoregression": [-2.0], "wifo": seeds}})
    assert claim.holds == holds
    assert claim.claim == "time: wifo predicts better than autoregression"
    assert claim.measured == f"{sum(seeds) / 2:.2f} dB against -2.00 dB"


@pytest.mark.parametrize(
    ("student", "holds"), [(-5.5, True), (-5.0, True), (-5.0 + 0.9 * KEPT_DB, True), (-5.0 + 1.1 * KEPT_DB, False)]
)
def test_a_student_keeps_its_teacher_up_to_a_tenth_of_a_db(student, holds):
    claims = check({"both": {"wifo": [-5.0], "tiny_wifo": [student]}})
    assert verdict(claims, "both: the distilled tiny_wifo keeps", "teacher wifo") == holds
    assert "with 25% of the parameters, wifo -5.00 dB" in claims[0].measured


@pytest.mark.parametrize(
    ("distilled", "alone", "holds", "told"),
    [
        ([-4.0], [-3.0], True, "gain +1.00 dB, more than the spread over seeds of 0.00 dB"),
        ([-3.0], [-4.0], False, "gain -1.00 dB, more than"),
        ([-3.0], [-3.0], False, "gain +0.00 dB, within"),
        # Either spread counts, the wider one.
        ([-4.0, -4.0], [-2.0, -4.0], False, "gain +1.00 dB, within the spread over seeds of 1.41 dB"),
        ([-6.0, -4.0], [-3.0, -3.0], True, "gain +2.00 dB, more than the spread over seeds of 1.41 dB"),
    ],
)
def test_a_gain_by_distillation_is_more_than_the_wider_spread_over_seeds(distilled, alone, holds, told):
    claims = check({"time": {"tiny_wifo": distilled, "tiny_wifo_no_kd": alone}})
    (claim,) = claims
    assert claim.claim == "time: mcakd makes tiny_wifo better than the same student alone (tiny_wifo_no_kd)"
    assert claim.holds == holds and claim.measured.startswith(told)


def test_only_students_that_differ_in_nothing_but_learning_are_compared():
    others = (
        Trained("another_teacher", 25, "lwm", None, "small"),
        Trained("another_shape", 25, "wifo", None, "smaller"),
        Trained("another_objective", 25, "wifo", "attention", "small"),
        Trained("pretrained", 25, None, None, "small"),
    )
    values = {"time": {name: [-3.0] for name in ("tiny_wifo", *(other.name for other in others))}}
    assert check(values, (*NETWORKS, *others)) == []


def test_who_does_not_answer_is_left_out():
    claims = check({"frequency": {"sample_and_hold": [0.0], "tiny_wifo": [-1.0]}})
    assert [claim.claim for claim in claims] == ["frequency: tiny_wifo predicts better than sample and hold"]
    assert check({}) == []
