"""Settings of prediction with mixtures of Gaussians."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count, Section


class Mixture(Section):
    """One mixture, of series of slots or of subcarriers."""

    length: Annotated[int, Field(ge=2)] = Field(
        description="slots (or subcarriers), known and wanted together, that a prediction can span"
    )
    components: Count = Field(description="zero-mean Gaussians, each with a full covariance")
    series: Count = Field(description="series that it is fitted on, drawn by their energy; at least one a sample")
    iterations: Count = Field(description="steps of expectation maximisation")


class Options(FamilyOptions):
    """Settings of one predictor with mixtures of Gaussians.

    Source: Koller, Fesl, Turan, Utschick, "An Asymptotically MSE-Optimal Estimator Based on Gaussian Mixture Models",
    IEEE Transactions on Signal Processing 70, 2022, arXiv:2112.12499.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    time: Mixture
    frequency: Mixture
    floor: Annotated[float, Field(ge=1e-6, lt=1)] = Field(
        description="least eigenvalue of a covariance, of series of unit power; single precision allows no smaller one"
    )
    snr_db: float = Field(description="assumed SNR of the known block [dB]")

    def why_not(self, facts: Facts) -> str | None:
        return facts.why_nothing_to_predict

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        if reason := self.why_not(facts):
            return reason
        for axis, mixture, before, asked in zip(
            ("slots", "subcarriers"), (self.time, self.frequency), known, wanted, strict=True
        ):
            if asked and before + asked > mixture.length:
                return f"it spans {before + asked} {axis}, and the mixture is learnt for {mixture.length}"
        return None
