"""Covariances by principal widths and rotations: in 2-D an angle, in more dimensions a turn from given axes.

With orthonormal axes v_i as columns of V and widths s_i, Sigma = V diag(s^2) V^T. In 2-D the first axis is
(sin a, cos a) for the angle a, which `GaussianSurface.orientation` counts so; else V = F C(t), with the axes F of the
start and Cayley's rotation C(t) = (1 - S)^-1 (1 + S) of an antisymmetric S.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


def axes_of(turns: Array, frames: Array) -> Array:
    """Axes (K, d, d), in columns, of turns (K, t) from the axes ``frames`` (K, d, d)."""
    n_dim = frames.shape[-1]
    if turns.shape[1] == 0:
        return jnp.broadcast_to(jnp.eye(n_dim, dtype=frames.dtype), frames.shape)
    if n_dim == 2:
        sine, cosine = jnp.sin(turns[:, 0]), jnp.cos(turns[:, 0])
        return jnp.stack([jnp.stack([sine, cosine], axis=1), jnp.stack([cosine, -sine], axis=1)], axis=1)
    skew = jnp.zeros(frames.shape, turns.dtype).at[:, *np.tril_indices(n_dim, -1)].set(turns)
    skew = skew - skew.swapaxes(1, 2)
    one = jnp.eye(n_dim, dtype=turns.dtype)
    return jnp.matmul(frames, jnp.linalg.solve(one - skew, one + skew), precision="highest")


def lower_factors(rows: Array) -> Array:
    """Lower factors L (K, d, d), of positive diagonal, with L L^T = A A^T, by Gram and Schmidt on the rows of A:
    nothing is squared.
    """
    n_dim = rows.shape[-1]
    basis: list[Array] = []
    lower: list[Array] = []
    for i in range(n_dim):
        rest = rows[:, i]
        entries: list[Array] = []
        for unit in basis:
            entries.append(jnp.sum(unit * rest, axis=1))
            rest = rest - entries[-1][:, None] * unit
        length = jnp.sqrt(jnp.sum(rest**2, axis=1))
        basis.append(rest / length[:, None])
        lower.append(jnp.stack([*entries, length, *[jnp.zeros_like(length)] * (n_dim - 1 - i)], axis=1))
    return jnp.stack(lower, axis=1)


def widths_and_axes(covariances: np.ndarray, along_axes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Widths (K, d), larger first, and axes (K, d, d) in columns, of covariances; or along the coordinate axes."""
    if along_axes:
        diagonal = np.einsum("kii->ki", covariances)
        return np.sqrt(diagonal), np.broadcast_to(np.eye(diagonal.shape[1]), covariances.shape)
    squares, axes = np.linalg.eigh(covariances)
    return np.sqrt(np.maximum(squares[:, ::-1], np.finfo(float).tiny)), axes[:, :, ::-1]


def turns_to(axes: np.ndarray, n_turns: int) -> tuple[np.ndarray, np.ndarray]:
    """Turns (K, t), and the axes (K, d, d) that they count from, for axes in columns."""
    n_dim = axes.shape[-1]
    if n_dim == 2 and n_turns:
        return np.arctan2(axes[:, 0, :1], axes[:, 1, :1]) % np.pi, np.broadcast_to(np.eye(2), axes.shape)
    turned: Any = axes.copy()
    turned[..., 0] *= np.sign(np.linalg.det(axes))[:, None]
    return np.zeros((len(axes), n_turns)), turned
