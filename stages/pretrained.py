"""What networks build on: the language models that stage language_model@NAME has prepared.

A module of its own: trainings must not depend on what only evaluations read (stages/loading.py).
"""

from typing import TYPE_CHECKING

from stages.paths import dictionary_file, language_model_folder

if TYPE_CHECKING:
    from wavefoundry.language_models.language_model import LanguageModel


def load_language_model(name: str) -> "LanguageModel":
    """A language model of params.yaml, on the CPU.

    Raises:
        StorageError: it has not been prepared, or is damaged.
    """
    from storage.models.language_model_folder import load_language_model as load
    from wavefoundry.language_models.language_model import LanguageModel

    folder = language_model_folder(name)
    found = load(folder, dictionary_file(name))
    return LanguageModel(name, str(folder), found.digest, found.config, found.weights, found.dictionary)
