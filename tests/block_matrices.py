"""Small matrices of blocks, as matrices and as `BlockNormal`."""

import jax.numpy as jnp
import numpy as np

from surfacefit._linear.normal import BlockNormal, BlockPattern

COUNT, SIZE, BORDER, ROW = 12, 3, 2, 8


def blocks_of(matrix, near, once=False):
    """A matrix (P, P) as rows of at most eight neighbours; one row stays empty. Each pair ``once``: in the rows of the
    later component.
    """
    inner = matrix[: COUNT * SIZE, : COUNT * SIZE].reshape(COUNT, SIZE, COUNT, SIZE)
    owner, neighbours, own = [], [], []
    for k in range(COUNT):
        others = [k, *np.flatnonzero(near[k] & (np.arange(COUNT) < k if once else np.arange(COUNT) != k))]
        own.append(len(owner))
        for first in range(0, len(others), ROW):
            owner.append(k)
            neighbours.append(np.pad(others[first : first + ROW], (0, ROW), constant_values=COUNT)[:ROW])
    padded = np.pad(inner, [(0, 1), (0, 0), (0, 1), (0, 0)])
    owner, neighbours = np.append(owner, COUNT), np.append(neighbours, np.full((1, ROW), COUNT), axis=0)
    blocks = padded[owner[:, None], :, neighbours].transpose(0, 2, 1, 3).reshape(len(owner), SIZE, -1)
    end = COUNT * SIZE
    cross, corner = matrix[:end, end:].reshape(COUNT, SIZE, BORDER), matrix[end:, end:]
    pattern = BlockPattern(*(jnp.asarray(part, jnp.int32) for part in (owner, neighbours, own)), once=once)
    return BlockNormal(jnp.asarray(blocks), pattern, jnp.asarray(cross), jnp.asarray(corner))


def chain(reach, seed=0, shift=2.0):
    """A symmetric matrix in which components couple up to ``reach`` places away, and which are near."""
    rng = np.random.default_rng(seed)
    places = np.arange(COUNT)
    near = np.abs(places[:, None] - places) <= reach
    matrix = np.zeros((COUNT * SIZE + BORDER,) * 2)
    root = rng.normal(size=(COUNT * SIZE, COUNT * SIZE))
    end = COUNT * SIZE
    matrix[:end, :end] = np.where(np.kron(near, np.ones((SIZE, SIZE))), 0.3 * (root + root.T), 0)
    matrix += shift * np.eye(len(matrix))
    return matrix, near
