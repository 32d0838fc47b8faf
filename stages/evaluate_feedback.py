"""Stages evaluate_feedback_GROUP@NAME: what a codec of channel feedback makes of one slot of held-out trajectories.

Of sequences it is the first slot. Networks that are no codecs have an empty table.
"""

from typing import TYPE_CHECKING

from stages import params
from stages.arguments import group_and_name
from stages.paths import inputs_file, model_folder, scores_file
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    from stages.schema import Params

GROUPS = ("pretrain", "teach", "distill")
SPLITS = ("validation", "test")


def score_all(parameters: "Params", name: str) -> list[dict]:
    """Rows of the table of results of one entry."""
    from stages.loading import load_network, load_split
    from wavefoundry.evaluation.feedback import question, rows_of
    from wavefoundry.networks.capabilities import FeedbackCodec

    section, rows = parameters.evaluate.feedback, []
    assert section is not None
    for seed in parameters.models[name].seeds:
        codec = load_network(parameters, name, model_folder(name, seed))
        assert isinstance(codec, FeedbackCodec)  # the options of its family say so
        for dataset in parameters.fed_back(name):
            for split in SPLITS:
                slots = load_split(dataset, split)[:, 0]
                for rate in section.rates:
                    labels = {
                        "evaluation": "feedback", "model": name, "seed": seed, "dataset": dataset,
                        "question": question(rate), "split": split,
                    }  # fmt: skip
                    rows += [labels | row for row in rows_of(codec, slots, rate, section)]
    return rows


def main() -> None:
    group, name = group_and_name("stages.evaluate_feedback", __doc__, GROUPS)
    with clear_errors():
        parameters = params.read()
        model = parameters.model(name, [group])
    section, scores = parameters.evaluate.feedback, scores_file("feedback", name)
    inputs = [
        *(model_folder(name, seed) for seed in model.seeds),
        inputs_file(name, "fed_back"),
        inputs_file(name, "code"),
    ]
    with stage(f"evaluate_feedback_{group}@{name}", section=section, dependencies=inputs, outputs=[scores]) as run:
        from wavefoundry.evaluation.results import as_table

        rows = []
        if parameters.fed_back(name):
            import torch

            torch.set_num_threads(1)
            rows = score_all(parameters, name)
        write_table(scores, as_table(rows))
        run.log_metrics(
            {
                "{split}.{question}.{dataset}.seed_{seed}.nmse".format(**row).replace(" ", "_"): row["value"]
                for row in rows
                if row["metric"] == "nmse"
            }
        )


if __name__ == "__main__":
    main()
