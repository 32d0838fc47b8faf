"""What runs again when an entry, a number or a file changes: its branch, and no other."""

import copy
import json

import pandas

from tests.parameters import tiny_parameters
from tests.pipeline.conftest import study_parameters, write_measurement

# Stages that look at everything and take a second.
CHEAP = {"params", "inputs"}
# Stages that join what all others have written.
JOINING = {"compare", "register", "report"}
PREDICTORS = [
    ("predictors", "sample_and_hold"),
    ("pretrain", "lwm_temporal"),
    ("teach", "wifo"),
    ("distill", "tiny_wifo"),
]
EVALUATIONS = ("prediction", "downstream", "feedback", "efficiency")


def stages_of(group, name):
    """The stages of one network."""
    return {f"{stage}@{name}" for stage in (group, *(f"evaluate_{what}_{group}" for what in EVALUATIONS))}


def changed(study):
    return json.loads(study.dvc("status", "--json").stdout.splitlines()[-1])


def test_changed_numbers_and_a_replaced_file_run_their_branches_and_no_other(changing):
    content = study_parameters()
    content["scenarios"]["canyon"]["twin"]["site"]["traffic"]["vehicles"] = 9
    content["scenarios"]["street_canyon"]["ofdm"]["timing_advance"] = 3.0e-7
    changing.write_parameters(content)
    write_measurement(changing.folder / "measured.npz", seed=1)
    assert set(changing.flow("inputs")) == {
        "params",
        *("scenario@canyon", "csi@canyon", "angle_delay@canyon"),
        *("csi@street_canyon", "angle_delay@street_canyon"),
        *("import@measured", "imported_angle_delay@measured"),
        "inputs",
    }
    stale = set(changed(changing))
    assert {"teach@wifo", "pretrain@lwm_temporal", "evaluate_downstream_raw"} <= stale
    # Back to what was run before: everything comes from the cache.
    changing.write_inputs()
    assert set(changing.repro("inputs")) <= CHEAP
    assert not changed(changing)


def test_a_changed_number_of_a_student_runs_what_is_of_this_student_alone(changing):
    """One student with another number; beside it a second teacher of the same family, which teaches another one."""
    content = study_parameters()
    content["distill"]["tiny_wifo"]["options"]["training"] = {"learning_rate": 1.0e-3}
    wide = copy.deepcopy(content["teach"]["wifo"])
    wide["architecture"]["hidden_size"] = 64
    content["teach"]["wide_wifo"] = wide
    content["distill"]["tiny_wide"] = copy.deepcopy(content["distill"]["tiny_wifo"]) | {
        "teacher": "wide_wifo",
        "options": {"architecture": {"hidden_size": 32}},
    }
    changing.write_parameters(content)
    ran = set(changing.flow()) - CHEAP
    entries = (("distill", "tiny_wifo"), ("teach", "wide_wifo"), ("distill", "tiny_wide"))
    assert ran == JOINING.union(*(stages_of(group, name) for group, name in entries))
    results = pandas.read_csv(changing.folder / "metrics/results.csv")
    sizes = results[results["metric"] == "parameters"].set_index("model")["value"]
    assert sizes["tiny_wifo"] < sizes["wifo"] == sizes["tiny_wide"] < sizes["wide_wifo"]
    page = (changing.folder / "report/report.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in ("wifo", "wide_wifo", "tiny_wifo", "tiny_wide"))
    decisions = json.loads((changing.folder / "measurements/registry.json").read_text())
    assert {"wifo", "wide_wifo", "tiny_wifo", "tiny_wide"} <= set(decisions)


def test_a_data_set_that_every_entry_holds_out_is_one_more_column_and_no_training(changing):
    before = changing.digests()
    content = study_parameters()
    content["scenarios"]["later"] = tiny_parameters()["scenarios"]["uma_nlos"]
    for entry in (*content["pretrain"].values(), *content["teach"].values()):
        entry["held_out"] = ["later"]
    changing.write_parameters(content)
    ran = set(changing.flow()) - CHEAP
    after = changing.digests()
    assert ran == JOINING | {f"{stage}@later" for stage in ("scenario", "csi", "angle_delay")} | {
        f"evaluate_prediction_{group}@{name}" for group, name in PREDICTORS
    }
    models = {path: md5 for path, md5 in before.items() if path.startswith("models/")}
    assert models and {path: after[path] for path in models} == models
    results = pandas.read_csv(changing.folder / "metrics/results.csv")
    seen = results[(results["evaluation"] == "prediction") & (results["dataset"] == "later")]
    assert set(seen["model"]) == {name for _, name in PREDICTORS}
