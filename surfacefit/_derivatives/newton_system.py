r"""Linear systems with the second derivatives of the cost, H x = b, for what is free and determined.

Parameters at a bound, fixed ones and idle ones are held: they do not move. Up to `DIRECT_PARAMETERS` the scaled matrix
D^-1/2 H D^-1/2 is decomposed into eigenvectors. Where an eigenvalue is not clearly positive, nothing determines that
direction: it is left out of the solution, and its parameters count as undetermined. The decomposition then
preconditions conjugate gradients with the exact products H v, which takes an iteration or two and gives back the digits
that an approximate or large matrix has lost. For more parameters the diagonal blocks precondition; where conjugate
gradients then meet a direction of no positive curvature, or do not converge, the solution is NaN.

Golub & Van Loan, Matrix Computations (2013), section 11.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._engines.jacobian import DenseEngine
from .._linear.normal import Normal
from .._model.block_layout import BlockLayout
from .._problem.problem import SurfaceProblem
from .hessian import Hessian
from .stationarity import Point
from .width_manifold import ManifoldHessian, WidthManifold, shape_index, width_manifold

# Parameters up to which the matrix is decomposed, in P^3 operations: about a second for a thousand.
DIRECT_PARAMETERS = 1024
# Parameters up to which a matrix that an engine knows only by its products is put together, one product a parameter:
# conjugate gradients take as many iterations where it is ill-conditioned.
DIRECT_PRODUCTS = 256
# Roundings of the largest eigenvalue, a parameter and at least: an eigenvalue below says nothing about its direction.
SINGULAR_ROUNDINGS, LEAST_SINGULAR_ROUNDINGS = 10, 100
# Eigenvalue of a preconditioner's scaled block that is kept from zero, so that it stays positive definite.
LEAST_BLOCK_EIGENVALUE = 1e-4
# Share of a vector, of norm one, in undetermined directions, above which it depends on them: well above rounding.
DEPENDENT_SHARE = 1e-6
# Iterations of conjugate gradients with a decomposition, which is nearly exact, and with blocks.
REFINING_ITERATIONS, MOST_ITERATIONS = 20, 1000
# Relative residual to which the approximate system is solved that preconditions another: single precision keeps to it.
INNER_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class NewtonSystem:
    """H over what is free, in scaled parameters y = D^1/2 x.

    hessian : H. free (P,) : what may move. root (P,) : D^1/2.
    undetermined (P,) : parameters that nothing determines. unknown (P, P) : their directions in scaled parameters, in
        columns, zero where a direction is determined; None where no matrix was decomposed.
    precondition, measure : an approximate inverse in scaled parameters, and a cheaper one, whose norm tells when a
        solution is near enough.
    blocked () : whether limits hold of which nothing can be said.
    manifold : the surface on which limits of widths hold the fit, if there are such.
    """

    hessian: Hessian | ManifoldHessian
    free: Array
    root: Array
    undetermined: Array
    unknown: Array | None
    precondition: Callable[[Array], Array]
    measure: Callable[[Array], Array]
    blocked: Any = np.False_
    manifold: WidthManifold | None = None

    def solve(self, vector: Array, rtol: float) -> Array:
        """x (P,) with H x = b on what is free, zero elsewhere; NaN if b depends on what is not determined."""
        solution, known = self._solution(vector, rtol)
        return jnp.where(known & ~self.blocked, solution, jnp.nan)

    def step(self, slope: Array, rtol: float) -> Array:
        """The Newton step (P,) for a gradient, in what is free and determined; zero where there is none."""
        solution, known = self._solution(slope, rtol)
        some = jnp.isfinite(solution) & ~self.blocked & (known | (self.unknown is not None))
        step = -solution if self.manifold is None else -self.manifold.lift(solution)
        return jnp.where(some, step, 0)

    def _solution(self, vector: Array, rtol: float) -> tuple[Array, Array]:
        """The solution without undetermined directions, and whether it stands for the whole vector."""
        target = jnp.where(self.free, vector, 0) / self.root
        if self.unknown is None:
            target = jnp.where(self.undetermined, 0, target)
            known = ~jnp.any(self.undetermined & (vector != 0))
            solution, converged = _conjugate_gradients(
                self._scaled, self.precondition, target, rtol, MOST_ITERATIONS, self.measure
            )
            known &= converged
        else:
            parts = jnp.matmul(target, self.unknown, precision="highest")
            known = jnp.sum(parts**2) <= DEPENDENT_SHARE**2 * jnp.sum(target**2)
            target = target - jnp.matmul(self.unknown, parts, precision="highest")
            solution, _ = _conjugate_gradients(self._scaled, self.precondition, target, rtol, REFINING_ITERATIONS)
        return jnp.where(self.free, solution / self.root, 0), known

    def _scaled(self, vector: Array) -> Array:
        product = self.hessian.mv(jnp.where(self.free, vector, 0) / self.root) / self.root
        return jnp.where(self.free, product, 0)


def newton_system(hessian: Hessian, free: Array) -> NewtonSystem:
    """The system for a Hessian and what is free (P,)."""
    if _is_small(hessian.problem):
        return _decomposed(hessian, free)
    engine: Any = hessian.problem.engine
    has_blocks = not isinstance(engine, DenseEngine) and engine.curvature is not None
    normal = hessian.normal(hessian.slopes) if has_blocks else None
    own, corner, scales = hessian.diagonal_blocks(normal)
    dead, root = free & ~(scales > 0), jnp.sqrt(jnp.where(scales > 0, scales, 1))
    inverses = _block_inverses(hessian.layout, own, corner, free & ~dead, root)
    if normal is None and root.dtype == jnp.float32:
        return NewtonSystem(hessian, free & ~dead, root, dead, None, inverses, inverses)
    image = _cheap_products(hessian, normal)
    inner = _inner_solution(hessian, image, inverses, free & ~dead, root)
    return NewtonSystem(hessian, free & ~dead, root, dead, None, inner, inverses)


def _is_small(problem: SurfaceProblem) -> bool:
    """Whether the whole matrix is decomposed."""
    engine: Any = problem.engine
    has_matrix = isinstance(engine, DenseEngine) or engine.curvature is not None
    return problem.parameterization.n_parameters <= (DIRECT_PARAMETERS if has_matrix else DIRECT_PRODUCTS)


def on_manifold(hessian: Hessian, free: Array, point: Point, slope: Array, constraints: Any) -> NewtonSystem:
    """The system where limits of principal widths may hold: along them, if the matrix is small enough."""
    active = jnp.any(constraints.own.normals != 0) | jnp.any(constraints.border.normals != 0)
    if not _is_small(hessian.problem):
        plain = newton_system(hessian, free)
        return replace(plain, blocked=active, undetermined=plain.undetermined | (active & free))
    manifold = width_manifold(point, slope, constraints, hessian.matrix()[1])
    index = shape_index(hessian.layout)
    mixed = jnp.any(manifold.active.any(axis=1) & ~free[index].all(axis=1))
    blocked = ~manifold.regular | mixed
    system = _decomposed(ManifoldHessian(hessian, manifold), free)
    undetermined = system.undetermined | (blocked & free)
    return replace(system, blocked=blocked, undetermined=undetermined, manifold=manifold)


def _decomposed(hessian: Hessian | ManifoldHessian, free: Array) -> NewtonSystem:
    matrix, scales = hessian.matrix()
    root = jnp.sqrt(jnp.where(scales > 0, scales, 1))
    size, eps = len(root), float(np.finfo(root.dtype).eps)
    matrix = matrix / (root[:, None] * root[None, :])
    matrix = jnp.where(free[:, None] & free[None, :], matrix, 0) + jnp.diag(jnp.where(free, 0, 1).astype(root.dtype))
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    least = eps * max(SINGULAR_ROUNDINGS * size, LEAST_SINGULAR_ROUNDINGS) * jnp.abs(values).max()
    known = values > least
    inverse = vectors * jnp.where(known, 1 / jnp.where(known, values, 1), 0)
    unknown = jnp.where(known, 0, vectors)

    def precondition(vector: Array) -> Array:
        return jnp.matmul(inverse, jnp.matmul(vector, vectors, precision="highest"), precision="highest")

    undetermined = free & (jnp.sum(unknown**2, axis=1) > DEPENDENT_SHARE**2)
    return NewtonSystem(hessian, free, root, undetermined, unknown, precondition, precondition)


def _block_inverses(
    layout: BlockLayout, own: Array, corner: Array, free: Array, root: Array
) -> Callable[[Array], Array]:
    """The inverse of the scaled diagonal blocks, positive definite whatever they are."""

    def inverses(blocks: Array, scales: Array, may_move: Array) -> Array:
        scaled = blocks / (scales[:, :, None] * scales[:, None, :])
        some = may_move[:, :, None] & may_move[:, None, :]
        scaled = jnp.where(some, scaled, 0) + jnp.where(may_move, 0, 1)[:, :, None] * np.eye(
            scales.shape[1], dtype=scales.dtype
        )
        values, vectors = jnp.linalg.eigh(scaled)
        bounded = jnp.maximum(jnp.abs(values), LEAST_BLOCK_EIGENVALUE)
        return jnp.einsum("kpi,ki,kqi->kpq", vectors, 1 / bounded, vectors, precision="highest")

    inner = inverses(own, layout.blocks(root), layout.blocks(free))
    outer = inverses(corner[None], root[None, layout.n_own :], free[None, layout.n_own :])[0]

    def precondition(vector: Array) -> Array:
        parts = jnp.einsum("kpq,kq->kp", inner, layout.blocks(vector), precision="highest")
        return concatenated([parts.ravel(), jnp.matmul(outer, vector[layout.n_own :], precision="highest")])

    return precondition


def _inner_solution(
    hessian: Hessian, image: Callable[[Array], Array], inverses: Callable[[Array], Array], free: Array, root: Array
) -> Callable[[Array], Array]:
    """A solution with products ``image`` that are nearly those of H and cheaper."""

    def product(vector: Array) -> Array:
        inner = jnp.where(free, vector, 0) / root
        return jnp.where(free, (image(inner) + hessian.parts.mv(hessian.layout, inner)) / root, 0)

    return lambda vector: _conjugate_gradients(product, inverses, vector, INNER_TOLERANCE, MOST_ITERATIONS)[0]


def _cheap_products(hessian: Hessian, normal: Normal | None) -> Callable[[Array], Array]:
    """Products with J^T diag(e'') J, nearly: by the blocks of overlapping components, without a pass over the points,
    where there are such, else in single precision.
    """
    if normal is not None:
        return lambda vector: normal.mv(vector).astype(vector.dtype)
    jacobian, slopes = jax.tree.map(_single, (hessian.point.jacobian, hessian.slopes))

    def image(vector: Array) -> Array:
        return jacobian.rmv(slopes * jacobian.mv(_single(vector))).astype(vector.dtype)

    return image


def _single(leaf: Any) -> Any:
    return leaf.astype(jnp.float32) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf


def _conjugate_gradients(
    product: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    target: Array,
    rtol: float,
    iterations: int,
    measure: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array]:
    """The solution, and whether its residual is ``rtol`` of the target in the norm of ``measure``, by default of the
    preconditioner.

    It ends where a direction has no positive curvature. The preconditioner may change a little from one iteration to
    the next (Notay, SIAM J. Sci. Comput. 22 (2000) 1444).
    """
    measured = precondition if measure is None else measure

    def square(vector: Array) -> Array:
        return jnp.vdot(vector, measured(vector), precision="highest")

    size = square(target)

    def more(loop: Any) -> Any:
        *_, left, count, sound = loop
        return sound & (left > rtol**2 * size) & (count < iterations)

    def iterate(loop: Any) -> Any:
        solution, residual, direction, image, curvature, _, count, _ = loop
        turned = precondition(residual)
        turn = jnp.vdot(turned, image, precision="highest") / curvature
        direction = turned - turn * direction
        image = product(direction)
        curvature = jnp.vdot(direction, image, precision="highest")
        sound = curvature > 0
        curvature = jnp.where(sound, curvature, 1)
        length = jnp.where(sound, jnp.vdot(direction, residual, precision="highest") / curvature, 0)
        residual = residual - length * image
        return solution + length * direction, residual, direction, image, curvature, square(residual), count + 1, sound

    none, one = jnp.zeros_like(target), jnp.ones((), target.dtype)
    start = (none, target, none, none, one, size, jnp.asarray(0), jnp.asarray(True))
    solution, *_, left, _, sound = jax.lax.while_loop(more, iterate, start)
    return solution, sound & (left <= rtol**2 * size)
