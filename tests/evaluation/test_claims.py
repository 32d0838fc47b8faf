"""Claims follow the numbers, whoever wins."""

import pandas
import pytest

from wavefoundry.evaluation.claims import KEPT_DB, Claim, Difference, Trained, check_claims, pairs_to_compare
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS

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


def sure(values: dict[str, dict[str, list[float]]], trained, half: float = 0.0) -> pandas.DataFrame:
    """The differences of all pairs, with intervals of `half` on each side."""
    rows = []
    for question, models in values.items():
        for model, other in pairs_to_compare(trained, METHODS):
            if model in models and other in models:
                gap = sum(models[model]) / len(models[model]) - sum(models[other]) / len(models[other])
                rows.append((question, model, other, gap, gap - half, gap + half))
    return pandas.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).astype(DIFFERENCE_COLUMNS)


def check(values: dict[str, dict[str, list[float]]], trained=NETWORKS, half: float = 0.0) -> list[Claim]:
    return check_claims(means(values), sure(values, trained, half), trained, METHODS)


def verdict(claims: list[Claim], *words: str) -> str:
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
    told = ["yes", "yes", "yes", "no", "undecided", "yes", "yes", "yes", "no", "yes"]
    assert [claim.holds for claim in claims] == told
    assert [claim.claim.startswith("time: ") for claim in claims] == [True] * 5 + [False] * 5
    assert all(claim.claim.startswith(("time: ", "frequency: ")) for claim in claims)


@pytest.mark.parametrize(("seeds", "holds"), [([-4.0, -1.0], "yes"), ([-2.0, -2.0], "undecided"), ([0.0, -3.0], "no")])
def test_a_network_beats_a_method_with_the_mean_of_its_seeds(seeds, holds):
    (claim,) = check({"time": {"autoregression": [-2.0], "wifo": seeds}})
    assert claim.holds == holds
    assert claim.claim == "time: wifo predicts better than autoregression"
    assert claim.measured.startswith(f"{sum(seeds) / 2:.2f} dB against -2.00 dB, difference ")


@pytest.mark.parametrize(
    ("student", "holds"), [(-5.5, "yes"), (-5.0, "yes"), (-5.0 + 0.9 * KEPT_DB, "yes"), (-5.0 + 1.1 * KEPT_DB, "no")]
)
def test_a_student_keeps_its_teacher_up_to_a_tenth_of_a_db(student, holds):
    claims = check({"both": {"wifo": [-5.0], "tiny_wifo": [student]}})
    assert verdict(claims, "both: the distilled tiny_wifo keeps", "teacher wifo") == holds
    assert "with 25% of the parameters, wifo -5.00 dB" in claims[0].measured


@pytest.mark.parametrize(
    ("distilled", "alone", "holds", "told"),
    [
        ([-4.0], [-3.0], "yes", "difference -1.00 dB [-1.00, -1.00], spread over seeds 0.00 dB"),
        ([-3.0], [-4.0], "no", "difference +1.00 dB"),
        ([-3.0], [-3.0], "undecided", "difference +0.00 dB"),
        # Either spread counts, the wider one.
        ([-4.0, -4.0], [-2.0, -4.0], "undecided", "difference -1.00 dB [-1.00, -1.00], spread over seeds 1.41 dB"),
        ([-6.0, -4.0], [-3.0, -3.0], "yes", "difference -2.00 dB [-2.00, -2.00], spread over seeds 1.41 dB"),
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


def test_an_interval_on_both_sides_decides_nothing():
    values = {"time": {"autoregression": [-2.0], "wifo": [-2.5], "tiny_wifo": [-2.4]}}
    assert [claim.holds for claim in check(values, half=0.4)] == ["yes", "undecided", "undecided"]
    assert [claim.holds for claim in check(values, half=0.6)] == ["undecided", "undecided", "undecided"]
    assert Difference(-1.0, -1.5, 0.25).below(0) == "undecided"
    assert str(Difference(-1.0, -1.5, 0.25)) == "-1.00 dB [-1.50, +0.25]"
