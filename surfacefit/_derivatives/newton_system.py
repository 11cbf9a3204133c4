r"""Linear systems with the second derivatives of the cost, H x = b, for what is free and determined.

Parameters at a bound, fixed ones and idle ones are held: they do not move. Up to `DIRECT_PARAMETERS` the scaled matrix
D^-1/2 H D^-1/2 is decomposed into eigenvectors. Where an eigenvalue is not clearly positive, nothing determines that
direction: it is left out of the solution, and its parameters count as undetermined. The decomposition then
preconditions conjugate gradients with the exact products H v, which takes an iteration or two and gives back the digits
that an approximate or large matrix has lost. For more parameters a cheaper system like it preconditions; where
conjugate gradients then meet a direction of no positive curvature, or do not converge, the solution is NaN. What
has next to no effect is taken out beforehand (`faint_components`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._engines.jacobian import DenseEngine
from .._linear.conjugate_gradients import flexible_conjugate_gradients
from .._problem.problem import SurfaceProblem
from .faint_components import faint
from .hessian import Hessian
from .preconditioners import inverse_roots, solution_by_blocks, solution_in_single_precision
from .stationarity import Point
from .width_manifold import ManifoldHessian, WidthManifold, shape_index, width_manifold

# Parameters up to which the matrix is decomposed, in P^3 operations: about a second for a thousand.
DIRECT_PARAMETERS = 1024
# Parameters up to which a matrix that an engine knows only by its products is put together, one product a parameter:
# conjugate gradients take as many iterations where it is ill-conditioned.
DIRECT_PRODUCTS = 256
# Roundings of the largest eigenvalue, a parameter and at least: an eigenvalue below says nothing about its direction.
SINGULAR_ROUNDINGS, LEAST_SINGULAR_ROUNDINGS = 10, 100
# Share of a vector, of norm one, in undetermined directions, above which it depends on them: well above rounding.
DEPENDENT_SHARE = 1e-6
# Iterations of conjugate gradients with a decomposition, which is nearly exact, and without.
REFINING_ITERATIONS, MOST_ITERATIONS = 20, 1000


@dataclass(frozen=True, eq=False)
class NewtonSystem:
    """H over what is free, in scaled parameters y = D^1/2 x.

    hessian : H. free (P,) : what may move. root (P,) : D^1/2.
    lost (P,) : what might move, but has next to no effect and is not in the system.
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
    lost: Array
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

    def step(self, slope: Array, rtol: float) -> tuple[Array, Array]:
        """The Newton step (P,) for a gradient, in what is free and determined, and whether there is one; else zeros."""
        solution, known = self._solution(jnp.where(self.lost, 0, slope), rtol)
        found = jnp.all(jnp.isfinite(solution)) & ~self.blocked & (known | (self.unknown is not None))
        step = -solution if self.manifold is None else -self.manifold.lift(solution)
        return jnp.where(found, step, 0), found

    def _solution(self, vector: Array, rtol: float) -> tuple[Array, Array]:
        """The solution without undetermined directions, and whether it stands for the whole vector."""
        target = jnp.where(self.free, vector, 0) / self.root
        known = ~jnp.any(self.lost & (vector != 0))
        if self.unknown is None:
            solution, converged = self._conjugate_gradients(target, rtol, MOST_ITERATIONS)
            known &= converged
        else:
            parts = jnp.matmul(target, self.unknown, precision="highest")
            known &= jnp.sum(parts**2) <= DEPENDENT_SHARE**2 * jnp.sum(target**2)
            target = target - jnp.matmul(self.unknown, parts, precision="highest")
            solution, _ = self._conjugate_gradients(target, rtol, REFINING_ITERATIONS)
        return jnp.where(self.free, solution / self.root, 0), known

    def _conjugate_gradients(self, target: Array, rtol: float, most: int) -> tuple[Array, Array]:
        return flexible_conjugate_gradients(self._scaled, self.precondition, self.measure, target, rtol, most)

    def _scaled(self, vector: Array) -> Array:
        product = self.hessian.mv(jnp.where(self.free, vector, 0) / self.root) / self.root
        return jnp.where(self.free, product, 0)


def newton_system(hessian: Hessian, free: Array) -> NewtonSystem:
    """The system for a Hessian and what is free (P,)."""
    if _is_small(hessian.problem):
        return _decomposed(hessian, free)
    engine: Any = hessian.problem.engine
    has_blocks = not isinstance(engine, DenseEngine) and engine.curvature is not None
    normal: Any = hessian.normal(hessian.slopes) if has_blocks else None
    own, corner, scales = hessian.diagonal_blocks(normal)
    lost, root = free & (faint(hessian, scales) | ~(scales > 0)), jnp.sqrt(jnp.where(scales > 0, scales, 1))
    free = free & ~lost
    roots = inverse_roots(hessian.layout, own, corner, free, root)
    inner: Callable[[Array], Array] = roots.inverse
    if normal is not None:
        inner = solution_by_blocks(hessian, normal, roots, free, root)
    elif root.dtype != jnp.float32:
        inner = solution_in_single_precision(hessian, roots, free, root)
    return NewtonSystem(hessian, free, root, lost, lost, None, inner, roots.inverse)


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
    lost = free & faint(hessian.plain if isinstance(hessian, ManifoldHessian) else hessian, scales)
    free = free & ~lost
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

    undetermined = lost | (free & (jnp.sum(unknown**2, axis=1) > DEPENDENT_SHARE**2))
    return NewtonSystem(hessian, free, root, lost, undetermined, unknown, precondition, precondition)
