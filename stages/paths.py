"""Where the stages keep what they write: every path of the DAG is named here and in dvc.yaml."""

from pathlib import Path

CHECKPOINTS = Path(".checkpoints")
SCENARIOS = Path("data/scenario")
FIGURES = Path("figures")
HISTORIES = Path("history")
LANGUAGE_MODELS = Path("data/language_models")
INPUTS = Path("data/inputs")
TASKS = INPUTS / "tasks.json"
COMPARED = INPUTS / "compared.json"
ANSWERED = INPUTS / "answered.json"
FEEDBACK_ASKED = Path("metrics/feedback/asked.json")
RESULTS = Path("metrics/results.csv")
SUMMARY = Path("metrics/summary.json")
DIFFERENCES = Path("metrics/differences.csv")
SUITES = Path("metrics/suites.csv")
CLAIMS = Path("metrics/claims.csv")
MEASURED = Path("measurements/results.csv")
DECISIONS = Path("measurements/registry.json")
REPORT = Path("report")
# By evaluation, the folders of what is told sample by sample.
SAMPLES = {
    "prediction": Path("metrics/samples"),
    "suites": Path("metrics/suite_samples"),
    "downstream": Path("metrics/downstream_samples"),
    "feedback": Path("metrics/feedback/samples"),
}


def scenario_folder(name: str) -> Path:
    """Paths store and summary of one data set."""
    return SCENARIOS / name


def paths_store(folder: Path) -> Path:
    """The paths of one data set, in its `scenario_folder`."""
    return folder / "paths.zarr"


def summary_file(folder: Path) -> Path:
    """Figures about one data set, in its `scenario_folder`."""
    return folder / "summary.json"


def csi_store(name: str) -> Path:
    """The CSI of one data set."""
    return Path("data/csi") / f"{name}.zarr"


def angle_delay_store(name: str) -> Path:
    """The angle-delay maps of one data set."""
    return Path("data/angle_delay") / f"{name}.zarr"


def language_model_folder(name: str) -> Path:
    """The kept blocks of one language model."""
    return LANGUAGE_MODELS / name


def dictionary_file(name: str) -> Path:
    """The dictionary of the word embeddings of one language model."""
    return Path("data/dictionaries") / f"{name}.safetensors"


def language_model_files(name: str) -> list[Path]:
    """All that stage language_model@NAME writes."""
    return [language_model_folder(name), dictionary_file(name)]


def store(kind: str, name: str) -> Path:
    """The store of one data set that a family reads, "csi" or "angle_delay"."""
    return {"csi": csi_store, "angle_delay": angle_delay_store}[kind](name)


def inputs_file(name: str, what: str) -> Path:
    """What an entry depends on: "options", "stores", "scored", "embedded", "fed_back", "timed", "code" or "serving";
    see stages/inputs.py."""
    return INPUTS / name / f"{what}.json"


def models_folder(name: str) -> Path:
    """All networks of one entry."""
    return Path("models") / name


def model_folder(name: str, seed: int) -> Path:
    """One trained network."""
    return models_folder(name) / f"seed_{seed}"


def backbone_folder(name: str, seed: int) -> Path:
    """A pretrained network as it was before its fine-tuning, where there was one."""
    return models_folder(name) / f"backbone_seed_{seed}"


def embedder_folder(name: str, seed: int) -> Path:
    """The network of an entry whose representations are probed."""
    backbone = backbone_folder(name, seed)
    return backbone if backbone.exists() else model_folder(name, seed)


def history_file(name: str) -> Path:
    """The learning curves of one entry."""
    return HISTORIES / f"{name}.csv"


def scores_file(evaluation: str, name: str) -> Path:
    """The table that an evaluation, "prediction", "downstream", "feedback" or "efficiency", writes of one entry."""
    return Path("metrics") / evaluation / f"{name}.csv"


def samples_file(evaluation: str, name: str) -> Path:
    """What an evaluation, one of `SAMPLES`, says of one entry sample by sample."""
    return SAMPLES[evaluation] / f"{name}.csv"


def examples_file(name: str) -> Path:
    """Predicted maps of one entry, for pictures."""
    return Path("metrics/examples") / f"{name}.npz"


def measured_file(name: str) -> Path:
    """The table of the latencies and the memory of one entry, which differ from run to run by nature."""
    return Path("measurements/efficiency") / f"{name}.csv"


def training_time_file(name: str) -> Path:
    """How long the training of each seed of one entry took, which differs from run to run by nature."""
    return Path("measurements/training") / f"{name}.json"


def seconds_file(name: str) -> Path:
    """How long the downstream tasks of one entry took, which differs from run to run by nature."""
    return Path("measurements/downstream") / f"{name}.json"


def figures_folder(kind: str, name: str) -> Path:
    """Pictures of one data set or entry."""
    return FIGURES / kind / name
