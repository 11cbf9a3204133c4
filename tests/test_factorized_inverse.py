"""The sparse approximate inverse of a matrix of blocks, and conjugate gradients with it, against NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_matrices import BORDER, COUNT, SIZE, blocks_of, chain
from contexts import DOUBLE

from surfacefit._base.precision import precision
from surfacefit._linear import factorized_inverse as module
from surfacefit._linear.conjugate_gradients import conjugate_gradients, flexible_conjugate_gradients
from surfacefit._linear.factorized_inverse import FactorizedInverse, factorized_inverse
from surfacefit._linear.normal import scaled_blocks


@pytest.fixture(autouse=True)
def in_double():
    with precision(DOUBLE):
        yield


def roots_of(matrix):
    inner = matrix[: COUNT * SIZE, : COUNT * SIZE].reshape(COUNT, SIZE, COUNT, SIZE)
    diagonal = np.abs(np.linalg.eigvalsh(inner[np.arange(COUNT), :, np.arange(COUNT)])).max(axis=1)
    return jnp.asarray(np.eye(SIZE) / np.sqrt(diagonal)[:, None, None])


def inverse(*args):
    """By one program, with the sizes that the module has at that moment."""

    def fields(*args):
        found = factorized_inverse(*args)
        return found.blocks, found.members, found.border

    return FactorizedInverse(*jax.jit(fields)(*args))


def dense(found, size=COUNT * SIZE + BORDER):
    return np.asarray(jax.jit(jax.vmap(found.mv))(jnp.eye(size)))


@pytest.mark.parametrize("at_once", [COUNT, pytest.param(5, marks=pytest.mark.slow)])
def test_it_is_the_inverse_where_all_earlier_components_serve(monkeypatch, at_once):
    """Eight components that all overlap and others that stand alone, in two rows of neighbours each."""
    monkeypatch.setattr(module, "COMPONENTS_AT_ONCE", at_once)
    matrix, near = chain(COUNT, shift=6.0)
    near &= (np.arange(COUNT) < 8)[:, None] == (np.arange(COUNT) < 8)
    near |= np.eye(COUNT, dtype=bool)
    near[8:, 8:] = np.eye(4)
    matrix[:-BORDER, :-BORDER] *= np.kron(near, np.ones((SIZE, SIZE)))
    assert np.linalg.eigvalsh(matrix).min() > 0
    found = inverse(blocks_of(matrix, near), roots_of(matrix), jnp.eye(BORDER) / 6)
    np.testing.assert_allclose(dense(found), np.linalg.inv(matrix), atol=1e-12)


@pytest.mark.parametrize("once", [False, True])
def test_rows_are_orthonormal_and_the_strongest_neighbours_serve(monkeypatch, once):
    """G A G^T has unit blocks on the diagonal, also with fewer members than a component has neighbours."""
    monkeypatch.setattr(module, "EARLIER_NEIGHBOURS", 2)
    matrix, near = chain(4, shift=6.0)
    found = inverse(blocks_of(matrix, near, once), roots_of(matrix), jnp.eye(BORDER))
    members = np.asarray(found.members)
    inner = matrix[:-BORDER, :-BORDER].reshape(COUNT, SIZE, COUNT, SIZE)
    strengths = np.where(near & (np.arange(COUNT) < np.arange(COUNT)[:, None]), np.sum(inner**2, axis=(1, 3)), 0)
    for k in range(COUNT):
        expected = np.argsort(-strengths[k])[: min(2, np.count_nonzero(strengths[k]))]
        assert sorted(members[k]) == sorted([*expected, *[COUNT] * (2 - len(expected)), k])
        some = members[k][members[k] < COUNT]
        row = np.asarray(found.blocks[k]).reshape(SIZE, 3, SIZE)[:, members[k] < COUNT].reshape(SIZE, -1)
        own = inner[some][:, :, some].reshape(len(some) * SIZE, -1)
        np.testing.assert_allclose(row @ own @ row.T, np.eye(SIZE), atol=1e-12)


def test_it_stays_positive_definite_where_the_matrix_is_not():
    matrix, near = chain(3, shift=0.4)
    assert np.linalg.eigvalsh(matrix).min() < 0
    found = dense(inverse(blocks_of(matrix, near), roots_of(matrix), jnp.eye(BORDER)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > 0


def test_it_lowers_for_a_gpu():
    matrix, near = chain(3)

    def product(blocks, roots, vector):
        return factorized_inverse(blocks, roots, jnp.eye(BORDER)).mv(vector)

    args = (blocks_of(matrix, near), roots_of(matrix), jnp.ones(len(matrix)))
    text = jax.jit(product).trace(*args).lower(lowering_platforms=("cuda",)).as_text()
    assert all(name.startswith("cu") for name in re.findall(r"custom_call @\"?([\w.]+)", text))
    products = re.findall(r"stablehlo.dot_general.*", text)
    assert products
    assert all("HIGHEST" in line for line in products)


@pytest.mark.parametrize("once", [False, True])
def test_scaled_blocks_are_those_of_the_scaled_matrix(once):
    matrix, near = chain(3)
    rng = np.random.default_rng(1)
    matrix[-BORDER:, :-BORDER] = rng.normal(size=(BORDER, COUNT * SIZE))
    matrix[:-BORDER, -BORDER:] = matrix[-BORDER:, :-BORDER].T
    factors = rng.normal(size=len(matrix))
    found = scaled_blocks(blocks_of(matrix, near, once), jnp.asarray(factors)).as_matrix()
    np.testing.assert_allclose(found, factors[:, None] * matrix * factors, atol=1e-14)


def test_conjugate_gradients_solve_and_end_without_positive_curvature():
    matrix, near = chain(3, shift=6.0)
    preconditioner = inverse(blocks_of(matrix, near), roots_of(matrix), jnp.eye(BORDER)).mv
    target = jnp.asarray(np.random.default_rng(2).normal(size=len(matrix)))

    def plain(a):
        return conjugate_gradients(lambda v: a @ v, preconditioner, target, 1e-10, 100)

    def flexible(a):
        return flexible_conjugate_gradients(lambda v: a @ v, preconditioner, lambda v: v, target, 1e-10, 100)

    expected = np.linalg.solve(matrix, target)
    np.testing.assert_allclose(jax.jit(plain)(matrix), expected, rtol=1e-8)
    found, converged = jax.jit(flexible)(matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert converged
    assert not jax.jit(plain)(-matrix).any()
    found, converged = jax.jit(flexible)(-matrix)
    assert not found.any()
    assert not converged
    assert not jax.jit(lambda a: conjugate_gradients(lambda v: a @ v, lambda v: v, 0 * target, 1e-3, 9))(matrix).any()
