"""Typed parameters of the model registry's gate."""

from pydantic import Field

from wavefoundry.section import Count, NonNegative, Positive, Section

# Name in the registry of the best of all entries; no entry may have it.
BEST = "predictor"


class Int8(Section):
    calibration_samples: Count = Field(
        description="of the training split of each data set that the network learns from, with every question"
    )
    loss_limit_db: NonNegative = Field(
        description="what loses more NMSE on the validation split, with any question, is kept out of the registry"
    )


class Register(Section):
    margin_db: NonNegative = Field(description="a challenger must beat the champion's held-out NMSE by more than this")
    latency_limit_ms: Positive = Field(description="a slower version never becomes champion: one prediction [ms]")
    size_limit_mebibytes: Positive = Field(description="what is larger as it is served is evaluated and not registered")
    int8: Int8 | None = Field(description="null: no INT8 forms")
