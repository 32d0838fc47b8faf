"""config.json of a network, and the registration of networks with transformers' Auto classes."""

from typing import Any, ClassVar

from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from wavefoundry.networks.family import FamilyOptions, model_module


class NetworkConfig(PreTrainedConfig):
    """The options that a network was built with, checked by the family's own class whenever a folder is loaded.

    options_class: the family's options.
    options: their values, as in params.yaml.
    delay_fraction: share of the delay bins that angle-delay maps keep; of families that read CSI without meaning.
    """

    options_class: ClassVar[type[FamilyOptions]]

    options: dict[str, Any] | None = None
    delay_fraction: float = 1.0

    @property
    def settings(self) -> Any:
        """The options as the family's own class.

        Raises:
            pydantic.ValidationError: an option is missing, unknown or out of range.
        """
        return self.options_class.model_validate(self.options)

    @classmethod
    def of(cls, options: FamilyOptions, delay_fraction: float = 1.0) -> "NetworkConfig":
        """The configuration of a network with these options."""
        return cls(options=options.model_dump(mode="json"), delay_fraction=delay_fraction)


def register(family: str) -> None:
    """Let transformers' Auto classes load the networks of a family by what their config.json says."""
    for network in model_module(family).NETWORKS:
        register_network(network)


def register_network(network: type[PreTrainedModel]) -> None:
    """Register one class of networks."""
    config = network.config_class
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(config, network, exist_ok=True)
