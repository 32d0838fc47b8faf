"""Language models on disk: the folder of the kept blocks, and the dictionary beside it.

A folder holds config.json and model.safetensors as transformers reads them, LICENCE, and source.json, which says where
the weights come from and has the md5 of the dictionary that was made of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.digests import digest
from storage.errors import StorageError, first_line
from storage.models.model_folder import CONFIG, WEIGHTS
from storage.replacement import clear_write_errors, recover, replace_file, replacing

LICENCE = "LICENCE"
SOURCE = "source.json"
DICTIONARY = "dictionary"  # the tensor's name


@dataclass(frozen=True)
class StoredLanguageModel:
    """What the two outputs hold.

    config: of transformers, with model_type.
    weights: tensors by name.
    dictionary: float32 (rows, width).
    digest: md5 of model.safetensors.
    source: where the weights come from.
    """

    config: dict[str, Any]
    weights: dict[str, Any] = field(repr=False)
    dictionary: Any = field(repr=False)
    digest: str
    source: dict[str, Any]


def save_language_model(
    folder: Path, config: dict[str, Any], weights: Mapping[str, Any], licence: str, source: dict[str, Any]
) -> None:
    """Write the folder of a language model, all of it or nothing; an older one is replaced.

    Args:
        folder: to write.
        config: of transformers, with model_type.
        weights: state dict of the network that it makes.
        licence: text or name.
        source: where the weights come from.

    Raises:
        StorageError: it cannot be written, or another process is writing it.
    """
    from safetensors.torch import save_file

    with replacing(folder) as partial, clear_write_errors(folder):
        _write_json(partial / CONFIG, config)
        # transformers asks for the word on the format.
        save_file(dict(weights), partial / WEIGHTS, metadata={"format": "pt"})
        (partial / LICENCE).write_text(licence, encoding="utf-8")
        _write_json(partial / SOURCE, source)


def packed_dictionary(dictionary) -> bytes:
    """A dictionary, a tensor (rows, width), as the content of its file."""
    from safetensors.torch import save

    return save({DICTIONARY: dictionary}, metadata={"format": "pt"})


def save_dictionary(path: Path, content: bytes) -> None:
    """Write what `packed_dictionary` made, all of it or nothing.

    Raises:
        StorageError: it cannot be written.
    """
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def load_language_model(folder: Path, dictionary: Path) -> StoredLanguageModel:
    """What lies in the folder of a language model and in the file of its dictionary.

    Raises:
        StorageError: a file is missing or damaged, or the two do not belong together.
    """
    recover(folder)
    for path in (folder / CONFIG, folder / WEIGHTS, folder / SOURCE, dictionary):
        if not path.is_file():
            raise StorageError(f"{path}: missing; stage language_model@{folder.name} writes it")
    config, source = _read_json(folder / CONFIG), _read_json(folder / SOURCE)
    if source.get("dictionary", {}).get("md5") != digest(dictionary):
        raise StorageError(
            f"{dictionary} was not made of the word embeddings in {folder}, or was changed; run again: "
            f"dvc repro --force --single-item language_model@{folder.name}"
        )
    tensors = _read_tensors(dictionary)
    if list(tensors) != [DICTIONARY] or tensors[DICTIONARY].ndim != 2:
        raise StorageError(f"{dictionary}: expected one tensor {DICTIONARY!r} (rows, width)")
    weights = _read_tensors(folder / WEIGHTS)
    return StoredLanguageModel(config, weights, tensors[DICTIONARY], digest(folder / WEIGHTS), source)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path}: expected a mapping")
    return content


def _read_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} is no safetensors file, or it was cut short: {first_line(error)}") from error
