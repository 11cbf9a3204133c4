"""Axes of the parameters along which limits hold a fit, and axes along which it is free."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._constraints.active_constraints import ActiveConstraints
from .._constraints.width_limits import WidthLimits
from .._model.block_layout import block_indices
from .._model.parameters import Parameterization
from .._model.step_lengths import floor_slopes
from .._problem.problem import SurfaceProblem

# Eigenvalue of N N^T, of unit normals N, above which its eigenvector is constrained: well above rounding, and below
# what two normals that differ by 1e-3 leave.
NORMAL_PRESENT = 1e-8

# Of a width: where no width is so near a limit, none is at it, and the program that looks closer is not compiled.
CLEAR_OF_LIMITS = 1e-2


class ConstrainedDirections(NamedTuple):
    """Orthonormal axes of the parameters, and which of them limits hold.

    own (K, p, p), border (n, n) : axes of each component's parameters and of the border's, in columns.
    constrained (P,) : which axes are held; ``at_box`` (P,) which of these by a bound of one parameter.
    lengths (P,) : of a change of one parameter that counts as one: more where it is a width near its floor, which
        changes by less than its free number.
    undetermined (K, p, m), border_undetermined (n, m) : changes of shapes at a limit that the data cannot determine.
    """

    own: np.ndarray
    border: np.ndarray
    constrained: np.ndarray
    at_box: np.ndarray
    lengths: np.ndarray
    n_shared: int
    undetermined: np.ndarray
    border_undetermined: np.ndarray

    @property
    def shared(self) -> np.ndarray:
        """Of the shape that components share (s, s)."""
        return self.border[: self.n_shared, : self.n_shared]

    def undetermined_changes(self, count: int) -> np.ndarray:
        """What nothing is known of, of components with the shape that they share (count, p + s, m)."""
        own, shared = self.undetermined[:count], self.border_undetermined[: self.n_shared]
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


def constrained_directions(
    problem: SurfaceProblem, params: np.ndarray, gradient: np.ndarray, near: float
) -> ConstrainedDirections:
    """At parameters (P,) with this gradient, of what is within ``near`` of a limit; the ``problem`` is on the host."""
    parts, layout = problem.parameterization, problem.parameterization.layout
    count, size = parts.n_components, layout.block_size
    with np.errstate(invalid="ignore"):  # a side without a limit is infinitely far away
        constrained = np.array(problem.at_bound(params, gradient, near))
    own, border, at_box = np.tile(np.eye(size), (count, 1, 1)), np.eye(layout.n_border), constrained.copy()
    undetermined, border_undetermined = np.zeros((count, size, 0)), np.zeros((len(border), 0))
    if problem.width_limits is not None and problem.width_limits.are_near(parts, params, CLEAR_OF_LIMITS):
        found, active = _at_limits(near)(problem.width_limits, parts, params, gradient)
        changes = np.asarray(found)
        changes = changes / np.maximum(np.linalg.norm(changes, axis=1, keepdims=True), 1e-300)
        some: np.ndarray
        if parts.covariance.shared:
            (border[layout.shared_shape, layout.shared_shape],), (some,) = _axes(
                np.asarray(active.border.normals)[:, layout.shared_shape]
            )
            constrained[layout.n_own :][layout.shared_shape] |= some
            border_undetermined = np.pad(changes[0], [(0, layout.n_background), (0, 0)])
        else:
            shapes = layout.shapes
            own[:, shapes, shapes], some = _axes(np.asarray(active.own.normals)[:, shapes])
            layout.blocks(constrained)[:, shapes] |= some
            undetermined = np.pad(changes, [(0, 0), (shapes.start, 0), (0, 0)])
    lengths = 1 / np.asarray(floor_slopes(parts, params))
    return ConstrainedDirections(
        own, border, constrained, at_box, lengths, layout.n_shared, undetermined, border_undetermined
    )


def constraint_normals(axes: ConstrainedDirections) -> np.ndarray:
    """Orthonormal vectors (P, q) along which limits hold the parameters."""
    count, size, _ = axes.own.shape
    end, n_parameters = count * size, len(axes.constrained)
    rows, columns = np.nonzero(axes.constrained[:end].reshape(count, size))
    own, border = np.zeros((n_parameters, len(rows))), np.zeros((n_parameters, n_parameters - end))
    own[block_indices(rows, size).T, np.arange(len(rows))] = axes.own[rows, :, columns].T
    border[end:] = axes.border
    return np.concatenate([own, border[:, axes.constrained[end:]]], axis=1)


def held_changes(axes: ConstrainedDirections) -> np.ndarray:
    """Changes (P, q) of the parameters that limits keep the data from determining, of length one in what changes."""
    count, size, m = axes.undetermined.shape
    n_parameters = len(axes.constrained)
    own, border = np.zeros((n_parameters, count * m)), np.zeros((n_parameters, axes.border_undetermined.shape[1]))
    index = block_indices(np.arange(count), size)[:, :, None]
    own[index, np.arange(count * m).reshape(count, 1, m)] = axes.undetermined
    border[count * size :] = axes.border_undetermined
    together = np.concatenate([np.diag(axes.lengths)[:, axes.at_box], own, border], axis=1)
    return together[:, np.linalg.norm(together, axis=0) > 0.5]


@lru_cache
def _at_limits(near: float) -> Callable[..., Any]:
    """Compiled, since its loops outside of a compiled function would be compiled anew at each call."""

    def both(
        limits: WidthLimits, parts: Parameterization, params: Array, slopes: Array
    ) -> tuple[Array, ActiveConstraints]:
        return limits.undetermined_changes(parts, params, slopes, near), limits.active_constraints(
            parts, params, slopes, near=near
        )

    return quick_jit(both)


def _axes(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes (n, s, s) of which some, (n, s), span normals (n, s, m)."""
    values, axes = np.linalg.eigh(np.matmul(normals, normals.swapaxes(1, 2)))
    return axes, values > NORMAL_PRESENT
