"""Predictors without training: one file each in wavefoundry/predictors, found by name.

A method is a module `wavefoundry/predictors/NAME.py` that imports the standard library, numpy and pydantic alone, for
it travels with a registered model, unless `wavefoundry.deployment.predictors` has a module that writes it as a graph.
It defines `Options`, a pydantic model of its settings, and `Predictor`, a
`NumpyPredictor` made of them.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, create_model

import wavefoundry.predictors
from wavefoundry.discovery import options_of_files
from wavefoundry.section import Section


class NumpyPredictor(Protocol):
    """Continues CSI in time, in frequency, or in both at once."""

    def __init__(self, options: Any): ...

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """Predict the CSI beyond a known block; silence is continued by silence.

        Args:
            known: complex64 (batch, time, antenna, subcarrier), the known slots of the known subcarriers, all finite.
            slots: how many slots after the known ones are asked for; 0: the known ones.
            subcarriers: how many subcarriers above the known ones are asked for; 0: the known ones.

        Returns:
            complex64 (batch, slots or known slots, antenna, subcarriers or known subcarriers).
        """


@cache
def methods() -> dict[str, type[BaseModel]]:
    """The options of every method by its name; unknown keys and wrong types are refused."""
    return {name: _strict(options) for name, options in options_of_files(wavefoundry.predictors).items()}


def method_file(method: str) -> Path:
    """The file of a method."""
    return Path(wavefoundry.predictors.__path__[0], f"{method}.py")


def make(method: str, options: BaseModel) -> NumpyPredictor:
    """A predictor of one method."""
    return import_module(f"wavefoundry.predictors.{method}").Predictor(options)


def why_not_predict(options: BaseModel, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
    """Why a method with these options cannot answer a question; None if it can.

    Options may say so by a method `why_not_predict(known, wanted)`; those without one can answer every question.

    Args:
        options: of the method.
        known: numbers of known slots and subcarriers.
        wanted: numbers of slots and subcarriers that are asked for, 0 for the known ones.
    """
    ask = getattr(options, "why_not_predict", None)
    return None if ask is None else ask(known, wanted)


def _strict(options: type[BaseModel]) -> type[BaseModel]:
    return create_model(options.__name__, __base__=(options, Section), __doc__=options.__doc__)
