"""Settings of linear minimum mean square error prediction with learnt covariances."""

from typing import ClassVar, Literal

from pydantic import Field

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count


class Options(FamilyOptions):
    """Settings of one LMMSE predictor.

    Source: N. Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time Series", MIT Press, 1949; for
    channels O. Edfors et al., "OFDM Channel Estimation by Singular Value Decomposition", IEEE Transactions on
    Communications 46(7), 1998.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    covariance: Literal["kronecker", "per_bin"] = Field(
        description="one covariance of slots and one of subcarriers for all angles, or a pair for each angle bin"
    )
    angles: Count = Field(description="angle bins for which powers (or covariances) are learnt, whatever the array")
    slots: Count = Field(description="known and wanted slots together that a prediction can span")
    subcarriers: Count = Field(description="known and wanted subcarriers together that a prediction can span")
    snr_db: float = Field(description="assumed SNR of the known block [dB]")

    def why_not(self, facts: Facts) -> str | None:
        return facts.why_nothing_to_predict

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        if reason := self.why_not(facts):
            return reason
        for axis, most, before, asked in zip(
            ("slots", "subcarriers"), (self.slots, self.subcarriers), known, wanted, strict=True
        ):
            if before + asked > most:
                return f"it spans {before + asked} {axis}, and covariances are learnt for {most}"
        return None
