"""Model folders: config.json and model.safetensors, written and read through transformers' base classes.

Nothing in a model folder is ever unpickled or executed.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StorageError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def save_model(model, folder: Path) -> None:
    """Write `model` (a transformers PreTrainedModel) as `folder`, all of it or nothing; an older folder is replaced."""
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # One file whatever the size: a shard limit would only add an index to check.
        with _quiet():
            model.save_pretrained(partial, max_shard_size="1TB")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_model(folder: Path):
    """The model of a folder, in evaluation mode on the CPU.

    The caller has imported wavefoundry.models, which registers the architectures.

    Raises:
        StorageError: a file is missing, damaged or a pickle; the architecture is unknown; tensors are missing, unknown
            or of another shape.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel

    folder = Path(folder)
    _check_files(folder)
    _check_architecture(folder)
    try:
        with _quiet():
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise StorageError(f"{folder}: cannot be loaded: {_first_line(error)}") from error
    # What does not fit is collected above, so that all of it stands in one message.
    for fault in ("missing", "unexpected", "mismatched"):
        if names := [key if isinstance(key, str) else key[0] for key in report[f"{fault}_keys"]]:
            raise StorageError(f"{folder / WEIGHTS}: {fault} tensors: {', '.join(sorted(names))}")
    return model.eval()


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise StorageError(f"{folder}: no such model folder")
    if not (folder / WEIGHTS).exists():
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern))
        if pickles:
            raise StorageError(f"{folder}: {pickles[0]} is a pickle and is not loaded; {WEIGHTS} is needed")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise StorageError(f"{folder}: {name} is missing; a model folder has {CONFIG} and {WEIGHTS}")


def _check_architecture(folder: Path) -> None:
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    try:
        found = json.loads((folder / CONFIG).read_text())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder / CONFIG}: no model configuration: {_first_line(error)}") from error
    if found not in CONFIG_MAPPING or CONFIG_MAPPING[found] not in MODEL_MAPPING:
        raise StorageError(f"{folder / CONFIG}: unknown architecture {found!r}; is wavefoundry.models imported?")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and reports of transformers, which say for milliseconds of work what the errors say anyway."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
