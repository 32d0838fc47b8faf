"""Stage language_model@NAME: the first blocks of a pretrained language model, and the dictionary of its words."""

import argparse
import hashlib
import tempfile
from pathlib import Path

from stages import params
from stages.paths import language_model_files
from stages.stage import clear_errors, stage
from wavefoundry.errors import InputError
from wavefoundry.language_models.options import FolderSource, LanguageModelOptions


def prepare(section: LanguageModelOptions, name: str, folder: Path, dictionary: Path) -> dict[str, float]:
    """Write a language model and its dictionary; what lies there from before is replaced at the end; returns figures.

    Args:
        section: entry `name` of the group `language_models` in params.yaml.
        name: of the entry.
        folder: gets the model.
        dictionary: file of the dictionary.

    Raises:
        InputError: the source cannot be had or is no language model, or has less than is asked for.
        StorageError: the disk is full, or the like.
    """
    from storage.models.language_model_folder import packed_dictionary, save_dictionary, save_language_model
    from wavefoundry.language_models.dictionary import principal_dictionary
    from wavefoundry.language_models.reduction import number_of_blocks, reduced, word_embeddings
    from wavefoundry.language_models.sources import open_source

    with tempfile.TemporaryDirectory(prefix="language_model_") as scratch:
        try:
            found = open_source(section.source, Path(scratch))
            embeddings = word_embeddings(found.backbone)
            config, weights = reduced(found.backbone, section.blocks)
            content = packed_dictionary(principal_dictionary(embeddings, section.dictionary))
        except InputError as error:
            raise InputError(f"language_models.{name}: {error}") from None
    total = number_of_blocks(found.backbone.config)
    md5 = hashlib.md5(content).hexdigest()
    source = {
        "source": found.origin,
        "blocks": {"kept": section.blocks, "of": total},
        "dictionary": {"rows": section.dictionary, "md5": md5},
    }
    save_language_model(folder, config, weights, found.licence, source)
    save_dictionary(dictionary, content)
    words, width = embeddings.shape
    return {
        "blocks": section.blocks,
        "blocks_of_source": total,
        "words": words,
        "width": width,
        "parameters": sum(value.numel() for value in weights.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: language_models")
    name = parser.parse_args().name
    with clear_errors():
        section = params.read().entry("language_models", name)
    folder, dictionary = language_model_files(name)
    source = Path(section.source.path) if isinstance(section.source, FolderSource) else None
    # A folder that is missing is told of by who would read it.
    read = [source] if source is not None and source.exists() else []
    with stage(
        f"language_model@{name}", section=section, dependencies=read, outputs=[folder, dictionary], keep=True
    ) as run:
        run.log_metrics(prepare(section, name, folder, dictionary))


if __name__ == "__main__":
    main()
