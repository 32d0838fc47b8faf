"""What a family of networks says of itself without torch, and how families are found by name.

A family is a folder `wavefoundry/networks/NAME`; every folder here that has an `options.py` is one. Its modules:

- `options.py` defines `Options`, a `FamilyOptions`: the only declaration of the family's settings;
- `model.py` defines `NETWORKS`, the classes of the networks; `build(options, delay_fraction)`, a fresh network of them,
  where `delay_fraction` is the share of the delay bins that angle-delay maps keep (of networks that build on a language
  model instead `on(options, model)`, with a `wavefoundry.language_models.language_model.LanguageModel`); and
  `train(options, session) -> wavefoundry.training.session.Trained`, the training phases;
- `serving.py`, if its networks can be registered, defines `export(model, folder)`, which writes what
  `wavefoundry.deployment.served_predictor` loads: one plain ONNX file, or what needs the code around it that runs there
  without torch (`served.py`).

What a network can do is told by the protocols of `wavefoundry.networks.capabilities`.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

import wavefoundry.networks
from wavefoundry.discovery import options_of_folders
from wavefoundry.facts import Facts
from wavefoundry.section import Section


class FamilyOptions(Section):
    """Settings of one entry of a family; config.json of a trained network holds them.

    reads: the kind of store that the family learns from.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]]

    def why_not(self, facts: Facts) -> str | None:
        """Why the network cannot learn from a data set; None if it can."""
        raise NotImplementedError

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        """Why the network cannot answer a question about a data set; None if it can.

        Args:
            facts: of the data set.
            known: number of known slots and known subcarriers.
            wanted: number of slots after the known ones and of subcarriers after the known ones that are asked for;
                0 where the known ones are meant.
        """
        return "this family does not predict"

    def why_not_embed(self, facts: Facts) -> str | None:
        """Why the network gives no representations of single slots of a data set; None if it does."""
        return "this family gives no representations"

    def why_not_feed_back(self, facts: Facts) -> str | None:
        """Why the network gives no feedback of single slots of a data set; None if it does."""
        return "this family gives no feedback"

    @property
    def language_models(self) -> tuple[str, ...]:
        """Entries of `language_models` that the network builds on, which its training is handed."""
        return ()

    @property
    def granularities(self) -> list[int] | None:
        """Patch sizes of which a reader has the choice; None of a family with one patch."""
        return None

    @property
    def tunable_layers(self) -> int:
        """How many of its last layers may be trained together with a head; 0: none."""
        return 0

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same options with some values replaced, mapping by mapping.

        Raises:
            pydantic.ValidationError: the result is not valid.
        """
        return type(self).model_validate(merged(self.model_dump(), changes))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `changes`; where both hold mappings, key by key."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(result.get(key), Mapping) and isinstance(value, Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


@cache
def families() -> dict[str, type[FamilyOptions]]:
    """The options of every family by its name."""
    return options_of_folders(wavefoundry.networks, "model")


def model_module(family: str) -> ModuleType:
    """Module `model` of a family; imports torch."""
    return import_module(f"wavefoundry.networks.{family}.model")


def serving_module(family: str) -> ModuleType | None:
    """Module `serving` of a family, or None if its networks cannot be registered."""
    name = f"wavefoundry.networks.{family}.serving"
    return import_module(name) if find_spec(name) else None
