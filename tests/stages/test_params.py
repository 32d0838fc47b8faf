"""params.yaml: every fault is one message with key, value and what is allowed; what follows from the entries."""

import json
import re
from pathlib import Path

import pytest
import yaml

from stages import params
from stages.yaml_files import read
from tests.parameters import FILE, PROJECT, tiny_parameters
from wavefoundry.errors import InputError

TINY = tiny_parameters()
SITE = "scenarios.street_canyon.twin.site"
# A scene of somebody's own with the traffic of the street canyon.
TOWN = TINY["scenarios"]["street_canyon"]["twin"]
TOWN = TOWN | {"site": TOWN["site"] | {"scene": "town/town.xml"}}
SCENE = {"kind": "scene", "files": "town", "twin": TOWN, "ofdm": TINY["scenarios"]["street_canyon"]["ofdm"]}
PLANAR = TINY["scenarios"]["uma_nlos"]["twin"]["array"] | {"rows": 4, "columns": 8}
PLANAR = {
    "twin": TINY["scenarios"]["uma_nlos"]["twin"] | {"array": PLANAR},
    "ofdm": TINY["scenarios"]["uma_nlos"]["ofdm"],
}
LWM = "pretrain.lwm_temporal.architecture"
DOWNSTREAM = "evaluate.downstream"
SUITES = "evaluate.prediction.suites"


def with_value(content, key, value):
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[last] = value
    return content


def changed(*changes):
    content = tiny_parameters()
    for key, value in changes:
        with_value(content, key, value)
    return params.parse(yaml.safe_dump(content, sort_keys=False), "params.yaml")


def test_the_default_study_and_that_of_the_tests_are_valid():
    assert set(params.read(PROJECT / "params.yaml").scenarios) == set(read(PROJECT / "params.yaml")["scenarios"])
    assert set(params.read(FILE).scenarios) == set(TINY["scenarios"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sede", 1, "sede: unknown key"),
        (f"{SUITES}.robustness.questions", ["tomorrow"],
         r"suites\.robustness\.questions is 'tomorrow', allowed: time, frequency, both"),
        (f"{SUITES}.robustness.datasets", ["paris"], r"suites\.robustness\.datasets: no data set 'paris', found: stre"),
        (f"{SUITES}.robustness.datasets", ["canyon"], r"robustness\.datasets: canyon cannot be asked about: "),
        (f"{SUITES}.robustness.datasets", [], r"suites\.robustness\.datasets: found \[\]"),
        (f"{SUITES}.robustness.questions", ["time", "time"], "questions: 'time' is there twice"),
        (f"{SUITES}.robustness.impairments.burst.kind", "flood",
         r"robustness\.impairments\.burst\.kind: found flood, allowed: independent_phase, .*burst, .*dropped_slots"),
        (f"{SUITES}.robustness.impairments.burst.degree", 0.5, r"impairments\.burst\.degree: found 0\.5"),
        (f"{SUITES}.robustness.impairments.unimpaired", {"kind": "burst", "degree": 0.1},
         r"suites\.robustness: impairments\.unimpaired: the name stands for"),
        (f"{SUITES}.Robust", {}, r"suites\.Robust.*should match pattern"),
        ("evaluate.prediction.zero_forcing", {"users": 1, "groups": 1, "seed": 0}, r"zero_forcing\.users: found 1"),
        ("scenarios.street_canyon.twin.scenery", 1, r"scenarios\.street_canyon\.twin\.scenery: unknown key"),
        (f"{SITE}.scene", "paris", r"canyon\.twin\.site: scene 'paris', allowed: munich, etoile"),
        (f"{SITE}.scene", "my/town.xml", "scene of your own goes under imported"),
        (f"{SITE}.traffic.vehicle_speed", [-1.0, 3.0], "found -1.0.*greater than or equal to 0"),
        (f"{SITE}.traffic.vehicle_speed", [9.0, 3.0], "must be .smallest, largest."),
        (f"{SITE}.traffic", TINY["scenarios"]["street_canyon"]["twin"]["site"]["traffic"]
         | {"vehicles": 0, "pedestrians": 0}, "at least 3 users"),
        ("scenarios.street_canyon.twin.base_stations", [], r"canyon\.twin\.base_stations: found \[\].*at least 1 item"),
        ("scenarios.street_canyon.twin.tracing.keys.interval", 0, r"twin\.tracing\.keys\.interval: found 0"),
        ("scenarios.street_canyon.twin.array.polarisation", "left", "found 'left'.*'V', 'H', 'VH' or 'cross'"),
        ("scenarios.street_canyon.twin.kind", "drawn", r"canyon\.twin\.kind: found drawn, allowed: ray_t"),
        ("workers.processes", 0, r"workers\.processes: found 0"),
        ("teach.wifo.family", "wifi", r"teach\.wifo\.family: found wifi, allowed: .*, wifo, wifo_cf, wimamba"),
        ("teach.wifo.held_out", ["paris"], r"teach\.wifo\.held_out: there is no data set 'paris', found: .*canyon"),
        ("teach.wifo.held_out", [*TINY["scenarios"], "measured"], "wifo: there is no data set that it can learn from"),
        ("imported", {"street_canyon": SCENE}, "the name is taken by scenarios"),
        ("imported", {"town": SCENE | {"files": "elsewhere"}}, "'town/town.xml' must lie in files, 'elsewhere'"),
        ("imported", {"town": SCENE | {"kind": "obj"}}, r"imported\.town\.kind: found obj, allowed: .*deepmimo"),
        ("language_models.tiny_llama.blocks", 0, r"language_models\.tiny_llama\.blocks: found 0"),
        ("language_models.tiny_llama.dictionary", 1.5, r"language_models\.tiny_llama\.dictionary: found 1\.5"),
        ("language_models.tiny_llama.source", {"kind": "url", "path": "x"},
         r"tiny_llama\.source\.kind: found url, allowed: wheel, folder, hub, random"),
        ("language_models.tiny_llama.source", {"kind": "folder", "path": "x", "package": "y"},
         r"language_models\.tiny_llama\.source\.package: unknown key"),
        ("language_models.tiny_llama.source", {"kind": "wheel", "package": "--pre", "version": "1"},
         r"tiny_llama\.source\.package: found '--pre'"),
        ("language_models.tiny_llama.source", {"kind": "hub", "name": "a/b"}, r"tiny_llama\.source\.revision: missing"),
        ("language_models.tiny_llama.source.architecture", {"n_layer": 2},
         r"tiny_llama\.source\.architecture: model_type is missing"),
        ("language_models.Tiny", {}, r"language_models\.Tiny.*should match pattern"),
        ("scenarios.uma_nlos.twin.users", 0, "found 0.*greater than or equal to 3"),
        ("scenarios.uma_nlos.ofdm.subcarriers", "32", "found '32'.*valid integer"),
        ("angle_delay.delay_fraction", 0.0, "found 0.0.*greater than 0"),
        ("teach.wifo.architecture.patch_size", [32, 16, 32],
         r"from uma_nlos: architecture.patch_size \[32, 16, 32\]: a sample of 16 x .* x 32 is a single patch"),
        ("teach.wifo.architecture.heads", 3, "heads 3 does not divide hidden_size 32"),
        (f"{LWM}.patch_size", [3, 1], "3 does not divide the 16 angle bins"),
        (f"{LWM}.max_seq_len", 10, "max_seq_len 10 is less than its 128 tokens"),
        (f"{LWM}.temporal_offsets", [0, 1], r"temporal_offsets: found \[0, 1\], .*distinct and not 0"),
        (f"{LWM}.same_frame_window", 9, "same_frame_window 9 is larger than the grid of 4 x 2 tokens"),
        (f"{LWM}.num_heads", 7, "num_heads 7 does not divide"),
        ("evaluate.efficiency.patch_size", 3, r"efficiency\.patch_size is 3, allowed are the .*\[2, 4, 6, 8\]"),
        ("pretrain.lwm.architecture.heads", 5, "heads 5 does not divide hidden_size"),
        ("pretrain.lwm.architecture.max_seq_len", 30, "max_seq_len 30 is less than the 129 tokens"),
        ("pretrain.wimamba.architecture.patch_sizes", [4, 4], r"patch_sizes: found \[4, 4\], values must be distinct"),
        ("pretrain.wimamba.architecture.hidden_size", 63, "found 63.*multiple of 2"),
        ("pretrain.wifo", TINY["teach"]["wifo"], r"teach\.wifo: the name is taken by pretrain\.wifo"),
        ("pretrain.raw", TINY["pretrain"]["lwm"], r"pretrain\.raw: the name stands for something else"),
        ("predictors.predictor", {"method": "sample_and_hold"}, r"predictors\.predictor: the name stands for"),
        ("teach.wifo_untrained", TINY["teach"]["wifo"], r"teach\.wifo_untrained: the name stands for something else"),
        ("teach.Wifo", TINY["teach"]["wifo"], r"teach\.Wifo.*should match pattern"),
        (f"teach.{'w' * 300}", TINY["teach"]["wifo"], r"teach\.w{30}.*at most 60 characters"),
        ("distill.tiny_wifo.teacher", "llama",
         r"distill\.tiny_wifo\.teacher: there is no entry 'llama', found: .*wifo"),
        ("distill.tiny_wifo.teacher", "tiny_wifo", r"distill\.tiny_wifo\.teacher: 'tiny_wifo' is taught by its own"),
        ("distill.tiny_wifo.teacher", "lwm_temporal",
         r"distill\.tiny_wifo\.objective mcakd cannot be used: .*; the teacher is a lwm_temporal, the student a wifo, "
         r"allowed: a teacher of the family wifo$"),
        ("distill.tiny_wifo.family", "llama", r"distill\.tiny_wifo\.family: found 'llama', allowed: .*or 'wimamba'$"),
        ("distill.tiny_wifo.objective", "mcakd",
         r"objective: found 'mcakd', allowed: null, or a mapping with kind: attention_relations, mcakd, output_match"),
        ("distill.tiny_wifo.options", {"architecture": {"hidden_size": 64}},
         "hidden_size 64 is more than the teacher's"),
        ("distill.tiny_wifo.options", {"architecture": {"hiden_size": 16}},
         r"options\.architecture\.hiden_size: unknown"),
        ("distill.tiny_wifo.options", {"architecture": {"hidden_size": 17}}, "does not divide hidden_size 17"),
        ("distill.tiny_wifo.options", {"architecture": {"encoder_depth": 2}},
         r"objective mcakd cannot be used: architecture\.encoder_depth 2 does not divide the teacher's 1"),
        ("distill.tiny_wifo.objective.kind", "copying",
         r"distill\.tiny_wifo\.objective\.kind: found copying, allowed: attention_relations, mcakd, output_matching"),
        ("distill.tiny_wifo.objective.weigt", 1.0, r"distill\.tiny_wifo\.objective\.weigt: unknown key"),
        ("distill.tiny_wifo.objective.selection_heads", 3, "selection_heads 3 does not divide"),
        ("distill.tiny_wifo.seeds", [1, 1], r"distill\.tiny_wifo\.seeds: found \[1, 1\], values must be distinct"),
        ("predictors.guess", {}, r"predictors\.guess\.method: found guess, allowed: autoregression, kalman, "),
        ("predictors.autoregression", {"order": 0}, r"predictors\.autoregression\.order: found 0"),
        ("predictors.autoregression", {}, r"predictors\.autoregression\.order: missing"),
        ("predictors.autoregression", {"order": 3, "damping": 1}, r"predictors\.autoregression\.damping: unknown key"),
        ("predictors.wifo", {"method": "autoregression", "order": 1}, r"predictors\.wifo: the name is taken by teach"),
        ("evaluate.prediction.questions", {}, r"questions: found \{\}|at least 1"),
        ("evaluate.prediction.questions.time.wanted.slots", 0.0, "both 0: nothing is asked for"),
        ("evaluate.prediction.questions.time.wanted.slots", 0.6, "known.slots 0.5 and wanted.slots 0.6 are more than"),
        (f"{DOWNSTREAM}.channels", "paris", r"downstream\.channels: there is no data set 'paris', found: street"),
        (f"{DOWNSTREAM}.beams", "uma_nlos", "canyon and .*beams uma_nlos must be ray-traced with equal site"),
        (f"{DOWNSTREAM}.beams", "street_canyon", "street_canyon must be ray-traced with equal site"),
        (f"{DOWNSTREAM}.codebook", 8, "codebook is 8, it must be at least the 16 antennas of canyon_28ghz"),
        (f"{DOWNSTREAM}.patch_sizes", [4, 5, 8], r"pretrain\.wimamba has no embedding for 5, allowed: 2, 4, 6, 8"),
        (f"{DOWNSTREAM}.choice_fraction", 0.2, "choice_fraction 0.2 is none of label_fractions"),
        (f"{DOWNSTREAM}.label_fractions", [0.5, 0.5, 1.0], "label_fractions .* must rise"),
        (f"{DOWNSTREAM}.tuning.layers", 9, "tuning.layers is 9, allowed: at most the depth"),
        (f"{DOWNSTREAM}.tuning.patch_size", 3, "tuning.patch_size is 3, allowed"),
        (f"{DOWNSTREAM}.tuning.tasks", ["localisation"], "tuning.tasks names 'localisation'"),
        (f"{DOWNSTREAM}.tasks.weather", {},
         r"downstream\.tasks\.weather\.task: found weather, allowed: .*beam_predict"),
        (f"{DOWNSTREAM}.tasks.los", {}, r"downstream\.tasks\.los\.hidden: missing"),
        (f"{DOWNSTREAM}.tasks.interpolation.pilot_spacing", [16, 4], "leaves fewer than two pilots along an axis"),
        ("scenarios", {}, r"channels: there is no data set|generalisation\.datasets: no data set"),
    ],
)  # fmt: skip
def test_faults_are_named(key, value, message):
    with pytest.raises(InputError, match=message) as caught:
        changed((key, value))
    assert max(map(len, str(caught.value).splitlines())) < 330


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed", 2**63, "less than or equal to 4294967295"),
        ("teach.wifo.seeds", [2**32], "less than or equal to 4294967295"),
        ("evaluate.prediction.snr_db", float("nan"), "a finite number"),
        ("evaluate.prediction.snr_db", float("-inf"), "a finite number"),
        ("evaluate.prediction.snr_db", 301.0, "numbers must lie between -300 and 300"),
        ("predictors.kalman", {"order": 1, "snr_db": 1e6, "compensation": 0.0}, "lie between -300 and 300"),
        ("predictors.kalman", {"order": 1, "snr_db": float("inf"), "compensation": 0.0}, "a finite number"),
        ("language_models.tiny_llama.source.architecture", {"model_type": "llama", "hidden_size": 2**40},
         "numbers must lie between"),
        ("language_models.tiny_llama.source.architecture", {"model_type": "llama", "rope": {"theta": [1.0, 1e13]}},
         "numbers must lie between"),
        ("language_models.tiny_llama.source.architecture", {"model_type": "llama", "eps": float("nan")},
         "numbers must lie between"),
        ("scenarios.street_canyon.twin.array.spacing", float("inf"), "a finite number"),
        ("scenarios.street_canyon.twin.carrier_frequency", float("nan"), "a finite number"),
        ("scenarios.street_canyon.twin.base_stations", [{"position": [0.0, float("nan"), 1.0],
         "orientation": [0.0, 0.0, 0.0]}], "a finite number"),
        (f"{SITE}.centre", [1e9, 0.0], "less than or equal to 100000000"),
        ("teach.wifo.training.learning_rate", 1e300, "less than or equal to 1000000000000"),
        ("teach.wifo.training.epochs", 10**10, "less than or equal to 1000000000"),
        (f"{SITE}.sampling.slot_duration", 5e-324, "greater than or equal to 0.000000000000001"),
        (f"{DOWNSTREAM}.channels", "x" * 251, "at most 250 characters"),
    ],
)  # fmt: skip
def test_numbers_are_finite_and_bounded(key, value, allowed):
    with pytest.raises(InputError, match=re.escape(allowed)) as caught:
        changed((key, value))
    assert str(caught.value).startswith(f"params.yaml: {key}")
    assert len(str(caught.value).splitlines()[0]) < 300


def test_a_student_of_another_family_than_its_teacher_is_told_that_it_needs_all_options():
    with pytest.raises(InputError) as caught:
        changed(("distill.tiny_wifo.teacher", "lwm"), ("distill.tiny_wifo.objective", None))
    first, *others = str(caught.value).splitlines()
    assert first == (
        "params.yaml: distill.tiny_wifo.options: the student is a wifo and its teacher lwm a lwm, allowed: all options "
        "of a wifo"
    )
    assert "params.yaml: distill.tiny_wifo.options.masking: missing" in others
    assert all(line.endswith(": missing") for line in others)


def test_a_data_set_that_no_entry_can_read_is_refused():
    odd = json.loads(json.dumps(TINY["scenarios"]["canyon"]))
    odd["ofdm"]["subcarriers"] = 4096
    odd["twin"]["array"]["columns"] = 64
    with pytest.raises(
        InputError, match=r"odd: no entry can read this data set; wimamba: architecture.max_seq_len"
    ) as caught:
        changed(("scenarios.odd", odd))
    # A line for each network, and no word about anything else.
    told = re.findall(
        r"^params\.yaml: scenarios\.odd: no entry can read this data set; (\w+): ", str(caught.value), re.M
    )
    assert told == [name for group in ("pretrain", "teach", "distill") for name in TINY[group]]
    assert len(told) == len(str(caught.value).splitlines())


def test_networks_learn_from_what_they_can_read_and_is_not_held_out():
    read = changed(("scenarios.planar", PLANAR), ("imported", {"town": SCENE}))
    assert read.learnt_by("lwm_temporal") == ["street_canyon", "uma_nlos", "town"]
    assert read.learnt_by("wifo") == read.learnt_by("tiny_wifo") == ["street_canyon", "uma_nlos", "planar", "town"]
    assert read.learnt_by("wimamba") == list(read.datasets)
    assert "canyon" not in read.sequences and "wimamba" not in read.answering
    assert read.answering[:2] == ["sample_and_hold", "autoregression"]
    assert read.compared["time"] == ["street_canyon", "uma_nlos", "town"]
    assert any(line.startswith("lwm_temporal does not learn from planar: its array") for line in read.left_out)
    with pytest.raises(
        InputError, match=r"questions\.time: no data set is learnt from by every predictor that answers"
    ):
        some, *others = changed().compared["time"]
        changed(("teach.wifo.held_out", [some]), ("pretrain.lwm_temporal.held_out", others))
    held = changed(("teach.wifo.held_out", ["uma_nlos"]))
    assert "uma_nlos" not in held.learnt_by("tiny_wifo") and "uma_nlos" not in held.compared["time"]
    assert held.why_not_predict("wifo", "time", "uma_nlos") is None


def test_a_predictor_without_training_is_not_asked_what_it_cannot_answer():
    shares = {"known": {"slots": 0.25, "subcarriers": 1.0}, "wanted": {"slots": 0.5, "subcarriers": 0.0}}
    few = ("evaluate.prediction.questions.time.exceptions", {"uma_nlos": shares})
    kalman = ("predictors.kalman", {"order": 4, "snr_db": 20.0, "compensation": 0.0})
    read = changed(kalman, few)
    assert ("time", "uma_nlos") not in read.answered("kalman") and ("frequency", "uma_nlos") in read.answered("kalman")
    assert ("time", "uma_nlos") in read.answered("autoregression")
    told = [line for line in read.left_out if line.startswith("kalman")]
    assert told == ["kalman does not answer time about uma_nlos: 4 slots are known; order 4 needs at least 5"]


def test_a_held_out_data_set_with_shares_of_its_own_leaves_trainings_and_comparison_as_they_were():
    def shares(known, wanted):
        slots = {"known": known, "wanted": wanted}
        blocks = {block: {"slots": share, "subcarriers": float(block == "known")} for block, share in slots.items()}
        return "evaluate.prediction.questions.time.exceptions", {"late": blocks}

    late = {"twin": PLANAR["twin"] | {"slots": 20}, "ofdm": PLANAR["ofdm"] | {"subcarriers": 48}}
    held_out = [(f"{name}.held_out", ["late"]) for name in ("teach.wifo", "pretrain.wimamba", "pretrain.lwm")]
    before, after = changed(), changed(("scenarios.late", late), *held_out, shares(0.8, 0.2))
    assert after.compared == before.compared
    assert all(after.learnt_by(name) == before.learnt_by(name) for name in before.models)
    assert all(after.why_not_predict(name, "time", "late") is None for name in ("wifo", "tiny_wifo", "autoregression"))
    assert "no uniform linear one" in after.why_not_predict("lwm_temporal", "time", "late")
    # The shares are those of this data set alone.
    none_left = changed(("scenarios.late", late), *held_out, shares(0.99, 0.01))
    assert none_left.why_not_predict("wifo", "time", "late") == "the known block leaves none of its 20 slots"
    assert none_left.why_not_predict("wifo", "time", "uma_nlos") is None
    with pytest.raises(InputError, match=r"questions\.time\.exceptions: no data set 'late', found: street_canyon"):
        changed(shares(0.8, 0.2))


def test_a_question_is_not_asked_about_a_data_set_of_which_it_says_so():
    questions = "evaluate.prediction.questions"
    before = changed()
    after = changed(
        (f"{questions}.time.exceptions", {"uma_nlos": None}),
        (f"{questions}.frequency.exceptions", {"street_canyon": None, "measured": None}),
    )
    assert after.why_not_predict("wifo", "time", "uma_nlos") == "it is not asked about this data set"
    gone = {("time", "uma_nlos"), ("frequency", "street_canyon"), ("frequency", "measured")}
    for name in (*before.models, *before.predictors):
        assert after.answered(name) == [pair for pair in before.answered(name) if pair not in gone]
    for question, datasets in before.compared.items():
        assert set(after.compared[question]) >= {name for name in datasets if (question, name) not in gone}
    # Whoever answers a question at all is compared on all data sets of this question, and so has a mean.
    for name in after.answering:
        for question in {asked for asked, _ in after.answered(name)}:
            assert after.compared[question]
            assert {(question, dataset) for dataset in after.compared[question]} <= set(after.answered(name))
    with pytest.raises(InputError, match=r"claims\.one\.model: 'wifo' is no predictor that answers 'time' about its"):
        changed(
            (f"{questions}.time.exceptions", {"uma_nlos": None}),
            ("claims", {"one": CLAIM | {"question": "time", "model": "wifo", "datasets": ["uma_nlos"]}}),
        )


def test_wifo_answers_questions_of_any_known_block_and_learns_from_data_sets_of_any_size():
    questions = changed(("evaluate.prediction.questions.late", {
        "known": {"slots": 0.625, "subcarriers": 1.0}, "wanted": {"slots": 0.25, "subcarriers": 0.0}, "exceptions": {}
    }))  # fmt: skip
    assert questions.why_not_predict("wifo", "late", "uma_nlos") is None
    assert questions.why_not_predict("lwm_temporal", "late", "uma_nlos") is None
    assert questions.why_not_predict("autoregression", "late", "uma_nlos") is None
    odd = changed(("scenarios.uma_nlos.twin.slots", 15), ("scenarios.uma_nlos.ofdm.subcarriers", 30))
    assert "uma_nlos" in odd.learnt_by("wifo") and "uma_nlos" in odd.learnt_by("tiny_wifo")


def test_entries_of_one_family_stand_side_by_side():
    wide = TINY["teach"]["wifo"] | {"architecture": TINY["teach"]["wifo"]["architecture"] | {"hidden_size": 64}}
    student = TINY["distill"]["tiny_wifo"] | {"teacher": "wide_wifo", "options": {"architecture": {"hidden_size": 32}}}
    read = changed(("teach.wide_wifo", wide), ("distill.tiny_wide", student))
    assert read.models["tiny_wide"].options.architecture.hidden_size == 32
    assert read.models["tiny_wide"].options.training == read.models["wide_wifo"].options.training
    assert list(read.models)[-1] == "tiny_wide" and read.models["wide_wifo"].family == "wifo"


CLAIM = {
    "source": "ours", "says": "it is better", "question": "time", "model": "wifo", "others": ["sample_and_hold"],
    "datasets": None, "ahead_db": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "tme"}, r"claims\.one\.question is 'tme', allowed: time, frequency"),
        ({"model": "wfo"}, r"claims\.one\.model: 'wfo' is no predictor that answers 'time' .*, found: sample_and_hold"),
        ({"others": ["lwm"]}, r"claims\.one\.others: 'lwm' is no predictor"),
        ({"others": []}, r"claims\.one\.others"),
        ({"others": ["wifo"]}, r"claims\.one.*'wifo' is the model itself"),
        ({"datasets": ["nowhere"]}, r"claims\.one\.datasets: no data set 'nowhere', found: "),
        ({"datasets": ["canyon"]}, r"claims\.one\.model: 'wifo' is no predictor that answers 'time' .*, found: none"),
        ({"ahead_db": float("nan")}, r"claims\.one\.ahead_db"),
    ],
)
def test_claims_are_about_what_there_is(changes, message):
    assert changed(("claims.one", CLAIM)).claims["one"].model == "wifo"
    with pytest.raises(InputError, match=message):
        changed(("claims.one", CLAIM | changes))


TASK_CLAIM = {
    "source": "ours", "says": "it is better", "task": "estimation", "label_fraction": 0.5, "model": "wimamba",
    "others": ["raw", "raw_lmmse", "wimamba_untrained", "wifo"], "ahead": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "tracking"}, r"claims\.one\.task is 'tracking', allowed: los, "),
        ({"label_fraction": 0.3}, r"claims\.one\.label_fraction is 0\.3, allowed are .*: 0\.5, 1\.0"),
        ({"label_fraction": 0.0}, r"claims\.one\.label_fraction: found 0\.0"),
        ({"model": "wimmba"}, r"claims\.one\.model: 'wimmba' has no score of 'estimation' .*, found: raw, raw_lmmse"),
        ({"others": ["sample_and_hold"]}, r"claims\.one\.others: 'sample_and_hold' has no score of 'estimation'"),
        ({"task": "los"}, r"claims\.one\.others: 'raw_lmmse' has no score of 'los' .*, found: raw, lwm_temporal"),
        ({"label_fraction": 1.0}, r"claims\.one\.others: 'wimamba_untrained' has no score .* 100% of the labels"),
        ({"others": ["wimamba"]}, r"claims\.one.*'wimamba' is the model itself"),
        ({"ahead": "much"}, r"claims\.one\.ahead: found 'much'"),
        ({"ahead_db": 0.0}, r"claims\.one\.ahead_db: unknown key"),
    ],
)
def test_claims_about_tasks_are_about_what_is_scored(changes, message):
    assert changed(("claims.one", TASK_CLAIM)).claims["one"].task == "estimation"
    with pytest.raises(InputError, match=message):
        changed(("claims.one", TASK_CLAIM | changes))
    with pytest.raises(InputError, match=r"claims\.one\.task is 'estimation', but evaluate\.downstream is null"):
        changed(("claims.one", TASK_CLAIM), ("evaluate.downstream", None))


TABLE = {
    "title": "Table I", "split": "test", "columns": {"Teacher": "wifo"}, "questions": ["time"],
    "rows": {"streets": ["street_canyon"]}, "costs": ["latency_ms"], "published": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": ["tme"]}, r"tables\.one\.questions is 'tme', allowed: time, frequency"),
        ({"rows": {"far": ["nowhere"]}}, r"tables\.one\.rows\.far: no data set 'nowhere', found: "),
        ({"columns": {"Teacher": "wfo"}}, r"tables\.one\.columns: 'wfo' is no predictor that answers 'time' about"),
        ({"columns": {"Teacher": "wfo"}, "rows": {}}, r"tables\.one\.columns: there is no entry 'wfo', found: .*wifo"),
        ({"rows": {}, "costs": []}, r"tables\.one.*rows and costs are both empty"),
        ({"split": "train"}, r"tables\.one\.split: found 'train'.*'validation' or 'test'"),
    ],
)
def test_tables_are_about_what_there_is(changes, message):
    assert changed(("tables.one", TABLE)).tables["one"].columns == {"Teacher": "wifo"}
    with pytest.raises(InputError, match=message):
        changed(("tables.one", TABLE | changes))


def test_a_student_can_teach():
    grand = TINY["distill"]["tiny_wifo"] | {"teacher": "tiny_wifo", "options": {"architecture": {"hidden_size": 8}}}
    read = changed(("distill.grand", grand))
    assert read.models["grand"].options.architecture.hidden_size == 8
    assert read.learnt_by("grand") == read.learnt_by("wifo")


def test_missing_keys_files_and_broken_yaml_are_named(tmp_path):
    content = dict(TINY)
    del content["seed"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="seed: missing"):
        params.read(path)
    path.write_text("seed: [")
    with pytest.raises(InputError, match="not valid YAML"):
        params.read(path)
    with pytest.raises(InputError, match="no such file"):
        params.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("place", "wrong", "right"),
    [("imported.measured", "file", "files"), ("imported.measured.blocks.any.0", "files", "file")],
)
def test_a_key_of_nearly_the_right_name_is_told_with_the_right_one(place, wrong, right):
    content = tiny_parameters()
    entry = content
    for key in place.split("."):
        entry = entry[int(key) if key.isdecimal() else key]
    entry[wrong] = entry.pop(right)
    with pytest.raises(InputError) as told:
        params.parse(yaml.safe_dump(content), "params.yaml")
    assert f"params.yaml: {place}.{wrong}: unknown key; {right} is missing there, is that meant?" in str(told.value)


def test_a_file_below_files_that_is_a_file_itself_is_refused():
    content = tiny_parameters()
    content["imported"]["measured"]["blocks"]["any"][0]["file"] = "measured.npz"
    with pytest.raises(
        InputError, match=r"imported\.measured.*: blocks\.any: file is 'measured\.npz', a name in the folder"
    ):
        params.parse(yaml.safe_dump(content), "params.yaml")


def test_a_data_set_of_snapshots_is_left_to_entries_that_do_not_predict():
    content = tiny_parameters()
    content["imported"]["measured"]["slots"] = 1
    study = params.parse(yaml.safe_dump(content), "params.yaml")
    asked = [(name, study.answered(name)) for name in (*study.models, *study.predictors)]
    assert all(dataset != "measured" for _, questions in asked for _, dataset in questions)
    reason = study.why_not_predict(
        next(iter(study.predictors)), next(iter(study.evaluate.prediction.questions)), "measured"
    )
    assert reason == "it has one slot, in which there is nothing to predict"


def test_all_faults_of_a_file_come_in_one_message():
    with pytest.raises(InputError) as caught:
        changed(("angle_delay.delay_fraction", 2.0), ("seed", -1))
    assert "seed: found -1" in str(caught.value) and "delay_fraction: found 2.0" in str(caught.value)


def test_a_long_value_is_not_echoed_whole():
    with pytest.raises(InputError) as caught:
        changed(("seed", "9" * 100_000))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["data", "data/language_models"])
def test_a_file_in_place_of_a_folder_is_one_message(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(FILE.read_text())
    Path("dvc.yaml").write_text("stages: {}")
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("a file")
    with pytest.raises(SystemExit, match=rf"^{name}: cannot be written \(File exists\); nothing was changed$"):
        params.main([])
    assert Path(name).read_text() == "a file"


def test_another_file_cannot_be_named(capsys):
    with pytest.raises(SystemExit):
        params.main(["studies/paper.yaml"])
    assert "unrecognized arguments: studies/paper.yaml" in capsys.readouterr().err


def test_reading_params_needs_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys; from stages import params; params.read()\n"
        "print([name for name in ('torch', 'sklearn', 'transformers', 'mlflow', 'xarray') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert Path(PROJECT, "params.yaml").exists()


def test_a_suite_asks_about_what_a_predictor_has_learnt_from_or_about_what_it_names():
    found = changed(("teach.wifo.held_out", ["uma_nlos"]))
    assert ("time", "uma_nlos") in found.answered("wifo")
    assert {dataset for _, dataset in found.answered_in("robustness", "wifo")} == set(found.learnt_by("wifo"))
    assert found.answered_in("generalisation", "wifo") == [("time", "uma_nlos"), ("frequency", "uma_nlos")]
    assert set(found.compared["time"]) <= {dataset for _, dataset in found.answered_in("robustness", "wifo")}
    assert found.has_learnt("wifo", "street_canyon") and not found.has_learnt("wifo", "uma_nlos")
    assert changed(("evaluate.prediction.suites", {}), ("evaluate.prediction.zero_forcing", None)).compared
