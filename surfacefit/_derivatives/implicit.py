r"""`surfacefit.solve` with derivatives by the implicit function theorem.

At a minimum g(p, theta) = 0, with the gradient g, parameters p and inputs theta (`stationarity`). So, over what limits
do not hold,

    dp = -H^-1 (B dtheta + H e),        H = dg/dp,  B = dg/dtheta,

where e is how far held parameters move with their bounds. Forward and backward differentiation both follow from one
symmetric system in (u, v, w), of which `jax.lax.custom_linear_solve` needs only a solution,

    [0  0   I] [u]   [dtheta]
    [0  H   B] [v] = [  0   ]    with  dp = v,    and with (0, p', 0) on the right  theta' = u = -B^T H^-1 p'.
    [I  B^T 0] [w]   [  0   ]

Nothing is unrolled, and no matrix of points times parameters is held.

Griewank & Walther, Evaluating Derivatives (2008), chapter 15; Blondel et al., NeurIPS 35 (2022) 5230.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from .._base.checks import count, one_of, positive_number
from .._base.compile import concatenated
from .._problem.problem import SurfaceProblem
from .hessian import hessian
from .newton_system import NewtonSystem, newton_system, on_manifold
from .stationarity import INPUTS, Point, input_slopes, point_at, pulled, pushed
from .width_manifold import ManifoldHessian

# How far a Newton step may move a component, in its own widths: next to a minimum steps are far shorter.
NEWTON_REACH = 0.5
# Roundings of the cost by which it may rise in a Newton step: next to a minimum it is known no better.
COST_ROUNDINGS = 64
# Roundings of the parameters at which a Newton step is none: those of its own solution.
END_ROUNDINGS = 8
# Share of the asked relative accuracy of derivatives at which a Newton step, relative to the parameters, is none.
END_SHARE = 1e-3
# Relative residual of the linear system of a Newton step towards the minimum: each gains three digits, or doubles them.
NEWTON_TOLERANCE = 1e-3
# Ways to take the second derivatives of the cost.
HESSIANS = ("exact", "gauss-newton")


class Minimum(NamedTuple):
    """What is known of a minimum to which `Implicit` attached derivatives, as JAX arrays.

    ``held`` (P,) says which parameters a limit or a fixed value holds, ``undetermined`` (P,) which nothing determines:
    their derivatives are NaN. ``gradient`` is the largest cosine between the residuals and a column of the Jacobian
    over what is free, as for ``gtol`` of `LevenbergMarquardt`. ``step`` is the length of the last Newton step in the
    metric of D, relative to that of the parameters and the weights: how far the solution is from a minimum, at most;
    infinite where there is no such step, since the cost has no minimum nearby.
    """

    held: Array
    undetermined: Array
    gradient: Array
    step: Array


@dataclass(frozen=True)
class Implicit:
    r"""Derivatives through the minimum that `surfacefit.solve` finds, for its option ``adjoint``.

    `jax.grad`, `jax.jvp`, `jax.jacfwd`, `jax.vmap` and `jax.jit` then go through `solve`, with respect to every
    floating-point number of the problem: heights, weights, points, bounds that hold, fixed values, prior and loss. By
    the implicit function theorem :math:`dp = -H^{-1}\,dg` with the gradient g of the cost and its derivative H by the
    parameters; nothing is unrolled. The derivative by the start is zero.

    Parameters
    ----------
    hessian : "exact" for all second derivatives of the cost; "gauss-newton" leaves out those of the residuals, which
        is right only where residuals are small.
    rtol : relative residual at which the linear system counts as solved.
    polish : Newton steps, at most, from where the solver ended to the minimum itself. Most fits end by ``slack`` before
        their last digits, and the derivative belongs to the minimum. 0 leaves the solution where it is.

    The `Solution` has a field ``minimum``, a record that says what is held, what is undetermined, and how far the
    minimum still is. Derivatives of parameters that nothing determines, and of numbers that depend on such, are NaN:
    among them centre and shape of a component whose height is below half the digits of the heights' spread (1.5e-8 in
    double precision), where they would go as one over its height. Those of parameters at a limit, or fixed, are zero
    but for the limit itself. Above about 1,000 parameters whatever the linear system cannot be solved for is NaN. Where
    limits hold a principal width of a component with another one that is equal, or one of more than about 1,000
    parameters, everything counts as undetermined.

    >>> import jax, jax.numpy as jnp, surfacefit as sf
    >>> x = jnp.linspace(-3, 3, 61)[:, None]
    >>> start = sf.GaussianSurface(jnp.array([0.8]), jnp.array([[0.3]]), jnp.array([[[0.5]]]))
    >>> def fitted_center(z):
    ...     problem, params = sf.SurfaceProblem.from_start(x, z, start)
    ...     solution = sf.solve(problem, params, sf.LevenbergMarquardt(), adjoint=sf.Implicit())
    ...     return problem.surface(solution.params).centers[0, 0]
    >>> slopes = jax.jit(jax.grad(fitted_center))(jnp.exp(-0.5 * x[:, 0] ** 2))
    >>> slopes.shape, bool(slopes[40] > 0 > slopes[20])
    ((61,), True)
    """

    hessian: str = "exact"
    rtol: float = 1e-6
    polish: int = 16

    def __post_init__(self) -> None:
        one_of("hessian", self.hessian, list(HESSIANS))
        positive_number("rtol", self.rtol)
        count("polish", self.polish, 0)

    def solution(self, solve: Callable[..., Any], problem: Any, params: Array, solver: Any) -> Any:
        """What ``solve(problem, params, solver)`` gives, moved to the minimum itself and with derivatives."""
        if not isinstance(problem, SurfaceProblem):
            raise TypeError(f"`adjoint` needs a SurfaceProblem, got {type(problem).__name__}")
        found = solve(*jax.lax.stop_gradient((problem, params, solver)))
        at, minimum = polished(self, jax.lax.stop_gradient(problem), found.params)
        params, cost = attached(self, problem, at)
        return found._replace(params=params, cost=cost, minimum=minimum)


def system_at(adjoint: Implicit, point: Point, slope: Array) -> tuple[NewtonSystem, Array]:
    """The Newton system at a point with this gradient, and what is held there (P,)."""
    problem, parts = point.problem, point.problem.parameterization
    idle = jnp.repeat(~parts.active, parts.layout.block_size)
    border = np.zeros(parts.layout.n_border, bool)
    border[: parts.layout.n_shared] = parts.shape_held
    held = concatenated([idle, jnp.asarray(border)]) | problem.at_bound(point.params, slope)
    curvature, constraints = hessian(point, adjoint.hessian == "exact"), problem.active_constraints(point.params, slope)
    if constraints is None:
        return newton_system(curvature, ~held), held
    return on_manifold(curvature, ~held, point, slope, constraints), held


def polished(adjoint: Implicit, problem: SurfaceProblem, params: Array) -> tuple[Array, Minimum]:
    """The parameters after undamped Newton steps, and what is known of them; only steps that do not raise the cost."""
    eps = float(np.finfo(params.dtype).eps)
    nothing = jnp.zeros(params.shape, bool)
    first = Minimum(nothing, nothing, jnp.asarray(jnp.inf, params.dtype), jnp.asarray(jnp.inf, params.dtype))

    def more(loop: tuple[Array, Minimum, Array, Array]) -> Array:
        _, _, number, ended = loop
        return ~ended & (number <= adjoint.polish)

    def newton(loop: tuple[Array, Minimum, Array, Array]) -> tuple[Array, Minimum, Array, Array]:
        at, _, number, _ = loop
        point = point_at(problem, at)
        slope, before = point.gradient(), point.cost()
        system, held = system_at(adjoint, point, slope)
        along = slope if system.manifold is None else system.manifold.lower(slope)
        whole, found = system.step(along, NEWTON_TOLERANCE)
        minimum = _minimum(point, system, held, along, jnp.where(found, whole, jnp.inf))
        step = problem.within_trust_region(at, whole, jnp.asarray(NEWTON_REACH))
        trial = at + step.astype(at.dtype)
        lower = point_at(problem, trial).cost() <= before * (1 + COST_ROUNDINGS * eps)
        taken = lower & (number < adjoint.polish) & problem.plan_is_valid(trial)
        ended = ~taken | ~found | (minimum.step <= max(END_ROUNDINGS * eps, END_SHARE * adjoint.rtol))
        return jnp.where(taken, trial, at), minimum, number + 1, ended

    start = problem.projected(params)
    at, minimum, _, _ = jax.lax.while_loop(more, newton, (start, first, jnp.asarray(0), jnp.asarray(False)))
    return at, minimum


def _minimum(point: Point, system: NewtonSystem, held: Array, slope: Array, step: Array) -> Minimum:
    free = system.free & ~system.undetermined
    norms = system.root * jnp.sqrt(2 * point.cost())
    cosines = jnp.where(free & (norms > 0), jnp.abs(slope) / jnp.where(norms > 0, norms, 1), 0)
    size = jnp.sqrt(jnp.sum((system.root * point.params) ** 2) + jnp.sum(jnp.asarray(point.problem.weights) ** 2))
    length = jnp.linalg.norm(system.root * step) / size
    return Minimum(held, system.undetermined, cosines.max(initial=0.0), length)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def attached(adjoint: Implicit, problem: SurfaceProblem, params: Array) -> tuple[Array, Array]:
    """Parameters (P,) of a minimum of the problem, and its cost, with their derivatives by the problem."""
    return params, point_at(problem, params).cost()


@partial(attached.defjvp, symbolic_zeros=True)
def _attached_jvp(adjoint: Implicit, primals: Any, tangents: Any) -> Any:
    problem, change = primals[0], tangents[0]
    params, cost = attached(adjoint, *primals)  # so that second derivatives follow the minimum as well
    point = point_at(problem, params)
    slope = point.gradient()
    moved, bounds = _perturbed(change)
    system, _ = system_at(adjoint, point, slope)
    carried = _limit_change(system, point, slope, change) if bounds else None
    names = tuple(moved)
    tangent = _tangent(adjoint, system, point, moved, carried)
    slopes = input_slopes(point, names)
    pairs = zip(jax.tree.leaves(slopes), jax.tree.leaves(moved), strict=True)
    fall = sum((jnp.vdot(a, b, precision="highest") for a, b in pairs), jnp.zeros((), params.dtype))
    if carried is not None:
        fall = fall + jnp.vdot(slope, carried[0], precision="highest")
    return (params, cost), (tangent, fall)


def _perturbed(change: SurfaceProblem) -> tuple[dict[str, Any], bool]:
    """The inputs that move, by name and with zeros where a part of one does not, and whether limits move."""

    def moves(tree: Any) -> bool:
        return any(not isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tree, is_leaf=_is_zero))

    some = {name: getattr(change, name) for name in INPUTS if moves(getattr(change, name))}
    return jax.tree.map(_instantiated, some, is_leaf=_is_zero), moves((change.box, change.width_limits))


def _is_zero(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicZero)


def _instantiated(leaf: Any) -> Any:
    return jnp.zeros(leaf.shape, leaf.dtype) if _is_zero(leaf) else leaf


def _limit_change(system: NewtonSystem, point: Point, slope: Array, change: SurfaceProblem) -> tuple[Array, Array]:
    """How parameters (P,) move with the limits that hold them, zero for all others, and what that alone does to the
    gradient along a curved limit.
    """
    problem, params = point.problem, point.params
    box, limits = jax.tree.map(_instantiated, (change.box, change.width_limits), is_leaf=_is_zero)
    shift, turn = jnp.zeros_like(params), jnp.zeros_like(params)
    if problem.box is not None:
        parts = problem.parameterization
        moved = jax.jvp(lambda sides: sides.nearest_bounds(parts, params), (problem.box,), (box,))[1]
        shift = jnp.where(problem.box.at_bound(parts, params, slope), moved, 0)
    if system.manifold is not None:
        along, turn = system.manifold.moved(limits)
        shift = shift + along
    return shift, turn


def _tangent(
    adjoint: Implicit,
    system: NewtonSystem,
    point: Point,
    moved: dict[str, Any],
    carried: tuple[Array, Array] | None,
) -> Array:
    """dp (P,) for changes of inputs and of held parameters: see the module."""
    problem, params, names = point.problem, point.params, tuple(moved)
    curvature, free, lost, manifold = system.hessian, system.free, system.lost, system.manifold
    plain = curvature.plain if isinstance(curvature, ManifoldHessian) else curvature

    def lower(vector: Array) -> Array:
        return jnp.where(free, vector if manifold is None else manifold.lower(vector), 0)

    def lift(vector: Array) -> Array:
        inner = jnp.where(free, vector, 0)
        return inner if manifold is None else manifold.lift(inner)

    def image(inputs: tuple[dict[str, Any], tuple[Array, Array] | None]) -> Array:
        """B dtheta + H e on what is free."""
        change, held = inputs
        total = pushed(problem, params, change) if change else jnp.zeros_like(params)
        return lower(total) if held is None else lower(total + plain.mv(held[0])) + jnp.where(free, held[1], 0)

    def preimage(vector: Array) -> tuple[dict[str, Any], tuple[Array, Array] | None]:
        """B^T v and H v."""
        inner = lift(vector)
        found = pulled(point, inner, names) if names else {}
        return found, None if carried is None else (plain.mv(inner), jnp.where(free, vector, 0))

    def product(x: tuple[Any, Array, Any]) -> tuple[Any, Array, Any]:
        u, v, w = x
        inner = jnp.where(free, curvature.mv(jnp.where(free, v, 0)), 0)
        return w, jnp.where(free, inner + image(w), v), _sum(u, preimage(v))

    def solve(_: Any, target: tuple[Any, Array, Any]) -> tuple[Any, Array, Any]:
        forward, vector, back = target
        v = system.solve(vector - image(forward), adjoint.rtol)
        undetermined = system.undetermined & jnp.any(v != 0)
        return _sum(back, jax.tree.map(jnp.negative, preimage(v))), jnp.where(undetermined, jnp.nan, v), forward

    # JAX transposes a solution only if all of the right side moves, its zeros too; no NaN comes back through these.
    never = jnp.zeros((), bool)
    parts = [jnp.where(never, leaf, 0).sum().astype(params.dtype) for leaf in jax.tree.leaves((moved, carried))]
    none = sum(parts, jnp.zeros((), params.dtype))
    given = jax.tree.map(lambda leaf: leaf + none.astype(leaf.dtype), (moved, carried))
    zeros = jax.tree.map(lambda leaf: jnp.where(never, leaf, 0), given)
    target = (given, jnp.broadcast_to(none, params.shape), zeros)
    _, tangent, _ = jax.lax.custom_linear_solve(product, target, solve, symmetric=True)
    tangent = lift(tangent) + jnp.where(lost, tangent, 0)
    return tangent if carried is None else tangent + carried[0]


def _sum(one: Any, other: Any) -> Any:
    return jax.tree.map(jnp.add, one, other)
