"""A predictor with mixtures of Gaussians as a registered predictor: one plain ONNX file.

The graph does what wavefoundry/networks/gaussian_mixture/posterior.py defines, in single precision like there, and its
transforms in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wavefoundry.deployment.complex_values import Complex, unitary
from wavefoundry.deployment.continuation import DIMENSIONS, at_most
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.leading_blocks import LeadingBlocks
from wavefoundry.deployment.plain_predictor import rms_scale, write_plain
from wavefoundry.networks.gaussian_mixture.model import AXES, GaussianMixture
from wavefoundry.networks.gaussian_mixture.posterior import LEAST_SIGNAL, Mixture, logarithms, noise_of


def export(model: GaussianMixture, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    arrays = model.arrays()
    mixtures = {axis: Mixture(arrays[f"{axis}_weights"], arrays[f"{axis}_covariances"]) for axis in AXES}
    limits = [at_most("mixture", axis, mixture.length) for axis, mixture in mixtures.items()]
    write_plain(partial(prediction, mixtures, noise_of(model.options.snr_db)), limits, folder)


def prediction(
    mixtures: dict[str, Mixture], noise: float, writer: Writer, known: Term, slots: Term, subcarriers: Term
) -> Term:
    """Write what `posterior.GaussianMixtures.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`.

    Args:
        mixtures: of both axes.
        noise: share of the noise in the power of what is known.
        writer, known, slots, subcarriers: of the question.
    """
    asked = {"time": slots, "frequency": subcarriers}
    checked = writer.constant([0], INT64)
    for axis, mixture in mixtures.items():
        fits = (asked[axis] <= 0) | (known.size(DIMENSIONS[axis]) + asked[axis] <= mixture.length)
        checked = checked + writer.refuse_unless(fits, at_most("mixture", axis, mixture.length))
    scale = rms_scale(known)
    box = unitary((known / scale).cast(DOUBLE) + checked.cast(DOUBLE), 2)  # (sample, time, angle, subcarrier, 2)

    def future(branch: Writer) -> list[Term]:
        delays = unitary(box.within(branch), 3, inverse=True).transpose(0, 2, 3, 1, 4)
        found = continued(mixtures["time"], noise, delays, slots.within(branch))
        return [unitary(found.transpose(0, 3, 1, 2, 4), 3)]

    box = writer.branch(slots > 0, future, lambda branch: [box])[0]
    box = writer.branch(
        subcarriers > 0,
        lambda branch: [continued(mixtures["frequency"], noise, box.within(branch), subcarriers.within(branch))],
        lambda branch: [box],
    )[0]
    return unitary(box, 2, inverse=True).cast(FLOAT) * scale


def continued(mixture: Mixture, noise: float, series: Term, wanted: Term) -> Term:
    """What follows series (sample, row, column, step, 2): (sample, row, column, wanted step, 2).

    One sample after the other, so that a batch takes no more memory than its largest sample.
    """
    writer, (rows, columns, steps) = series.writer, (series.size(axis) for axis in (1, 2, 3))
    posterior = Posterior.given(writer, mixture, steps, wanted)
    flat = series.cast(FLOAT).reshape(0, -1, steps, 2)

    def of_one(body: Writer, number: Term) -> tuple[list[Term], list[Term]]:
        return [], [posterior.within(body).mean(flat.within(body).take(number), noise)]

    _, (found,) = writer.loop(flat.size(0), [], of_one)
    return found.reshape(0, rows, columns, wanted, 2).cast(DOUBLE)


@dataclass(frozen=True)
class Posterior:
    """As `posterior.Posterior`, with complex products as real ones: series are rows of real, then imaginary parts.

    values: eigenvalues, (component, entry).
    basis: to entries, (2 x step, 2 x component x entry).
    reach: from entries, (2 x component x entry, 2 x wanted step).
    log_weights: (component,).
    """

    values: Term
    basis: Term
    reach: Term
    log_weights: Term

    @classmethod
    def given(cls, writer: Writer, mixture: Mixture, known: Term, wanted: Term) -> Posterior:
        """Of so many known and wanted steps."""
        blocks = LeadingBlocks.of(writer, mixture.covariances, mixture.length - 1, FLOAT)
        values, vectors = blocks.block(known)
        covariances = Complex.constant(writer, mixture.covariances, FLOAT)
        across = covariances.each(lambda part: part.cut(1, known, known + wanted).cut(2, 0, known))
        reach = across.product(vectors).each(lambda part: part.transpose(0, 2, 1).reshape(-1, wanted))
        basis = vectors.conjugate().each(lambda part: part.transpose(1, 0, 2).reshape(known, -1))
        log_weights = writer.constant(logarithms(mixture.weights), FLOAT)
        return cls(values, of_parts(basis), of_parts(reach), log_weights)

    def within(self, writer: Writer) -> Posterior:
        """See `Term.within`."""
        terms = (self.values, self.basis, self.reach, self.log_weights)
        return Posterior(*(term.within(writer) for term in terms))

    def mean(self, series: Term, noise: float) -> Term:
        """As `posterior.Posterior.mean`, of series (series, step, 2): (series, wanted step, 2)."""
        writer, (components, known) = series.writer, (self.values.size(axis) for axis in (0, 1))
        power = (series * series).reduced("ReduceSum", 2).reduced("ReduceMean", 1)  # (series, 1, 1)
        power = (power - noise).op("Max", LEAST_SIGNAL * noise)
        scale = power.op("Sqrt")
        rows = (series / scale).transpose(0, 2, 1).reshape(-1, known * 2)
        entries = rows.op("MatMul", self.basis).reshape(-1, 2, components, known)
        variances = self.values + power.op("Reciprocal") * noise  # (series, component, entry)
        fits = (entries * entries).reduced("ReduceSum", 1, keep=False) / variances + variances.op("Log")
        likelihoods = self.log_weights - fits.reduced("ReduceSum", 2, keep=False)
        shares = likelihoods.op("Softmax", axis=1).op("Unsqueeze", writer.shape(2))
        weights = (shares / variances).op("Unsqueeze", writer.shape(1))
        found = (entries * weights).reshape(-1, components * known * 2).op("MatMul", self.reach)
        return found.reshape(0, 2, -1).transpose(0, 2, 1) * scale


def of_parts(matrix: Complex) -> Term:
    """The real matrix that does to rows of real, then imaginary parts what a complex one does to rows."""
    writer = matrix.real.writer
    upper = writer.joined(1, matrix.real, matrix.imaginary)
    return writer.joined(0, upper, writer.joined(1, -matrix.imaginary, matrix.real))
