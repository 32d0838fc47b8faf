"""Every model is a good citizen of transformers: saved, loaded by an Auto class, and the same."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from storage.stores.csi_store import write_store
from tests.networks.convolutional import example as convolutional
from tests.networks.csi_alm_light import example as csi_alm_light
from tests.networks.gaussian_mixture import example as gaussian_mixture
from tests.networks.karhunen_loeve import example as karhunen_loeve
from tests.networks.lmmse import example as lmmse
from tests.networks.lwm import example as lwm
from tests.networks.lwm_temporal import example as lwm_temporal
from tests.networks.recurrent import example as recurrent
from tests.networks.spectral_predictor import example as spectral_predictor
from tests.networks.transformer_predictor import example as transformer_predictor
from tests.networks.truncated_angle_delay import example as truncated_angle_delay
from tests.networks.wifo import example as wifo
from tests.networks.wifo_cf import example as wifo_cf
from tests.networks.wimamba import example as wimamba
from tests.storage.example import make_dataset
from wavefoundry.networks.convolutional.model import ConvolutionalConfig
from wavefoundry.networks.csi_alm_light.model import CSIALMLightConfig
from wavefoundry.networks.gaussian_mixture.model import GaussianMixtureConfig
from wavefoundry.networks.karhunen_loeve.model import KarhunenLoeveConfig
from wavefoundry.networks.lmmse.model import LMMSEConfig
from wavefoundry.networks.lwm.model import LWMConfig
from wavefoundry.networks.lwm_temporal.model import LWMTemporalConfig, LWMTemporalPredictorConfig
from wavefoundry.networks.recurrent.model import RecurrentConfig
from wavefoundry.networks.spectral_predictor.model import SpectralPredictorConfig
from wavefoundry.networks.transformer_predictor.model import TransformerPredictorConfig
from wavefoundry.networks.truncated_angle_delay.model import TruncatedAngleDelayConfig
from wavefoundry.networks.wifo.model import WiFoConfig
from wavefoundry.networks.wifo_cf.model import WiFoCFConfig
from wavefoundry.networks.wimamba.model import WiMambaConfig

TOP = Path(__file__).parents[2]
PAGES = (TOP / "README.md", TOP / "docs/embeddings.md")
SNAPSHOTS = {"hidden_size": 16, "depth": 1, "patch_sizes": [2, 4]}
TEMPORAL = {"depth": 1, "temporal_offsets": [-1]}
# Architecture: its config, and what it makes of a channel (batch, time, antenna, subcarrier).
MODELS = {
    "convolutional": (
        ConvolutionalConfig.of(convolutional.options()),
        lambda model, csi: torch.view_as_real(model.predict(csi, 2, 0)),
    ),
    "gaussian_mixture": (
        GaussianMixtureConfig.of(gaussian_mixture.options()),
        lambda model, csi: torch.view_as_real(model.predict(csi[..., :8], 2, 4)),
    ),
    "karhunen_loeve": (
        KarhunenLoeveConfig.of(karhunen_loeve.options(sizes=[[8, 16]])),
        lambda model, csi: torch.view_as_real(model.decode(model.encode(csi[:, 0], 5), (8, 16))),
    ),
    "lmmse": (
        LMMSEConfig.of(lmmse.options()),
        lambda model, csi: torch.view_as_real(model.predict(csi[..., :8], 2, 4)),
    ),
    "lwm": (
        LWMConfig.of(lwm.options(**SNAPSHOTS, heads=2)),
        lambda model, csi: model.embed(csi[:, 0], 4).patches,
    ),
    "lwm_temporal": (
        LWMTemporalConfig.of(lwm_temporal.options(architecture=TEMPORAL | {"class_token": True}), 0.25),
        lambda model, csi: model.embed_sequence(csi).class_token,
    ),
    "lwm_temporal_predictor": (
        LWMTemporalPredictorConfig.of(
            lwm_temporal.options(architecture=TEMPORAL, prediction={"inference_only": True}), 0.25
        ),
        lambda model, csi: model.predict(csi, 2, 0),
    ),
    "recurrent": (
        RecurrentConfig.of(recurrent.options()),
        lambda model, csi: torch.view_as_real(model.predict(csi, 2, 0)),
    ),
    "spectral_predictor": (
        SpectralPredictorConfig.of(spectral_predictor.options(architecture={"depth": 1})),
        lambda model, csi: torch.view_as_real(model.predict(csi, 0, 4)),
    ),
    "transformer_predictor": (
        TransformerPredictorConfig.of(transformer_predictor.options()),
        lambda model, csi: torch.view_as_real(model.predict(csi, 2, 0)),
    ),
    "wifo": (
        WiFoConfig.of(wifo.options(architecture={"encoder_depth": 1, "heads": 2})),
        lambda model, csi: torch.view_as_real(model.predict(csi, 0, 4)),
    ),
    "truncated_angle_delay": (
        TruncatedAngleDelayConfig.of(truncated_angle_delay.options()),
        lambda model, csi: torch.view_as_real(model.decode(model.encode(csi[:, 0], 5), (8, 16))) + model.unused,
    ),
    "wifo_cf": (
        WiFoCFConfig.of(wifo_cf.options()),
        lambda model, csi: torch.view_as_real(model.decode(model.encode(csi[:, 0], 5), (8, 16))),
    ),
    "csi_alm_light": (
        CSIALMLightConfig.of(csi_alm_light.options(link={"known_slots": 4})),
        lambda model, csi: torch.view_as_real(model.predict(csi, 2, 0)),
    ),
    "wimamba": (
        WiMambaConfig.of(wimamba.options(**SNAPSHOTS)),
        lambda model, csi: model.embed(csi[:, 0], 2).class_token,
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder models/ARCHITECTURE/seed_0 of each, with weights that are not those of a fresh model."""
    top = tmp_path_factory.mktemp("project")
    generator = torch.Generator().manual_seed(0)
    for name, (config, _) in MODELS.items():
        model = AutoModel.from_config(config)
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.05 * torch.randn(value.shape, generator=generator))
        model.save_pretrained(top / "models" / name / "seed_0")
    return top


@pytest.fixture(scope="module")
def runs(project):
    """The project's MLflow store, and the runs in which its models were logged as stages log them."""
    (project / ".mlflow").mkdir()
    store = f"sqlite:///{project}/.mlflow/mlflow.db"
    client = MlflowClient(store)
    experiment = client.create_experiment("stages", (project / ".mlflow/artifacts").as_uri())
    runs = {name: client.create_run(experiment).info.run_id for name in MODELS}
    for name, run in runs.items():
        client.log_artifacts(run, str(project / "models" / name), "model")
    return store, runs


def channel():
    return torch.randn(2, 4, 8, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def test_every_architecture_of_ours_is_here():
    ours = {name for name, kind in CONFIG_MAPPING._extra_content.items() if kind.__module__.startswith("wavefoundry.")}
    # Networks on a language model refer to its weights, and are loaded by storage.models.model_folder alone.
    assert ours == set(MODELS) | {"csi_alm", "llm4cp"}


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_a_local_folder_and_an_mlflow_artifact_give_the_same_outputs(project, runs, name, tmp_path):
    config, call = MODELS[name]
    folder = project / "models" / name / "seed_0"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert type(AutoConfig.from_pretrained(folder)) is type(config)
    model = AutoModel.from_pretrained(folder)
    expected = call(model, channel())
    fresh = call(AutoModel.from_config(config).eval(), channel())
    assert expected.isfinite().all() and not torch.allclose(expected, fresh)

    store, run = runs[0], runs[1][name]
    downloaded = download_artifacts(
        run_id=run, artifact_path="model/seed_0", dst_path=str(tmp_path), tracking_uri=store
    )
    again = AutoModel.from_pretrained(downloaded)
    assert torch.equal(call(again, channel()), expected)
    again.save_pretrained(tmp_path / "copy")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "copy" / file).read_bytes() == (folder / file).read_bytes()


def test_the_example_of_the_documentation_runs_as_it_is_written(project, runs, monkeypatch):
    monkeypatch.chdir(project)
    csi = make_dataset(seed=4)
    write_store(Path("data/csi/munich_snapshots.zarr"), csi, "csi")

    example, from_mlflow = (
        block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    )
    assert len([line for line in example.splitlines() if line]) == 10
    names = {"RUN": runs[1]["wimamba"]}
    exec(example, names)
    samples, _, antennas, subcarriers = csi["csi"].shape
    seen = names["seen"]
    assert seen.patches.shape == (samples, -(-antennas // 4) * -(-subcarriers // 4), 16)
    power = (np.abs(csi["csi"].values[:, 0]) ** 2).mean((1, 2))
    np.testing.assert_allclose(seen.scale, power**0.5, rtol=1e-5)
    exec(from_mlflow, names)
    with torch.inference_mode():
        assert torch.equal(names["model"].embed(names["csi"][:, 0], patch_size=4).patches, seen.patches)
