"""A registered predictor where it is used: it checks what it is given, around what travels with it.

This file travels with a registered model, so it imports the standard library and numpy alone, and onnxruntime where
there is a graph. The folder that it loads holds either one plain ONNX file, `predictor.onnx`, from CSI to CSI, with all
that is checked of sizes in it; or `code.py` and `settings.json`: a method of `wavefoundry.predictors` with its options,
or what `export` of a family's module `serving` has written, which defines `load(settings, folder)`. Errors are
ValueErrors of one line.
"""

import json
import math
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

# Slots, or subcarriers, that one call can ask for: linear prediction goes on step by step, in some seconds.
LARGEST_QUESTION = 2**12
# Complex values of the known block, the answer and what lies between them, which predictors compute too: half a GiB.
LARGEST_ANSWER = 2**26
LONGEST_VALUE = 60
# The one file of a predictor that is a plain graph, and how the name of a node in it begins that fails on what does not
# fit; the rest of the name says what is allowed.
PLAIN = "predictor.onnx"
REFUSAL = re.compile(r"Name:'refused: (.*?)' Status Message")


class ServedPredictor:
    """Continues CSI in time, in frequency or in both, as `predict` of what was exported does."""

    def __init__(self, folder: str | Path, watch: Callable[[Mapping[str, np.ndarray]], None] | None = None):
        """
        Args:
            folder: with `predictor.onnx`, or with `code.py` and `settings.json`.
            watch: is shown the inputs of the graph, by name, before each of its runs.
        """
        if Path(folder, PLAIN).exists():
            run = Graph(Path(folder, PLAIN), watch)
            self._predictor = PlainGraph(run) if run.outputs == 1 else PlainGraphWithError(run)
            return
        settings = json.loads(Path(folder, "settings.json").read_text())
        # Run, not imported: two versions with different code can be loaded side by side.
        code = runpy.run_path(str(Path(folder, "code.py")))
        if "load" in code:
            self._predictor = code["load"](settings, Path(folder))
        else:
            self._predictor = code["Predictor"](code["Options"](**settings))

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """
        Args:
            known: the known slots of the known subcarriers, any size along every axis, in one of three layouts:
                complex (batch, time, antenna, subcarrier);
                real (batch, 2, time, antenna, subcarrier), channel 0 real parts and channel 1 imaginary parts;
                real (batch, time, antenna, subcarrier, 2), real and imaginary part last.
            slots: how many slots after the known ones are asked for, at most LARGEST_QUESTION; 0: the known ones.
            subcarriers: how many subcarriers above the known ones are asked for, as many at most; 0: the known ones.

        Returns:
            In the layout of `known`, single precision: (batch, slots or known slots, antenna, subcarriers or known
            subcarriers), with two channels or parts where `known` has them. Silence is continued by silence: a sample
            that is 0 throughout gets zeros.

        Raises:
            ValueError: no such layout, values that are not finite, a size that the predictor cannot take, or numbers
                of slots and subcarriers that ask for nothing, or for more than LARGEST_ANSWER values.
        """
        csi, pack = read_layout(known)
        return pack(self._answers(csi, slots, subcarriers, "predict")[0])

    def predict_with_error(self, known: np.ndarray, slots: int, subcarriers: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Args:
            known, slots, subcarriers: as for `predict`.

        Returns:
            The prediction as `predict` gives it, and how large its error is to be expected: real (batch, slot,
            subcarrier), the expected square magnitude of the error of an entry, as a mean over the antennas.

        Raises:
            ValueError: as for `predict`, or this predictor does not say how far off it expects to be.
        """
        if not hasattr(self._predictor, "predict_with_error"):
            raise ValueError("this predictor does not say how large its errors are to be expected; ask by predict")
        csi, pack = read_layout(known)
        found, error = self._answers(csi, slots, subcarriers, "predict_with_error")
        return pack(found), error

    def _answers(self, csi: np.ndarray, slots: int, subcarriers: int, method: str) -> tuple[np.ndarray, ...]:
        """What a method of the predictor answers of complex CSI, zeros of silence."""
        wanted = whole_number("slots", slots), whole_number("subcarriers", subcarriers)
        if not any(wanted):
            raise ValueError("slots and subcarriers are both 0: nothing is asked for")
        _require_moderate(csi.shape, *wanted)
        if isinstance(self._predictor, PlainGraph):
            return tuple(_finite(part) for part in _parts(getattr(self._predictor, method)(csi, *wanted)))
        # Powers stay within single precision at any amplitude, and division by a power of two rounds nothing.
        unit = power_of_two(csi)
        csi = csi * (1 / unit)
        # The predictor does not see silence, which says nothing; of silence alone it sees whether the size fits.
        heard = csi.any(axis=(1, 2, 3))
        found = getattr(self._predictor, method)(csi[heard] if heard.any() else csi, *wanted)
        answers = []
        for part in _parts(found):
            whole = np.zeros((len(csi), *part.shape[1:]), np.complex64 if np.iscomplexobj(part) else np.float32)
            if heard.any():
                whole[heard] = part
            with np.errstate(over="ignore", invalid="ignore"):
                # Errors are squares: they are multiplied twice, for the square of `unit` may be beyond the type.
                whole = whole * unit if np.iscomplexobj(whole) else whole * unit * unit
            answers.append(_finite(whole))
        return tuple(answers)


class PlainGraph:
    """A graph from CSI to CSI, which brings channels to its scale, knows silence and refuses what does not fit."""

    def __init__(self, run: "Graph"):
        self._run = run

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        return self._outputs(known, slots, subcarriers)[0]

    def _outputs(self, known: np.ndarray, slots: int, subcarriers: int) -> list[np.ndarray]:
        asked = {"slots": np.array(slots, np.int64), "subcarriers": np.array(subcarriers, np.int64)}
        parts = np.ascontiguousarray(known).view(np.float32).reshape(*known.shape, 2)
        try:
            answer, *others = self._run(csi=parts, **asked)
        except Exception as error:
            # ONNX Runtime has exceptions of its own, and no one class of them.
            refused = REFUSAL.search(str(error))
            if refused is None:
                raise
            raise ValueError(
                f"csi of shape {known.shape}, slots {slots} and subcarriers {subcarriers}: {refused.group(1)}"
            ) from None
        return [np.ascontiguousarray(answer).view(np.complex64)[..., 0], *others]


class PlainGraphWithError(PlainGraph):
    """One that also says how large its error is to be expected."""

    def predict_with_error(self, known: np.ndarray, slots: int, subcarriers: int) -> tuple[np.ndarray, np.ndarray]:
        answer, error = self._outputs(known, slots, subcarriers)
        return answer, error


def _parts(found: np.ndarray | tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The prediction, and what is told beside it."""
    return found if isinstance(found, tuple) else (found,)


def _finite(answer: np.ndarray) -> np.ndarray:
    if not np.isfinite(answer).all():
        raise ValueError("the answer is not finite: the values of csi are too large or too small for it")
    return answer


def power_of_two(csi: np.ndarray) -> np.float32:
    """That for all samples by which the largest part of their values comes to lie from 1 to 2."""
    largest = max(float(np.abs(part).max()) for part in (csi.real, csi.imag))
    return np.float32(max(math.ldexp(1.0, math.frexp(largest)[1] - 1), float(np.finfo(np.float32).tiny)))


class Graph:
    """An ONNX graph: called with its inputs, by name, it gives its outputs."""

    def __init__(self, file: Path, watch: Callable[[Mapping[str, np.ndarray]], None] | None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # a refusal is no error of the machine
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._watch = watch
        self.outputs = len(self._session.get_outputs())

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        if self._watch is not None:
            self._watch(inputs)
        return self._session.run(None, inputs)


def _require_moderate(shape: tuple[int, ...], slots: int, subcarriers: int) -> None:
    batch, known_slots, antennas, known_subcarriers = shape
    values = batch * (known_slots + slots) * antennas * (known_subcarriers + subcarriers)
    if values > LARGEST_ANSWER:
        raise ValueError(
            f"slots {slots} and subcarriers {subcarriers} after csi of shape {shape} make {values} values with what is "
            f"known, allowed: {LARGEST_ANSWER}"
        )


def whole_number(name: str, value: float) -> int:
    """A number of slots or subcarriers.

    Raises:
        ValueError: it is no whole number, negative, or larger than LARGEST_QUESTION.
    """
    try:
        number = int(value)
        valid = bool(number == value) and 0 <= number <= LARGEST_QUESTION
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(f"{name} is {_shortened(value)}, allowed: whole numbers from 0 to {LARGEST_QUESTION}")
    return number


def _shortened(value: object) -> str:
    """A value in one line of a message."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list in a list in a list ...
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def read_layout(known: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Complex64 CSI (batch, time, antenna, subcarrier) of any of the layouts, and the way back.

    Raises:
        ValueError: it has none of the layouts or two of them, is empty, or holds values that are not finite.
    """
    allowed = (
        "allowed: complex (batch, time, antenna, subcarrier), real (batch, 2, time, antenna, subcarrier) or real "
        "(batch, time, antenna, subcarrier, 2)"
    )
    try:
        known = np.asarray(known)
        if known.dtype == object:
            known = known.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(f"csi is no array of numbers; {allowed}") from None
    if known.dtype.kind not in "cfiu":
        raise ValueError(f"csi has dtype {known.dtype}; {allowed}")
    found = f"csi is {'complex' if known.dtype.kind == 'c' else 'real'} of shape {known.shape}"
    if not known.size:
        raise ValueError(f"{found}, it holds no values; {allowed}")
    with np.errstate(over="ignore", invalid="ignore"):
        # What is too large for single precision is not finite any more.
        known = known.astype(np.complex64 if known.dtype.kind == "c" else np.float32)
    if not np.isfinite(known).all():
        raise ValueError(f"{found} and has values that are not finite")
    if known.dtype.kind == "c":
        if known.ndim != 4:
            raise ValueError(f"{found}; {allowed}")
        return known, lambda csi: csi
    channels = [axis for axis in (1, 4) if known.ndim == 5 and known.shape[axis] == 2]
    if not channels:
        raise ValueError(f"{found}; {allowed}")
    if len(channels) > 1:
        raise ValueError(f"{found}: both axis 1 and axis 4 have size 2; pass it as complex")
    real, imaginary = np.moveaxis(known, channels[0], 0)
    return real + 1j * imaginary, lambda csi: np.stack([csi.real, csi.imag], axis=channels[0])
