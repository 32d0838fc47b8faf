"""A stranger's family, predictor and task: one new folder or file each and one entry, and they are in every table."""

import json
import textwrap
from collections.abc import Iterator

import pandas
import pytest

from stages.yaml_files import read
from tests.pipeline.conftest import Study, study_parameters
from wavefoundry.networks.family import families

FAMILY = {
    "options.py": '''
        """Settings of a network that holds the channel, by a factor that it learns."""

        from typing import ClassVar, Literal

        from wavefoundry.facts import Facts
        from wavefoundry.networks.family import FamilyOptions
        from wavefoundry.section import Positive
        from wavefoundry.training.options import Training


        class Options(FamilyOptions):
            reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

            start: Positive
            training: Training

            def why_not(self, facts: Facts) -> str | None:
                return "it has one slot" if facts.is_snapshot else None

            def why_not_predict(self, facts, known, wanted) -> str | None:
                return "only slots can be held" if wanted[1] else self.why_not(facts)
    ''',
    "model.py": '''
        """A network of one weight."""

        import torch
        from torch import nn
        from transformers import PreTrainedModel

        from wavefoundry.networks.config import NetworkConfig
        from wavefoundry.networks.toy.options import Options
        from wavefoundry.training.session import Trained
        from wavefoundry.training.trainer import train as train_network


        class ToyConfig(NetworkConfig):
            model_type = "toy"
            options_class = Options


        class Toy(PreTrainedModel):
            config_class = ToyConfig
            main_input_name = "csi"

            def __init__(self, config):
                super().__init__(config)
                self.factor = nn.Parameter(torch.tensor(config.settings.start))
                self.post_init()

            def _init_weights(self, module):
                pass

            def forward(self, csi, generator):
                half = csi.shape[1] // 2
                error = self.factor * csi[:, half - 1 : half] - csi[:, half:]
                return {"loss": error.abs().square().mean() / csi.abs().square().mean()}

            @torch.inference_mode()
            def predict(self, known, slots, subcarriers):
                return (self.factor * known[:, -1:]).expand(-1, slots, -1, -1).to(torch.complex64)


        def build(options, delay_fraction):
            return Toy(ToyConfig.of(options))


        def train(options, session):
            model, history = train_network(
                build(options, session.delay_fraction), session.dataset, config=options.training, seed=session.seed,
                checkpoints=session.checkpoints, on_epoch=session.on_epoch,
            )
            return Trained(model, history)


        NETWORKS = (Toy,)
    ''',
    "served.py": '''
        """The network in numpy, for the registry."""

        import numpy as np


        def load(settings, folder):
            return Held(settings["factor"])


        class Held:
            def __init__(self, factor):
                self.factor = factor

            def predict(self, known, slots, subcarriers):
                return np.repeat(self.factor * known[:, -1:], slots, axis=1)
    ''',
    "serving.py": '''
        """The network as a registered predictor."""

        import json
        import shutil

        from wavefoundry.networks.toy import served


        def export(model, folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(served.__file__, folder / "code.py")
            (folder / "settings.json").write_text(json.dumps({"factor": float(model.factor)}))
    ''',
}  # fmt: skip
PREDICTOR = '''
    """The mean of the known slots and subcarriers."""

    import numpy as np
    from pydantic import BaseModel, Field


    class Options(BaseModel):
        last: int = Field(ge=1, description="slots that the mean is taken over")


    class Predictor:
        def __init__(self, options):
            self.last = options.last

        def predict(self, known, slots, subcarriers):
            held = known[:, -self.last :].mean(axis=1, keepdims=True).repeat(slots, axis=1) if slots else known
            return held.mean(axis=3, keepdims=True).repeat(subcarriers, axis=3) if subcarriers else held
'''

TASK = '''
    """Whether a channel is stronger than the median of those that are learnt from."""

    import numpy as np

    from wavefoundry.evaluation.downstream.classification import ClassificationTask
    from wavefoundry.evaluation.downstream.task import TaskOptions


    class Options(TaskOptions):
        hidden: list[int]


    class Task(ClassificationTask):
        title = "whether the channel is strong"
        metric = "accuracy"
        sees_strength = True
        guess = "the more frequent class"

        def labels(self, snapshots):
            power = snapshots.csi.abs().square().mean(dim=(1, 2)).numpy()
            return (power > np.median(power[snapshots.rows["train"]])).astype(int)
'''


# Everything that predicts, the toys among them.
PREDICTORS = {"sample_and_hold", "mean_of_two", "lwm_temporal", "wifo", "tiny_wifo", "toy"}


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text).lstrip())


@pytest.fixture(scope="module")
def toys(study) -> Iterator[Study]:
    """The study with a toy of each kind; dvc.yaml is the project's, unchanged."""
    with study.put_back():
        for name, text in FAMILY.items():
            write(study.folder / "wavefoundry/networks/toy", name, text)
        (study.folder / "wavefoundry/networks/toy/__init__.py").touch()
        write(study.folder / "wavefoundry/predictors", "mean_of_known.py", PREDICTOR)
        write(study.folder / "wavefoundry/tasks", "strong_channel.py", TASK)
        study.write_parameters(with_toys())
        study.toys_run = set(study.flow())
        yield study


def with_toys():
    """The study's parameters and one entry more of each kind."""
    content = study_parameters()
    training = content["teach"]["wifo"]["training"]
    content["teach"]["toy"] = {"family": "toy", "start": 0.5, "training": training, "held_out": [], "seeds": [0, 1]}
    content["predictors"]["mean_of_two"] = {"method": "mean_of_known", "last": 2}
    content["evaluate"]["downstream"]["tasks"]["strong_channel"] = {"hidden": [4]}
    return content


def table(study):
    return pandas.read_csv(study.folder / "metrics/results.csv")


def test_toys_run_and_nothing_of_others_but_their_new_task(toys):
    assert toys.toys_run == {
        "params", "inputs", "compare", "register", "report",
        "teach@toy", "evaluate_prediction_teach@toy", "evaluate_efficiency_teach@toy", "evaluate_downstream_teach@toy",
        "evaluate_feedback_teach@toy",
        "evaluate_prediction_predictors@mean_of_two", "evaluate_efficiency_predictors@mean_of_two",
        "evaluate_downstream_raw", "evaluate_downstream_teach@wifo", "evaluate_downstream_distill@tiny_wifo",
        "evaluate_downstream_pretrain@lwm_temporal",
    }  # fmt: skip


def test_toys_are_in_the_table_of_results(toys):
    results = table(toys)
    prediction = results[results["evaluation"] == "prediction"]
    assert set(prediction["model"]) == PREDICTORS
    toy = prediction[prediction["model"] == "toy"]
    assert set(toy["question"]) == {"time"} and set(toy["seed"]) == {0, 1}
    assert set(prediction.loc[prediction["model"] == "mean_of_two", "question"]) == {"time", "frequency", "both"}
    downstream = results[(results["evaluation"] == "downstream") & (results["question"] == "strong_channel")]
    assert {"raw", "wifo"} <= set(downstream["model"])
    # Representations are no capability of the toy: left out, and no failure.
    assert "toy" not in set(results.loc[results["evaluation"] == "downstream", "model"])
    costs = results[(results["metric"] == "parameters") & (results["model"] == "toy")]
    assert costs["value"].tolist() == [1.0]


def test_toys_are_in_report_and_registry(toys):
    page = (toys.folder / "report/report.html").read_text()
    for name in ("toy", "mean_of_two"):
        assert f"<td>{name}</td>" in page
    assert "Whether the channel is strong" in page or "whether the channel is strong" in page
    decisions = json.loads((toys.folder / "measurements/registry.json").read_text())
    assert set(decisions) == PREDICTORS | {"predictor"}
    assert all(decisions[name]["alias"] == "champion" for name in ("mean_of_two", "toy"))


def test_toys_are_served_by_the_registry(toys):
    code = """
import mlflow, numpy as np
known = (np.arange(1, 1 + 2 * 4 * 2 * 3).reshape(2, 4, 2, 3) * (1 + 1j)).astype(np.complex64)
for name in ("toy", "mean_of_two"):
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    print(name, model.predict(known, params={"slots": 5, "subcarriers": 0}).shape)
held = mlflow.pyfunc.load_model("models:/mean_of_two@champion").predict(known, params={"slots": 1, "subcarriers": 0})
assert np.allclose(held[:, 0], known[:, -2:].mean(axis=1))
"""
    uri = f"sqlite:///{toys.folder}/.mlflow/mlflow.db"
    result = toys.run("-c", f"import os; os.environ['MLFLOW_TRACKING_URI'] = {uri!r}\n{code}")
    assert result.returncode == 0, result.stdout
    assert "toy (2, 5, 2, 3)" in result.stdout and "mean_of_two (2, 5, 2, 3)" in result.stdout


def test_an_edit_of_a_familys_code_makes_its_stages_stale_and_no_others(toys):
    model = toys.folder / "wavefoundry/networks/toy/model.py"
    text = model.read_text()
    model.write_text(text.replace("A network of one weight.", "A network of a single weight."))
    toys.repro("inputs")
    stale = set(json.loads(toys.dvc("status", "--json").stdout.splitlines()[-1]))
    # The registry holds the code that serves a network, too.
    assert stale == {
        "teach@toy", "evaluate_prediction_teach@toy", "evaluate_downstream_teach@toy", "evaluate_efficiency_teach@toy",
        "evaluate_feedback_teach@toy",
        "register",
    }  # fmt: skip
    model.write_text(text)
    toys.repro("inputs")


def test_an_entry_of_a_family_that_is_not_there_is_one_message(toys):
    before = toys.digests()
    content = read(toys.folder / "params.yaml")
    toys.write_parameters(content | {"teach": {"other": content["teach"]["toy"] | {"family": "llama"}}})
    result = toys.dvc("repro")
    toys.write_parameters(content)
    assert result.returncode != 0
    allowed = ", ".join(sorted([*families(), "toy"]))
    assert f"teach.other.family: found llama, allowed: {allowed}" in result.stdout
    assert "Traceback" not in result.stdout
    assert all((toys.folder / path).exists() for path in before)
