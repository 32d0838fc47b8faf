"""What a question makes known and asks for, in samples of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wavefoundry.evaluation.options import Blocks, QuestionOptions


def question(known=(0.5, 0.5), wanted=(0.5, 0.5)) -> Blocks:
    """Shares of (slots, subcarriers)."""
    axes = ("slots", "subcarriers")
    return Blocks.model_validate(
        {"known": dict(zip(axes, known, strict=True)), "wanted": dict(zip(axes, wanted, strict=True))}
    )


shares = st.floats(0, 1).flatmap(lambda known: st.tuples(st.just(known), st.floats(0, 1 - known)))


@given(slots=shares, subcarriers=shares, sizes=st.tuples(st.integers(1, 300), st.integers(1, 300)))
def test_known_and_wanted_are_never_more_than_the_whole_and_never_nothing(slots, subcarriers, sizes):
    (known_slots, more_slots), (known_band, more_band) = slots, subcarriers
    if not known_slots or not known_band or known_slots + more_slots > 1 or known_band + more_band > 1:
        return
    if not more_slots and not more_band:
        return
    known, wanted = question((known_slots, known_band), (more_slots, more_band)).sizes(*sizes)
    for share, size, before, after in zip((more_slots, more_band), sizes, known, wanted, strict=True):
        assert before >= 1 and after >= 0
        assert before + after <= size
        # As long as something is left, something is asked for; and only what was asked for.
        assert (after >= 1) == (share > 0 and before < size)


def test_sizes_by_hand():
    assert question().sizes(16, 32) == ((8, 16), (8, 16))
    assert question((0.5, 1.0), (0.5, 0.0)).sizes(16, 32) == ((8, 32), (8, 0))
    assert question((1.0, 0.5), (0.0, 0.25)).sizes(16, 32) == ((16, 16), (0, 8))
    assert question((0.25, 1.0), (0.1, 0.0)).sizes(16, 32) == ((4, 32), (2, 0))
    # At least one of each, however small the share.
    assert question((0.01, 0.01), (0.01, 0.01)).sizes(4, 8) == ((1, 1), (1, 1))
    # Both halves of an odd number are rounded; the whole is not exceeded.
    assert question().sizes(3, 7) == ((2, 4), (1, 3))


@pytest.mark.parametrize(
    ("known", "wanted", "message"),
    [
        ((0.75, 1.0), (0.5, 0.0), r"known.slots 0.75 and wanted.slots 0.5 are more than the whole, 1"),
        ((1.0, 0.75), (0.0, 0.5), r"known.subcarriers 0.75 and wanted.subcarriers 0.5 are more than the whole, 1"),
        ((0.5, 0.5), (0.0, 0.0), r"wanted.slots and wanted.subcarriers are both 0: nothing is asked for"),
        ((0.0, 0.5), (0.5, 0.5), r"known.slots"),
        ((0.5, 0.5), (-0.1, 0.5), r"wanted.slots"),
        ((0.5, 0.5), (0.5, 1.1), r"wanted.subcarriers"),
    ],
)
def test_questions_that_are_none_are_refused_and_the_key_is_named(known, wanted, message):
    with pytest.raises(ValidationError, match=message):
        question(known, wanted)


def test_an_exception_is_about_one_data_set_alone():
    late = {"known": {"slots": 0.8, "subcarriers": 1.0}, "wanted": {"slots": 0.2, "subcarriers": 0.0}}
    asked = question((0.5, 1.0), (0.5, 0.0)).model_dump()
    options = QuestionOptions.model_validate(asked | {"exceptions": {"llm4cp": late}})
    assert options.about("llm4cp").sizes(20, 48) == ((16, 48), (4, 0))
    assert options.about("munich").sizes(20, 48) == ((10, 48), (10, 0))
    options = QuestionOptions.model_validate(asked | {"exceptions": {"llm4cp": None}})
    assert options.about("llm4cp") is None and options.about("munich") == options
    with pytest.raises(ValidationError, match=r"known.slots 0.8 and wanted.slots 0.3 are more than the whole"):
        late = late | {"wanted": {"slots": 0.3, "subcarriers": 0.0}}
        QuestionOptions.model_validate(asked | {"exceptions": {"llm4cp": late}})
