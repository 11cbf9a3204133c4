"""LAPACK's calls inside programs: one matrix at a time on a CPU, since two calls on many can wait for each other."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_matrices import COUNT, SIZE, blocks_of, chain

from surfacefit._base.lane_loop import each
from surfacefit._linear.cluster_preconditioner import Clusters, cluster_preconditioner
from surfacefit._linear.factorized_inverse import factorized_inverse
from surfacefit._lists.clusters import clustered
from surfacefit._mixture.mixture_model import factorized, inverse_factors

COVARIANCES = np.tile(np.eye(6), (5, 1, 1))
NORMAL = blocks_of(*chain(2))
ARRAYS = clustered(np.arange(COUNT)[None], 24, np.asarray(NORMAL.pattern.owner), np.asarray(NORMAL.pattern.neighbours))


def by_clusters(y):
    clusters, ones = Clusters(**{name: jnp.asarray(array) for name, array in ARRAYS.items()}), jnp.ones((COUNT, SIZE))
    return cluster_preconditioner(NORMAL.blocks, clusters, NORMAL.diagonal_blocks(), ones, ones)(y)


def by_neighbours(roots):
    return factorized_inverse(NORMAL, roots, jnp.eye(2)).blocks


CALLERS = {
    "clusters": (by_clusters, np.ones((COUNT, SIZE))),
    "factorized inverse": (by_neighbours, np.tile(np.eye(SIZE), (COUNT, 1, 1))),
    "mixtures, factors": (factorized, COVARIANCES),
    "mixtures, inverses": (inverse_factors, COVARIANCES),
}


def matrices_of_lapack(function, argument):
    """The shapes of all that a program for a CPU gives to LAPACK."""
    text = jax.jit(function).trace(argument).lower(lowering_platforms=("cpu",)).as_text()
    calls = re.findall(r"(?:custom_call @lapack_\w+|stablehlo\.(?:cholesky|triangular_solve)).*", text)
    return [shape.split("x")[:-1] for call in calls for shape in re.findall(r"tensor<([0-9x]+x[fi]\d+)>", call)]


@pytest.mark.parametrize("name", CALLERS)
def test_lapack_gets_one_matrix_at_a_time(name):
    shapes = matrices_of_lapack(*CALLERS[name])
    assert shapes
    assert [shape for shape in shapes if len(shape) > 2] == []


def test_many_at_a_time_would_be_seen():
    assert [s for s in matrices_of_lapack(jnp.linalg.cholesky, COVARIANCES) if len(s) > 2]


@pytest.mark.parametrize("at_once", [1, 2, 5, 7])
def test_each_entry_is_taken_by_itself(at_once):
    found = jax.jit(lambda some: each(lambda pair: pair[0] + pair[1].sum(), some, at_once))(
        (jnp.arange(5.0), jnp.ones((5, 3)))
    )
    assert found.tolist() == [3, 4, 5, 6, 7]
