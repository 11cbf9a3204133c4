r"""Shapes whose principal widths stand at limits: near them a fit moves on a curved surface of its parameters.

R(q) is the shape q (s,) with the widths that a limit holds set to that limit, and all else as it is. Near a minimum at
the limits the cost is that of R(q), whose derivatives are

    dE/dq = R'^T g,        d2E/dq2 = R'^T H R' + sum_i g_i R_i'',

with gradient g and Hessian H. Across the surface R does not change, and these derivatives vanish; a projector onto
these directions is added to the Hessian, which changes no solution. Widths that are equal have no axes, and no
derivatives.

Nocedal & Wright, Numerical Optimization, 2nd edition (2006), section 12.4, on second derivatives along constraints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._constraints.active_constraints import ActiveConstraints
from .._constraints.width_limits import WidthLimits
from .._model.block_layout import BlockLayout, shape_numbers, with_shape_numbers
from .._model.parameters import Parameterization
from .hessian import Hessian
from .stationarity import Point

# Squared singular value of R', which are 0 across the surface and at least 1 along it, between the two.
BETWEEN_ACROSS_AND_ALONG = 0.5


@dataclass(frozen=True, eq=False)
class WidthManifold:
    """Active limits (G, m) of G shapes, one a component or one for all, and R at the point.

    lifts (G, s, s) : R'. bends (G, s, s) : sum_i g_i R_i''. across (G, s, s) : projectors onto what R does not see.
    regular () : whether all of these are finite.
    """

    point: Point
    slope: Array
    active: Array
    lifts: Array
    bends: Array
    across: Array
    regular: Array

    @property
    def layout(self) -> BlockLayout:
        return self.point.problem.parameterization.layout

    def lift(self, vector: Array) -> Array:
        """R' v."""
        return self._times(self.lifts, vector)

    def lower(self, vector: Array) -> Array:
        """R'^T v."""
        return self._times(self.lifts.swapaxes(1, 2), vector)

    def moved(self, change: WidthLimits) -> tuple[Array, Array]:
        """Changes (P,) of the parameters and of dE/dq for a change of the limits, at fixed q and g."""
        problem = self.point.problem
        parts, shapes = problem.parameterization, shape_numbers(self.layout, self.point.params)
        slopes = shape_numbers(self.layout, self.slope)

        def both(limits: WidthLimits) -> tuple[Array, Array]:
            def one(shape: Array, slope: Array, active: Array) -> tuple[Array, Array]:
                held, pull = jax.vjp(lambda q: held_shape(limits, parts, q, active), shape)
                return held, pull(slope)[0]

            return jax.vmap(one)(shapes, slopes, self.active)

        found = jax.jvp(both, (problem.width_limits,), (change,))[1]
        some = self.active.any(axis=1)[:, None]
        zeros = jnp.zeros_like(self.point.params)
        shift, turn = (with_shape_numbers(self.layout, zeros, jnp.where(some, one, 0)) for one in found)
        return shift, turn

    def _times(self, matrices: Array, vector: Array) -> Array:
        shapes = shape_numbers(self.layout, vector)
        return with_shape_numbers(self.layout, vector, jnp.einsum("gst,gt->gs", matrices, shapes, precision="highest"))


@dataclass(frozen=True, eq=False)
class ManifoldHessian:
    """d2E/dq2 (P, P), with what makes it regular across the surface; as `Hessian`, for matrices that are whole."""

    plain: Hessian
    manifold: WidthManifold

    @property
    def problem(self) -> Any:
        return self.plain.problem

    @property
    def layout(self) -> BlockLayout:
        return self.plain.layout

    def mv(self, vector: Array) -> Array:
        manifold = self.manifold
        inner = manifold.lower(self.plain.mv(manifold.lift(vector)))
        zeros = jnp.zeros_like(vector)
        own = manifold._times(manifold.bends + manifold.across, vector)
        return inner + with_shape_numbers(self.layout, zeros, shape_numbers(self.layout, own))

    def matrix(self) -> tuple[Array, Array]:
        matrix, scales = self.plain.matrix()
        lowered = jax.vmap(self.manifold.lower, in_axes=1, out_axes=1)(matrix)
        inner = jax.vmap(self.manifold.lower)(lowered)
        extra = self.manifold.bends + self.manifold.across
        index = shape_index(self.layout)
        return inner.at[index[:, :, None], index[:, None, :]].add(extra), scales


def shape_index(layout: BlockLayout) -> np.ndarray:
    """Places (G, s) of the shapes' numbers in the parameters."""
    return np.asarray(shape_numbers(layout, np.arange(layout.n_parameters)))


def width_manifold(point: Point, slope: Array, constraints: ActiveConstraints, scales: Array) -> WidthManifold:
    """At a point with this gradient and squared scales (P,) of its parameters."""
    problem, layout = point.problem, point.problem.parameterization.layout
    parts, limits = problem.parameterization, problem.width_limits
    group = constraints.border if layout.n_shared else constraints.own
    active = jnp.any(group.normals != 0, axis=1)
    some = active.any(axis=1)[:, None, None]
    shapes, slopes = shape_numbers(layout, point.params), shape_numbers(layout, slope)
    eye = jnp.eye(shapes.shape[1], dtype=shapes.dtype)

    def lift(shape: Array, active: Array) -> Array:
        return jax.jacfwd(lambda q: held_shape(limits, parts, q, active))(shape)

    def bend(shape: Array, slope: Array, active: Array) -> Array:
        return jax.hessian(lambda q: jnp.vdot(slope, held_shape(limits, parts, q, active), precision="highest"))(shape)

    lifts = jnp.where(some, jax.vmap(lift)(shapes, active), eye)
    bends = jnp.where(some, jax.vmap(bend)(shapes, slopes, active), 0)
    regular = jnp.all(jnp.isfinite(lifts)) & jnp.all(jnp.isfinite(bends))
    lifts, bends = jnp.where(regular, lifts, eye), jnp.where(regular, bends, 0)
    values, vectors = jnp.linalg.eigh(jnp.einsum("gis,git->gst", lifts, lifts, precision="highest"))
    across = jnp.einsum(
        "gsa,ga,gta->gst",
        vectors,
        (values < BETWEEN_ACROSS_AND_ALONG).astype(shapes.dtype),
        vectors,
        precision="highest",
    )
    sizes = shape_numbers(layout, scales).max(axis=1)[:, None, None]
    return WidthManifold(point, slope, active, lifts, bends, sizes * across, regular)


def held_shape(limits: Any, parts: Parameterization, shape: Array, active: Array) -> Array:
    """R: the shape (s,) with the widths of active limits (m,) set to them; limits stand in the order lowest width,
    highest width, and ratios of two widths, the larger first.
    """
    factor = limits.scales[:, None] * parts.covariance.cholesky(shape, parts.floor)
    squares, axes = jnp.linalg.eigh(jnp.matmul(factor, factor.T, precision="highest"))
    widths, axes = jnp.sqrt(squares)[::-1], axes[:, ::-1]
    count = len(widths)
    widths = jnp.where(active[:count], limits.low, jnp.where(active[count : 2 * count], limits.high, widths))
    for number, (large, small) in enumerate(zip(*np.triu_indices(count, 1), strict=True)):
        ratio = jnp.where(active[2 * count + number], limits.aspect, 1.0)
        held = jnp.where(active[2 * count + number], widths[large] / ratio, widths[small])
        widths = widths.at[small].set(held)
    roots = axes * widths / limits.scales[:, None]
    covariance = jnp.matmul(roots, roots.T, precision="highest")
    held_numbers: Array = parts.covariance.parameters(covariance, parts.floor)
    return held_numbers
