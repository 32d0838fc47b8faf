"""config.json of a network, and the registration of networks with transformers' Auto classes."""

from typing import Any, ClassVar, Self

from pydantic import ValidationError
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from wavefoundry.errors import InputError
from wavefoundry.faults import describe
from wavefoundry.networks.family import FamilyOptions, model_module


class NetworkConfig(PreTrainedConfig):
    """The options that a network was built with, checked by the family's own class whenever a folder is loaded.

    options_class: the family's options.
    options: their values, as in params.yaml.
    delay_fraction: share of the delay bins that angle-delay maps keep; of families that read CSI without meaning.
    """

    options_class: ClassVar[type[FamilyOptions]]

    options: dict[str, Any] | None = None
    delay_fraction: float = 0.0  # not given, and refused

    @property
    def settings(self) -> Any:
        """The options as the family's own class.

        Raises:
            InputError: an option is missing, unknown or out of range, or `delay_fraction` is; in one line.
        """
        fraction = self.delay_fraction
        if not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            raise InputError(f"delay_fraction: found {fraction!r}, it must be above 0 and at most 1")
        try:
            return self.options_class.model_validate(self.options)
        except ValidationError as error:
            told = (describe(("options", *fault["loc"]), fault) for fault in error.errors())
            raise InputError("; ".join(told)) from error

    @classmethod
    def of(cls, options: FamilyOptions, delay_fraction: float = 1.0) -> Self:
        """The configuration of a network with these options."""
        return cls(options=options.model_dump(mode="json"), delay_fraction=delay_fraction)


def register(family: str) -> None:
    """Let transformers' Auto classes load the networks of a family by what their config.json says."""
    for network in model_module(family).NETWORKS:
        register_network(network)


def register_network(network: type[PreTrainedModel]) -> None:
    """Register one class of networks."""
    config = network.config_class
    assert config is not None  # every network here names its own
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(config, network, exist_ok=True)
