"""A transformer of single sequences as a registered predictor."""

from wavefoundry.networks.sequences.sequence_serving import export

__all__ = ["export"]
