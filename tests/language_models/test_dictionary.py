"""The dictionary is the PCA of the transposed embeddings, with signs that are no matter of chance."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from wavefoundry.errors import InputError
from wavefoundry.language_models.dictionary import principal_dictionary


@pytest.fixture
def embeddings():
    return torch.randn(50, 20, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 3.0, 20)


def test_it_is_the_pca_of_scikit_learn_up_to_signs(embeddings):
    found = principal_dictionary(embeddings, 7)
    expected = PCA(n_components=7, svd_solver="full").fit_transform(embeddings.numpy().T).T
    assert found.shape == (7, 20) and found.dtype == torch.float32
    np.testing.assert_allclose(found.abs().numpy(), np.abs(expected), rtol=1e-4, atol=1e-4)
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_rows_are_orthogonal_scores_of_falling_variance(embeddings):
    """By the decomposition itself: centred over the coordinates, the rows span the leading left singular vectors."""
    found = principal_dictionary(embeddings, 7).double()
    samples = embeddings.double().T
    left, values, _ = torch.linalg.svd(samples - samples.mean(0), full_matrices=False)
    gram = found @ found.T
    torch.testing.assert_close(gram, torch.diag(values[:7] ** 2), rtol=1e-4, atol=1e-3)
    overlap = (torch.nn.functional.normalize(found, dim=1) * left[:, :7].T).sum(1).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=1e-4, atol=1e-4)


def test_it_repeats_to_the_bit(embeddings):
    assert torch.equal(principal_dictionary(embeddings, 5), principal_dictionary(embeddings.clone(), 5))


def test_more_rows_than_components_are_refused(embeddings):
    assert principal_dictionary(embeddings, 20).shape == (20, 20)
    with pytest.raises(InputError, match="dictionary is 21, allowed: at most 20, the smaller of the 50 words and"):
        principal_dictionary(embeddings, 21)
