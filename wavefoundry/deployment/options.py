"""Typed parameters of the model registry's gate."""

from pydantic import Field

from wavefoundry.section import NonNegative, Positive, Section

# Name in the registry of the best of all entries; no entry may have it.
BEST = "predictor"


class Register(Section):
    margin_db: NonNegative = Field(description="a challenger must beat the champion's held-out NMSE by more than this")
    latency_limit_ms: Positive = Field(description="a slower version never becomes champion: one prediction [ms]")
    size_limit_mebibytes: Positive = Field(description="what is larger as it is served is evaluated and not registered")
