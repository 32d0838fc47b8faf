"""The section on suites: a row a model, a column a condition, and what has been learnt from is marked."""

import pandas

from tests.report.markdown import cells
from wavefoundry.csi.impairment_options import DroppedSlots
from wavefoundry.evaluation.suite_options import SuiteOptions
from wavefoundry.evaluation.suites import CONDITION_COLUMNS
from wavefoundry.report.suites import condition_table, suites_section

DROPS = DroppedSlots(kind="dropped_slots", probability=0.1)
ROBUST = SuiteOptions(questions=["time"], datasets=None, samples=8, impairments={"few_drops": DROPS})
NEW = SuiteOptions(questions=["time", "both"], datasets=["d_2"], samples=None, impairments={})
FOUND = pandas.DataFrame(
    [
        ("robust", "unimpaired", "time", "hold", None, -10.0, -11.0, -9.0),
        ("robust", "few_drops", "time", "hold", None, -1.0, -2.0, 0.5),
        ("robust", "unimpaired", "time", "net", None, -12.0, -13.0, -11.0),
        ("robust", "unimpaired", "time", "net", "hold", -2.0, -3.0, 1.0),
        ("new", "d_2", "time", "net", None, -3.0, -4.0, -2.0),
    ],
    columns=list(CONDITION_COLUMNS),
).astype(CONDITION_COLUMNS)


def never(model, dataset):
    return False


def test_means_and_differences_have_their_intervals():
    rows = FOUND[FOUND["suite"] == "robust"]
    means = cells(condition_table(rows, ROBUST, None, never))
    assert means["model"] == ["unimpaired [dB]", "few drops [dB]"]
    assert means["hold"] == ["-10.00 [-11.00, -9.00]", "-1.00 [-2.00, 0.50]"]
    assert means["net"] == ["-12.00 [-13.00, -11.00]", "-"]
    differences = cells(condition_table(rows, ROBUST, "hold", never))
    assert differences["net"] == ["-2.00 [-3.00, +1.00]", "-"] and "hold" not in differences


def test_what_a_network_has_learnt_from_is_marked_where_data_sets_are_the_conditions():
    rows = FOUND[FOUND["suite"] == "new"]
    assert cells(condition_table(rows, NEW, None, lambda model, dataset: dataset == "d_2")) == {
        "model": ["d_2 [dB]"],
        "---": ["---"],
        "net": ["-3.00 [-4.00, -2.00] (learnt from it)"],
    }
    assert "learnt" not in condition_table(FOUND[FOUND["suite"] == "robust"], ROBUST, None, lambda *_: True)


def test_a_section_says_what_it_tells_and_what_it_does_not():
    text = suites_section(FOUND, {"robust": ROBUST, "new": NEW}, {"time": ["d1"]}, {"time": "hold"}, never)
    assert "### Robust\n" in text and "### New\n" in text
    assert "At most 8 test samples of each data set, evenly spread, the first seed; means over d1." in text
    assert "time: difference from hold" in text
    assert "time: all test samples of data sets one by one." in text
    assert "No predictor answers both about d_2." in text
