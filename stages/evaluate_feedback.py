"""Stages evaluate_feedback_GROUP@NAME: what a codec of channel feedback makes of one slot of held-out trajectories.

Of sequences it is the first slot; samples of which that is zero throughout have no NMSE and are left out: a line and a
row of the table tell how many. Written are a table of results and the scores of single samples; both are empty of
networks that are no codecs.
"""

from typing import TYPE_CHECKING

from stages import params
from stages.arguments import group_and_name
from stages.paths import inputs_file, model_folder, samples_file, scores_file
from stages.samples import users_of, with_power
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    from stages.schema import Params

GROUPS = ("pretrain", "teach", "distill")
SPLITS = ("validation", "test")


def score_all(parameters: "Params", name: str) -> tuple[list[dict], list[dict]]:
    """Rows of the table of results of one entry, and the columns of its table of samples."""
    from stages.loading import load_network, load_split
    from wavefoundry.csi.silence import silent
    from wavefoundry.evaluation.feedback import rows_of, score
    from wavefoundry.evaluation.feedback_options import question
    from wavefoundry.networks.capabilities import FeedbackCodec

    section = parameters.evaluate.feedback
    assert section is not None
    rows: list[dict] = []
    samples: list[dict] = []
    for seed in parameters.models[name].seeds:
        codec = load_network(parameters, name, model_folder(name, seed))
        assert isinstance(codec, FeedbackCodec)  # the options of its family say so
        for dataset in parameters.fed_back(name):
            for split in SPLITS:
                slots = load_split(dataset, split)[:, 0]
                what = f"channel feedback, data set {dataset}, split {split}"
                those = with_power(slots, users_of(dataset, split), silent(slots), what)
                rows += [
                    {"evaluation": "feedback", "model": name, "seed": seed, "dataset": dataset, "split": split} | row
                    for row in those.silent_row()
                ]
                for rate in section.rates:
                    labels = {
                        "model": name, "seed": seed, "dataset": dataset, "question": question(rate), "split": split,
                    }  # fmt: skip
                    found = score(codec, those.csi, rate, section)
                    told = rows_of(found, codec, those.csi, rate)
                    rows += [{"evaluation": "feedback"} | labels | row for row in told]
                    values = {"nmse": found.nmse.numpy(), "spectral_efficiency": found.efficiency.numpy()}
                    samples.append({**labels, **those.users, **values})
    return rows, samples


def main() -> None:
    group, name = group_and_name("stages.evaluate_feedback", __doc__, GROUPS)
    with clear_errors():
        parameters = params.read()
        model = parameters.model(name, [group])
    section, outputs = parameters.evaluate.feedback, [scores_file("feedback", name), samples_file("feedback", name)]
    inputs = [
        *(model_folder(name, seed) for seed in model.seeds),
        inputs_file(name, "fed_back"),
        inputs_file(name, "code"),
    ]
    with stage(f"evaluate_feedback_{group}@{name}", section=section, dependencies=inputs, outputs=outputs) as run:
        from wavefoundry.evaluation.results import as_table, table_of_samples

        rows: list[dict] = []
        samples: list[dict] = []
        if parameters.fed_back(name):
            import torch

            torch.set_num_threads(1)
            rows, samples = score_all(parameters, name)
        write_table(outputs[0], as_table(rows))
        write_table(outputs[1], table_of_samples(samples))
        run.log_metrics(
            {
                "{split}.{question}.{dataset}.seed_{seed}.nmse".format(**row).replace(" ", "_"): row["value"]
                for row in rows
                if row["metric"] == "nmse"
            }
        )


if __name__ == "__main__":
    main()
