"""The dictionary of a language model: directions in which its words differ most.

A network that maps channels onto a language model attends to it in place of tens of thousands of words ("CSI-ALM"; the
published code takes the principal components of the transposed word embeddings, as here).
"""

import numpy as np
import torch

from wavefoundry.errors import InputError


def principal_dictionary(embeddings: torch.Tensor, rows: int) -> torch.Tensor:
    """Principal components along the axis of the words: PCA of the transposed embeddings, whose samples are the
    coordinates of an embedding and whose features are the words.

    The sign of a component is arbitrary: here the entry of each row that is largest in magnitude is positive.

    Args:
        embeddings: (word, width).
        rows: of the dictionary.

    Returns:
        float32 (rows, width), with orthogonal rows, the one of the largest variance first.

    Raises:
        InputError: there are not so many components.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    words, width = embeddings.shape
    if rows > min(words, width):
        raise InputError(
            f"dictionary is {rows}, allowed: at most {min(words, width)}, the smaller of the {words} words and the "
            f"width {width} of their embeddings"
        )
    samples = embeddings.to(torch.float32).numpy().T
    # Sums over more threads are rounded otherwise.
    with threadpool_limits(1):
        components = PCA(n_components=rows, svd_solver="full").fit_transform(samples).T
    largest = np.take_along_axis(components, np.abs(components).argmax(1, keepdims=True), axis=1)
    return torch.from_numpy(np.ascontiguousarray(components * np.where(largest < 0, -1, 1), dtype=np.float32))
