"""Networks that build on a language model: what they refer to instead of copying it."""

from typing import Any, Self

from wavefoundry.errors import InputError
from wavefoundry.language_models.backbone import Backbone
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork


class BorrowingConfig(NetworkConfig):
    """config.json of a network that builds on a language model.

    language_model: "folder" and "digest" (md5 of its weights) of the language model, and "config", that of
        transformers.
    """

    language_model: dict[str, Any] | None = None  # not given, and refused

    @classmethod
    def on(cls, options: FamilyOptions, model: LanguageModel, **others: Any) -> Self:
        """The configuration of a network with these options on this language model, and what else it holds."""
        reference = {"folder": model.folder, "digest": model.digest, "config": model.config}
        return cls(options=options.model_dump(mode="json"), delay_fraction=1.0, language_model=reference, **others)

    @property
    def lender(self) -> dict[str, Any]:
        """`language_model`, checked.

        Raises:
            InputError: an entry is missing.
        """
        reference = self.language_model
        needed = {"folder": str, "digest": str, "config": dict}
        if not isinstance(reference, dict) or any(
            not isinstance(reference.get(name), kind) for name, kind in needed.items()
        ):
            raise InputError(f"language_model: found {str(reference)[:60]}, it must hold folder, digest and config")
        return reference


class BorrowingNetwork(SequenceNetwork):
    """A network of single sequences around a language model, whose frozen weights lie in the language model's
    folder and in no model folder.

    backbone: None of a network whose language model was taken out.
    """

    backbone: Backbone | None

    def borrowed(self) -> dict[str, str]:
        """Names of the tensors that are borrowed, and their names in the lender's weights."""
        if self.backbone is None:
            return {}
        return {f"backbone.{own}": name for own, name in self.backbone.borrowed().items()}

    @property
    def lender(self) -> tuple[str, str]:
        """Folder of the language model, and the md5 of its weights."""
        return self.config.lender["folder"], self.config.lender["digest"]
