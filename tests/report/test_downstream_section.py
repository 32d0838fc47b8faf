"""The section on downstream tasks says what the numbers say, for any number of tasks."""

import re

import pandas

from tests.evaluation.downstream.example import HEADS, OPTIONS, entry, section
from tests.evaluation.downstream.tables import errors_of, reference_rows, score_rows, table
from wavefoundry.evaluation.downstream.options import Downstream
from wavefoundry.evaluation.downstream.parts import FROZEN, TUNED
from wavefoundry.evaluation.results import as_table
from wavefoundry.plots.model_styles import model_styles
from wavefoundry.report.downstream import downstream_section, draw_downstream
from wavefoundry.training.options import Training

TRAINING = Training(
    epochs=1, batch_size=1, learning_rate=1.0, weight_decay=0.0, warmup_fraction=0.0, max_grad_norm=1.0,
    epochs_per_checkpoint=1,
    precision="float32",
)  # fmt: skip
SECTION = section(
    patch_sizes=[4, 8],
    label_fractions=[0.1, 1.0],
    choice_fraction=0.1,
    tuning={"tasks": ["los"], "layers": 2, "fraction": 0.1, "patch_size": 8, "training": TRAINING.model_dump()},
    heads=HEADS.model_dump(),
)


def results(pretrained: float, raw: float, some: Downstream = SECTION) -> pandas.DataFrame:
    """A network and the raw channel with the given accuracies, or errors of the same size, in every task."""
    curves = [
        errors_of(some, model, -level, [-level] * 2, patch_size="8", fractions=(0.1, 1.0))
        for model, level in (("raw", raw), ("lwm", pretrained))
    ]
    return table(*curves, reference_rows(some))


def test_the_section_has_the_numbers_of_every_task_and_leaves_verdicts_to_the_claims():
    text = downstream_section(results(0.75, 0.5), SECTION)
    assert text.count("| lwm | per patch, 8 | 0.750 ± 0.000 |") == 3 and "among the claims" in text
    assert "beat" not in text
    assert "70 samples to learn from, 10 to choose on, 20 to test on" in text
    for name in OPTIONS:
        assert f"figures/downstream/{name}.png" in text


def test_every_picture_that_the_section_links_is_drawn(tmp_path):
    some = results(0.75, 0.5)
    files = draw_downstream(some, SECTION, model_styles(["lwm"], []), tmp_path)
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", downstream_section(some, SECTION))
    assert {tmp_path / link for link in linked} == set(files) and all(file.is_file() for file in files)
    assert "![" not in downstream_section(some, SECTION, pictures=False)


def test_tables_grow_with_the_tasks():
    one = section(tasks={"los": entry("los")}, label_fractions=[0.1, 1.0], choice_fraction=0.1)
    text = downstream_section(results(0.75, 0.5, one), one)
    assert "Beam" not in text
    assert "| lwm | per patch, 8 | 0.750 ± 0.000 | 0.750 ± 0.000 |" in text
    assert "| a guess | no head |  | 0.000 |" in text


def test_two_entries_of_one_task_are_told_apart():
    both = section(
        tasks={"short": entry("beam_tracking", past=1), "long": entry("beam_tracking", past=3)},
        label_fractions=[0.1, 1.0],
        choice_fraction=0.1,
    )
    text = downstream_section(results(0.75, 0.5, both), both)
    assert "### Beam tracking (short)" in text and "### Beam tracking (long)" in text


def test_a_variant_of_a_task_has_a_table():
    less = score_rows(
        "lwm", "beam_tracking", "last_window", ("mean", "4"), 0.1, "top_1", {"validation": [0.3], "test": [0.25]}
    )
    text = downstream_section(pandas.concat([results(0.75, 0.5), as_table(less)], ignore_index=True), SECTION)
    assert "| lwm | 0.750 ± 0.000 | 0.250 |" in text
    assert "last window alone" in text


def test_tuned_layers_stand_beside_the_same_head_on_the_frozen_network():
    rows = [
        row
        for part, metric, value in (
            (TUNED, "accuracy", [0.9, 0.8]), (TUNED, "f1", [0.8]), (FROZEN, "accuracy", [0.7, 0.6]),
            (FROZEN, "f1", [0.9]),
        )
        for row in score_rows("lwm", "los", part, ("mean", "8"), 0.1, metric, {"test": value, "validation": value})
    ]  # fmt: skip
    some = pandas.concat([results(0.75, 0.5), as_table(rows)], ignore_index=True)
    text = downstream_section(some, SECTION)
    # The spread of the difference is that of one seed and the next, which is less than that of either side.
    assert "| Line of sight or not | lwm | accuracy | 0.650 ± 0.071 | 0.850 ± 0.071 | 0.200 ± 0.000 |" in text
    assert "| Line of sight or not | lwm | F1 | 0.900 | 0.800 | -0.100 |" in text
    assert "Last layers tuned" not in downstream_section(results(0.75, 0.5), SECTION)


def test_a_study_without_networks_that_embed_has_a_section_too():
    alone = table(errors_of(SECTION, "raw", 0.5, [0.5], fractions=(0.1, 1.0)), reference_rows(SECTION))
    assert "No trained network of this study gives representations" in downstream_section(alone, SECTION)
    assert "have not been evaluated" in downstream_section(as_table([]), SECTION)
