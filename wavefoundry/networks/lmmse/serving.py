"""An LMMSE predictor as a registered predictor: one plain ONNX file.

The graph does what wavefoundry/networks/lmmse/estimate.py defines, in double precision like there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wavefoundry.deployment.complex_values import Complex, unitary
from wavefoundry.deployment.continuation import DIMENSIONS, at_most
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.leading_blocks import LeadingBlocks
from wavefoundry.deployment.plain_predictor import write_plain
from wavefoundry.networks.lmmse.model import LMMSE


def export(model: LMMSE, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    arrays, noise = model.arrays(), 10 ** (-model.options.snr_db / 10)
    limits = [at_most("covariance", axis, arrays[axis].shape[-1]) for axis in DIMENSIONS]
    write_plain(partial(prediction, arrays, noise), limits, folder)


def prediction(
    arrays: dict[str, np.ndarray], noise: float, writer: Writer, known: Term, slots: Term, subcarriers: Term
) -> Term:
    """Write what `estimate.LMMSE.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`.

    Args:
        arrays: parameters as `LMMSE.arrays` gives them.
        noise: power of the noise relative to that of the channel.
        writer, known, slots, subcarriers: of the question.
    """
    asked = {"time": slots, "frequency": subcarriers}
    checked = writer.constant([0], INT64)
    for axis, dimension in DIMENSIONS.items():
        length = arrays[axis].shape[-1]
        fits = known.size(dimension) + asked[axis] <= length
        checked = checked + writer.refuse_unless(fits, at_most("covariance", axis, length))
    csi = known.cast(DOUBLE) + checked.cast(DOUBLE)
    bins = nearest_bins(csi.size(2), len(arrays["power"]))
    time, frequency = (
        Axis.of(writer, arrays[axis], bins, csi.size(dimension), asked[axis]) for axis, dimension in DIMENSIONS.items()
    )
    power = writer.constant(arrays["power"], DOUBLE).take(bins)
    # Angle bins that are narrower or wider than those learnt keep the mean power of an antenna.
    mean = power.reduced("ReduceMean", 0).op("Max", float(np.finfo(np.float64).tiny))
    power = (power / mean).reshape(-1, 1, 1)
    joint = power * time.values.reshape(0, -1, 1) * frequency.values.reshape(0, 1, -1)

    # Of the known block's power the noise is a share, the same in every bin.
    measured = (csi * csi).reduced("ReduceMean", 1, 2, 3, 4) * (2 / (1 + noise))
    unit = measured.op("Max", float(np.finfo(np.float32).tiny)).op("Sqrt")
    angles = Complex.of((unitary(csi, 2) / unit).transpose(0, 2, 1, 3, 4))  # (sample, angle, time, subcarrier)
    inner = time.adjoint().product(angles).product(frequency.vectors.conjugate()).scaled(power / (joint + noise))
    found = time.reach.product(inner).product(frequency.reach.each(lambda part: part.transpose(0, 2, 1)))
    return (unitary(found.pairs().transpose(0, 2, 1, 3, 4), 2, inverse=True) * unit).cast(FLOAT)


@dataclass(frozen=True)
class Axis:
    """As `estimate.Axis`: eigenvalues (bin, entry) and eigenvectors (bin, known, entry) of what is known, and what
    leads from entries to what is asked for, (bin, wanted, entry). One bin stands for all where one is learnt."""

    values: Term
    vectors: Complex
    reach: Complex

    @classmethod
    def of(cls, writer: Writer, covariance: np.ndarray, bins: Term, known: Term, asked: Term) -> Axis:
        """
        Args:
            writer: of the graph.
            covariance: complex (angle bin or 1, entry, entry).
            bins: which angle bin learnt is that of each of the array, (angle,).
            known, asked: how many entries, (1,); none are asked for where the known ones are.
        """
        values, vectors = LeadingBlocks.of(writer, covariance, covariance.shape[-1], DOUBLE).block(known)
        start = writer.where(asked > 0, known, 0)
        across = Complex.constant(writer, covariance, DOUBLE).each(
            lambda part: part.cut(1, start, known + asked).cut(2, 0, known)
        )
        reach = across.product(vectors)
        if len(covariance) == 1:
            return cls(values, vectors, reach)
        return cls(values.take(bins), *(of_all.each(lambda part: part.take(bins)) for of_all in (vectors, reach)))

    def adjoint(self) -> Complex:
        return self.vectors.conjugate().each(lambda part: part.transpose(0, 2, 1))


def nearest_bins(antennas: Term, bins: int) -> Term:
    """As `estimate.nearest_bins`, (angle,)."""
    return (antennas.writer.range(antennas) * bins + antennas / 2) / antennas % bins
