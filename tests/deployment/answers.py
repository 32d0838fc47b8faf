"""What every served predictor promises, whatever it is."""

import numpy as np


def assert_same_in_every_sample(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Answers of one shape, which differ in every sample by this relative norm at most."""
    assert found.shape == expected.shape and found.dtype == np.complex64
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - other) <= tolerance * np.linalg.norm(other)


def assert_silence_says_nothing_to_others(served, known: np.ndarray, wanted: tuple[int, int]) -> None:
    """The second sample is silenced: it is answered by silence, and the others as without it."""
    known = known.copy()
    known[1] = 0
    others = np.delete(np.arange(len(known)), 1)
    found = served.predict(known, *wanted)
    assert not found[1].any()
    np.testing.assert_array_equal(found[others], served.predict(known[others], *wanted))
    assert not served.predict(np.zeros_like(known), *wanted).any()
