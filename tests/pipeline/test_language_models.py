"""A network on a language model, and its student, from the stage of the language model to the registry."""

import json

import pandas
import pytest

from tests.pipeline.conftest import study_parameters

TRAINING = {
    "epochs": 1,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "max_grad_norm": 1.0,
    "epochs_per_checkpoint": 1,
    "precision": "float32",
}
PORTS = {
    "link": {"known_slots": 8, "horizon": 8, "subcarriers": 32, "band": "same"},
    "sequences": {"kind": "angle_delay_taps", "taps": 4, "drawn": 2, "strongest": 4},
    "linear_prediction": {
        "orders": {"time": 2, "frequency": 2},
        "hidden_size": 4,
        "first_share": 0.33,
        "own_weight": 1.0,
    },
    "statistics": "sequence",
    "reference": "phase",
    "snr_db": [10.0, 30.0],
    "few_shot": None,
    "training": TRAINING,
}
TEACHER = {
    "family": "csi_alm",
    "language_model": "tiny_llama",
    "blocks": True,
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": ["q_proj", "v_proj"]},
    "patch": 4,
    "conv_channels": 4,
    "conv_blocks": 1,
    "dropout": 0.0,
    "alignment": {"rows": 8, "heads": 4, "feed_forward": 16},
    "prompts": {"pool": 10, "chosen": 2, "similarity_weight": 0.01},
    "held_out": [],
    "seeds": [0],
}
STUDENT = {
    "family": "csi_alm_light",
    "teacher": "csi_alm",
    "options": PORTS
    | {
        "architecture": {
            "hidden_size": 16, "depth": 1, "heads": 2, "feed_forward": 16, "prompts": 2, "dropout": 0.0
        }
    },
    "objective": {"kind": "attention_relations", "weight": 0.1, "relation_heads": 8},
    "seeds": [0],
}  # fmt: skip

CLAIM = {
    "source": "ours",
    "says": "the student loses nothing to its teacher",
    "question": "time",
    "model": "csi_alm_light",
    "others": ["csi_alm"],
    "datasets": None,
    "ahead_db": 0.0,
}


def test_from_the_language_model_to_the_registry(study):
    content = study_parameters()
    content["teach"]["csi_alm"] = TEACHER | PORTS
    content["distill"]["csi_alm_light"] = STUDENT
    content["claims"] = {"light_equals_teacher": CLAIM}
    with study.put_back():
        study.write_parameters(content)
        ran = study.flow("register")
        assert {"teach@csi_alm", "distill@csi_alm_light", "evaluate_prediction_distill@csi_alm_light"} <= set(ran)
        assert not {"teach@wifo", "pretrain@lwm_temporal", "language_model@tiny_llama"} & set(ran)
        results = pandas.read_csv(study.folder / "metrics/results.csv")
        scored = results[(results["metric"] == "nmse") & results["model"].isin(["csi_alm", "csi_alm_light"])]
        assert set(scored["question"]) == {"time"} and set(scored["model"]) == {"csi_alm", "csi_alm_light"}
        (claim,) = pandas.read_csv(study.folder / "metrics/claims.csv").to_dict("records")
        assert claim["other"] == "csi_alm" and claim["holds"] in ("yes", "no", "undecided")
        assert claim["difference"] == pytest.approx(claim["score"] - claim["other_score"])
        decisions = json.loads((study.folder / "measurements/registry.json").read_text())
        assert decisions["csi_alm"]["alias"] == decisions["csi_alm_light"]["alias"] == "champion"
        # The base stays where it is.
        config = json.loads((study.folder / "models/csi_alm/seed_0/config.json").read_text())
        assert config["language_model"]["folder"] == "data/language_models/tiny_llama"

        # Other weights of the language model concern those that build on it.
        content["language_models"]["tiny_llama"]["source"]["seed"] = 1
        study.write_parameters(content)
        ran = study.flow("distill")
        assert {"language_model@tiny_llama", "inputs", "teach@csi_alm", "distill@csi_alm_light"} <= set(ran)
        assert not {"teach@wifo", "distill@tiny_wifo"} & set(ran)
