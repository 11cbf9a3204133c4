"""Inverses, distances and norms of many small matrices, beside LAPACK's."""

import numpy as np
import pytest

from surfacefit._lists.small_matrices import inverses, spectral_norms, squared_distances


def factors(n_dim, narrow):
    """Lower triangular, one width ``narrow`` times as large as the others."""
    made = np.tril(np.random.default_rng(n_dim).normal(size=(50, n_dim, n_dim))) + 2 * np.eye(n_dim)
    return made * np.r_[np.ones(n_dim - 1), narrow][:, None]


@pytest.mark.parametrize("narrow", [1.0, 1e-4])
@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_they_are_those_of_lapack(n_dim, narrow):
    lower, offsets = factors(n_dim, narrow), np.random.default_rng(9).normal(size=(50, n_dim))
    condition = np.linalg.cond(lower).max()
    np.testing.assert_allclose(inverses(lower) @ lower, np.tile(np.eye(n_dim), (50, 1, 1)), atol=1e-14 * condition)
    whitened = np.linalg.solve(lower, offsets[:, :, None])[:, :, 0]
    found = squared_distances(lower @ lower.swapaxes(1, 2), offsets)
    np.testing.assert_allclose(found, np.sum(whitened**2, axis=1), rtol=1e-14 * condition**2)
    square = np.random.default_rng(8).normal(size=(50, n_dim, n_dim))
    np.testing.assert_allclose(spectral_norms(square), np.linalg.svd(square, compute_uv=False)[:, 0], rtol=1e-12)
