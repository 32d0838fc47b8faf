"""The table of ranks: a row a model, a column a suite and metric, "-" where a model takes no part."""

import pandas

from tests.report.markdown import cells
from wavefoundry.evaluation.ranks import NMSE, RANK_COLUMNS, REGULAR, SPECTRAL_EFFICIENCY
from wavefoundry.report.ranks import rank_table


def test_shares_are_of_all_combinations_and_mean_ranks_of_those_answered():
    ranks = pandas.DataFrame(
        [
            (REGULAR, NMSE, "hold", 3, 1, 3, 5 / 3),
            (REGULAR, NMSE, "net", 3, 2, 2, 1.0),
            (REGULAR, SPECTRAL_EFFICIENCY, "hold", 3, 3, 3, 1.0),
            ("in_frequency", NMSE, "net", 1, 0, 1, 2.0),
        ],
        columns=list(RANK_COLUMNS),
    ).astype(RANK_COLUMNS)
    assert cells(rank_table(ranks)) == {
        "model": ["the questions: NMSE, of 3", "the questions: spectral efficiency, of 3", "in frequency: NMSE, of 1"],
        "---": ["---"] * 3,
        "hold": ["33% (1.7)", "100% (1.0)", "-"],
        "net": ["67% (1.0)", "-", "0% (2.0)"],
    }


def test_there_is_no_table_without_anybody():
    assert rank_table(pandas.DataFrame(columns=list(RANK_COLUMNS)).astype(RANK_COLUMNS)) is None
