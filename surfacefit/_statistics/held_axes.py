"""Axes of the parameters in which a limit holds some of them whole, and leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._constraints.walls import Walls
from .._constraints.width_limits import WidthLimits
from .._model.parameters import Parameterization
from .._problem.problem import SurfaceProblem

WALL = 1e-8


class HeldAxes(NamedTuple):
    """Axes (K, p, p) of the components' parameters and (n, n) of the border's, in columns; which (P,) are ``held``, of
    these ``boxed`` one by one; and, of the shapes at a limit, changes (K, p, m) and (n, m) that nothing is known of.
    """

    own: np.ndarray
    border: np.ndarray
    held: np.ndarray
    boxed: np.ndarray
    n_shared: int
    unknown: np.ndarray
    border_unknown: np.ndarray

    @property
    def shared(self) -> np.ndarray:
        """Of the shape that components share (s, s)."""
        return self.border[: self.n_shared, : self.n_shared]

    def changes(self, count: int) -> np.ndarray:
        """What nothing is known of, of components with the shape that they share (count, p + s, m)."""
        own, shared = self.unknown[:count], self.border_unknown[: self.n_shared]
        rows = [(0, 0), (0, self.n_shared), (0, 0)]
        return np.concatenate(
            [
                np.pad(own, rows),
                np.broadcast_to(
                    np.pad(shared, [(own.shape[1], 0), (0, 0)]), (count, own.shape[1] + self.n_shared, shared.shape[1])
                ),
            ],
            axis=2,
        )

    def together(self, count: int) -> np.ndarray:
        """Axes (count, p + s, p + s) of components with the shape that they share."""
        size = self.own.shape[1]
        axes = np.zeros((count, size + self.n_shared, size + self.n_shared))
        axes[:, :size, :size], axes[:, size:, size:] = self.own[:count], self.shared
        return axes


def held_axes(problem: SurfaceProblem, params: Array, gradient: np.ndarray, near: float) -> HeldAxes:
    """At parameters (P,) with this gradient, of what is within ``near`` of a limit."""
    parts = problem.parameterization
    count, size, slopes = parts.n_components, parts.block_size, jnp.asarray(gradient)
    held = np.zeros(params.size, bool)
    if problem.box is not None:
        held |= np.asarray(problem.box.held(parts, params, slopes, near))
    own, border, boxed = np.tile(np.eye(size), (count, 1, 1)), np.eye(params.size - count * size), held.copy()
    unknown, border_unknown = np.zeros((count, size, 0)), np.zeros((len(border), 0))
    if problem.width_limits is not None:
        found, walls = _at_limits(near)(problem.width_limits, parts, params, slopes)
        changes = np.asarray(found)
        changes = changes / np.maximum(np.linalg.norm(changes, axis=1, keepdims=True), 1e-300)
        some: np.ndarray
        if parts.covariance.shared:
            (border[: parts.n_shared, : parts.n_shared],), (some,) = _axes(
                np.asarray(walls.border.normals)[:, : parts.n_shared]
            )
            held[count * size : count * size + parts.n_shared] |= some
            border_unknown = np.pad(changes[0], [(0, len(border) - parts.n_shared), (0, 0)])
        else:
            first = size - parts.shape_size
            own[:, first:, first:], some = _axes(np.asarray(walls.own.normals)[:, first:])
            held[: count * size].reshape(count, size)[:, first:] |= some
            unknown = np.pad(changes, [(0, 0), (first, 0), (0, 0)])
    return HeldAxes(own, border, held, boxed, parts.n_shared, unknown, border_unknown)


@lru_cache
def _at_limits(near: float) -> Callable[..., Any]:
    """Compiled, since its loops outside of a compiled function would be compiled anew at each call."""

    def both(limits: WidthLimits, parts: Parameterization, params: Array, slopes: Array) -> tuple[Array, Walls]:
        return limits.unknown(parts, params, slopes, near), limits.walls(parts, params, slopes, near=near)

    return quick_jit(both)


def _axes(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes (n, s, s) of which some, (n, s), span normals (n, s, m)."""
    values, axes = np.linalg.eigh(np.matmul(normals, normals.swapaxes(1, 2)))
    return axes, values > WALL
