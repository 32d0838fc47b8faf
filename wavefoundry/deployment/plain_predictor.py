"""A predictor as one plain ONNX file: CSI in, CSI out, for any program that has an ONNX runtime.

Around what a family makes of channels stands what all share: sizes that do not fit are refused by a node whose name
says what is allowed, channels are brought to the order of 1 by a power of two, and silence is continued by silence,
all as `wavefoundry.csi.prediction.checked` does it in torch.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from wavefoundry.deployment.graph_writer import FLOAT, INT64, Term, Writer
from wavefoundry.deployment.served_folder import PLAIN

# What is limited, in words.
NAMES = {
    "batch": "samples",
    "time": "known slots",
    "antenna": "antennas",
    "subcarrier": "known subcarriers",
    "slots": "slots that are asked for",
    "subcarriers": "subcarriers that are asked for",
}
TOLD = {
    "csi": "float32 (batch, time, antenna, subcarrier, 2): the known block, real and imaginary part last, which is the "
    "layout of complex64 in memory; in any linear unit of amplitude",
    "slots": "int64 scalar: how many slots after the known ones are asked for; 0: the known ones",
    "subcarriers": "int64 scalar: how many subcarriers above the known ones are asked for; 0: the known ones",
    "answer": "float32 (batch, slots or known slots, antenna, subcarriers or known subcarriers, 2), in the unit of csi",
    "expected_error": "float32 (batch, slots or known slots, subcarriers or known subcarriers): the square magnitude "
    "to be expected of the error of an entry of the answer, as a mean over the antennas, in the unit of csi squared",
}
# Whose power of two is still a normal number of single precision, and that of its inverse.
LARGEST_EXPONENT = 126

Answer = Callable[[Writer, Term, Term, Term], Term | tuple[Term, Term]]


@dataclass(frozen=True)
class Limit:
    """Which sizes a predictor takes.

    of: a key of NAMES.
    least, most: None: no limit.
    multiple: of what a size is a multiple.
    """

    of: str
    least: int = 0
    most: int | None = None
    multiple: int = 1

    def __str__(self) -> str:
        if self.least == self.most:
            return f"the predictor takes {NAMES[self.of]}: exactly {self.least}"
        bounds = [f"from {self.least}" + (f" to {self.most}" if self.most is not None else "")]
        bounds += [f"multiples of {self.multiple}"] if self.multiple > 1 else []
        return f"the predictor takes {NAMES[self.of]}: {', '.join(bounds)}"

    def holds(self, size: Term) -> Term:
        kept = size >= self.least
        if self.most is not None:
            kept = kept & (size <= self.most)
        return kept & (size % self.multiple).equals(0) if self.multiple > 1 else kept


def write_plain(answer: Answer, limits: Sequence[Limit | str], folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made.

    Args:
        answer: writes what is found of channels: from a writer, channels (sample, time, antenna, subcarrier, 2) of
            which none is silent unless all are, with values of the order of 1, and the numbers of slots and of
            subcarriers, (1,) each, to (sample, slot, antenna, subcarrier, 2); or to that and the error that is to be
            expected, (sample, slot, subcarrier).
        limits: besides those that hold for all; in words, where `answer` refuses what does not keep them.
        folder: of the export.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ir.save(plain_model(answer, limits), folder / PLAIN)


def plain_model(answer: Answer, limits: Sequence[Limit | str]) -> ir.Model:
    """See `write_plain`."""
    writer = Writer("around")
    csi = writer.input("csi", FLOAT, ["batch", "time", "antenna", "subcarrier", 2], TOLD["csi"])
    slots, subcarriers = (writer.input(name, INT64, [], TOLD[name]).flat() for name in ("slots", "subcarriers"))
    sizes = {name: csi.size(axis) for axis, name in enumerate(("batch", "time", "antenna", "subcarrier"))}
    sizes |= {"slots": slots, "subcarriers": subcarriers}
    least = {"batch": 1, "time": 1, "antenna": 1, "subcarrier": 1}
    limited = {each.of for each in limits if isinstance(each, Limit)}
    limits = [*(Limit(name, least.get(name, 0)) for name in NAMES if name not in limited), *limits]
    checked = writer.refuse_unless(slots + subcarriers >= 1, "slots and subcarriers are both 0: nothing is asked for")
    for limit in (each for each in limits if isinstance(each, Limit)):
        checked = checked + writer.refuse_unless(limit.holds(sizes[limit.of]), str(limit))
    # A difference of values that are not finite is no number.
    rest = (csi - csi).reduced("ReduceSum", 0, 1, 2, 3, 4, keep=False).flat()
    checked = checked + writer.refuse_unless(rest.equals(0), "csi needs values that are finite")

    strength = csi.op("Abs").reduced("ReduceMax", 1, 2, 3, 4, keep=False)
    peak = strength.reduced("ReduceMax", 0)
    exponent = (peak.op("Log") / math.log(2)).op("Floor").op("Clip", -LARGEST_EXPONENT, LARGEST_EXPONENT)
    unit = writer.constant([2.0]).op("Pow", exponent)
    silence = peak <= 0
    heard = (strength > 0) | silence
    # All that follows waits for what is checked.
    channels = csi.op("Compress", heard, axis=0) * (writer.constant([1.0]) / unit + checked.cast(FLOAT))

    found = answer(writer, channels, slots, subcarriers)
    answer_found, *error_found = found if isinstance(found, tuple) else (found,)
    places = writer.op("NonZero", heard, dtype=INT64).transpose(1, 0)
    factor = writer.where(silence, 0.0, unit)

    def of_all(part: Term, *rest: Term | int) -> Term:
        """What was found of those that are not silent, and zeros."""
        return writer.zeros(csi.size(0), *rest).op("ScatterND", places, part)

    slot, antenna, asked_band = (answer_found.size(axis) for axis in (1, 2, 3))
    outputs = {"answer": of_all(answer_found, slot, antenna, asked_band, 2) * factor}
    shapes: dict[str, list[str | int]] = {
        "answer": ["batch", "slot", "antenna", "asked", 2],
        "expected_error": ["batch", "slot", "asked"],
    }
    for error in error_found:
        # Multiplied twice, for the square of the unit may be beyond the type.
        outputs["expected_error"] = of_all(error, slot, asked_band) * factor * factor
    for name, term in outputs.items():
        term.value.shape, term.value.doc_string = ir.Shape(shapes[name]), TOLD[name]
    told = {name: TOLD[name] for name in ("csi", "slots", "subcarriers", *outputs)}
    return writer.model(outputs, **told, limits=json.dumps([str(limit) for limit in limits]))


def asked(writer: Writer, box: Term, known: Term, slots: Term, subcarriers: Term) -> Term:
    """What is asked for of a box (sample, slot, antenna, subcarrier, 2) that begins with what is known."""
    for axis, beyond in ((1, slots), (3, subcarriers)):
        seen, wanted = known.size(axis), beyond > 0
        box = box.cut(axis, writer.where(wanted, seen, 0), seen + beyond)
    return box


def rms_scale(known: Term) -> Term:
    """Root mean square of each sample (sample, 1, 1, 1, 1), kept away from zero; squares do not vanish on the way."""
    tiny, axes = float(np.finfo(np.float32).tiny), (1, 2, 3, 4)
    peak = known.op("Abs").reduced("ReduceMax", *axes).op("Max", tiny)
    relative = known / peak
    return ((relative * relative).reduced("ReduceMean", *axes) * 2).op("Sqrt").op("Mul", peak).op("Max", tiny)
