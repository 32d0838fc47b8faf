"""The report tells of every question what is known and what is wanted."""

from stages.report import shares
from wavefoundry.evaluation.options import Blocks


def test_shares_of_a_question_and_of_none():
    blocks = {"known": {"slots": 0.8, "subcarriers": 1.0}, "wanted": {"slots": 0.2, "subcarriers": 0.0}}
    assert shares(Blocks.model_validate(blocks)) == ["first 80%", "first 100%", "next 20%", "the known ones"]
    assert shares(None) == ["-", "-", "-", "-"]
