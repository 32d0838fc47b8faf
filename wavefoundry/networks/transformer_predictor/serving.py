"""A transformer of single antenna ports as a registered predictor."""

from wavefoundry.networks.sequences.sequence_serving import export

__all__ = ["export"]
