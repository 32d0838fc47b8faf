"""The heads: small networks of scikit-learn on features that stay as they are, and one linear layer per patch.

Source: the evaluation of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from wavefoundry.evaluation.downstream.options import Heads


@dataclass(frozen=True)
class Scaling:
    """Features without their mean, of unit mean variance: one factor for all of them.

    A factor of its own for each feature would blow up the weakest principal components, which are noise.
    """

    mean: np.ndarray
    deviation: float

    @classmethod
    def of(cls, features: np.ndarray) -> "Scaling":
        """Measured on `features` (sample, feature): of the training labels, never of others."""
        deviation = math.sqrt(features.var(axis=0, dtype=np.float64).mean())
        return cls(features.mean(axis=0, dtype=np.float64).astype(features.dtype), deviation or 1.0)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / np.asarray(self.deviation, dtype=features.dtype)

    def undo(self, features: np.ndarray) -> np.ndarray:
        return features * self.deviation + self.mean


def project(features: np.ndarray, training_rows: np.ndarray, width: int) -> np.ndarray:
    """Features (sample, feature) of at most `width`: wider ones on the leading principal components of the training
    inputs, which takes no labels. All that is flattened gets the same length by this, the raw channel too."""
    if features.shape[1] <= width:
        return features
    components = min(width, len(training_rows))
    projection = PCA(components, svd_solver="randomized", iterated_power=2, random_state=0)
    return projection.fit(features[training_rows]).transform(features).astype(np.float32)


def fit_classifier(features: np.ndarray, labels: np.ndarray, hidden: tuple[int, ...], section: Heads, seed: int):
    """A multilayer perceptron with cross entropy; with labels of one class only, that class."""
    if len(np.unique(labels)) == 1:
        return DummyClassifier(strategy="most_frequent").fit(features, labels)
    return _fit(MLPClassifier, features, labels, hidden, section, seed)


def ranked_classes(classifier, features: np.ndarray, count: int) -> np.ndarray:
    """The likeliest classes, best first: (sample, at most `count`)."""
    order = np.argsort(-classifier.predict_proba(features), axis=1, kind="stable")[:, :count]
    return classifier.classes_[order]


def fit_regressor(
    features: np.ndarray, targets: np.ndarray, hidden: tuple[int, ...], section: Heads, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A multilayer perceptron with mean square error; returns features -> targets (sample, value)."""
    scaling = Scaling.of(targets)
    network = _fit(MLPRegressor, features, scaling(targets), hidden, section, seed)
    return lambda features: scaling.undo(network.predict(features).reshape(-1, targets.shape[1]))


def _fit(kind: type, features, targets, hidden: tuple[int, ...], section: Heads, seed: int):
    """The same number of Adam's steps, whatever the number of labels."""
    batch_size = min(section.batch_size, len(features))
    epochs = max(1, round(section.steps / math.ceil(len(features) / batch_size)))
    network = kind(
        hidden_layer_sizes=hidden,
        alpha=section.weight_decay,
        batch_size=batch_size,
        learning_rate_init=section.learning_rate,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # That the steps are counted out is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(features, targets)


def fit_linear(
    features: np.ndarray,
    targets: np.ndarray,
    penalties: Sequence[float],
    loss: Callable[[Callable[[np.ndarray], np.ndarray]], float],
) -> Callable[[np.ndarray], np.ndarray]:
    """A linear layer with mean square error, found exactly; returns features (row, feature) -> targets (row, value).

    Args:
        features, targets: (row, feature) and (row, value).
        penalties: of the squared weights, relative to unit mean square of scaled features.
        loss: of a layer, on the validation split; the penalty of the lowest one is taken.
    """
    scaling = Scaling.of(features)
    scaled = scaling(features).astype(np.float64)
    layers = []
    for penalty in penalties:
        ridge = Ridge(alpha=penalty * len(scaled), solver="cholesky").fit(scaled, targets)
        weights = np.atleast_2d(ridge.coef_).T.astype(np.float32)
        bias = np.atleast_1d(ridge.intercept_).astype(np.float32)
        layers.append(lambda some, weights=weights, bias=bias: scaling(some) @ weights + bias)
    return min(layers, key=loss)


def as_rows(tokens: torch.Tensor) -> np.ndarray:
    """(sample, token, value) -> (row, value)."""
    return tokens.flatten(0, 1).numpy()
