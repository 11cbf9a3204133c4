r"""Levenberg-Marquardt for very many very small fits: each lane of an array is a fit of its own.

The steps are those of `_solvers/levenberg_marquardt`: (J^T J + mu D) h = -g with Nielsen's damping, shortened to a
reach in widths of each component, and taken where the cost falls. What differs is what few parameters allow. A trial
brings its own J^T J, so that a step is one pass over the points; all systems are solved entry by entry; and every
lane has its own damping, reach, and end. A lane that has ended no longer changes, and the loop ends with the last one.

Near its minimum a lane is judged by the fall that the quadratic model still promises: the cost itself, a sum of many
squares, no longer shows it in single precision. A step promised to lower the cost by less than its rounding is taken
unless the cost rises by more than that.

Where a lane does not end well, it is left to the general solver: at no end in ``max_steps``, or in a VALLEY, when the
minimum is still further than ``trusted_distance`` standard errors by an undamped step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.status import Status
from .._problem.objective import EXACT_ROUNDINGS, NEGLIGIBLE_MISFIT, ROUNDING_UNITS
from . import algebra
from .algebra import Entries
from .gaussians import Component, SmallModel
from .normal import Lanes, Quadratic, linearized

# Part of the predicted fall in cost that a step must gain to be taken: that of the general solver.
ACCEPTED_GAIN = 1e-4
# Part of it from which the model counts as good: that of the general solver.
GOOD_GAIN = 0.75
# Part of a kind's mean scale over the components that a component's own counts at least, as in the general problem.
SCALE_FLOOR = 1e-3
# Units in the last place of the cost below which a promised fall cannot be seen in it: the squares of some 50 residuals
# round to a few, and deviances of counts to some 30. In single precision the minimum is then 0.01 errors away or less.
UNSEEN_UNITS = 32


@register_dataclass
@dataclass(frozen=True)
class LaneSettings:
    """When a lane ends, and how it steps; numbers, so that others compile nothing anew.

    ftol : a lane ends when a step lowers its cost by less than this fraction, as predicted and in fact, and
    distance : its minimum was nearer than so many standard errors before that step.
    trusted_distance : a lane that has ended further away, by an undamped step, ends as VALLEY.
    damping, reach : as `LevenbergMarquardt` has them.
    """

    max_steps: Any = 50
    ftol: Any = 1e-4
    distance: Any = 1e-3
    trusted_distance: Any = 0.3
    damping: Any = 0.1
    reach: tuple[Any, Any] = (0.5, 3.0)


class LaneFits(NamedTuple):
    """Best parameters (P, B), cost 1/2 |r|^2 (B,), `Status` codes (B,) and steps (B,)."""

    params: Array
    cost: Array
    status: Array
    steps: Array


class LaneState(NamedTuple):
    """Where the lanes stand, in arrays (B,)."""

    params: Entries
    here: Quadratic
    damping: Array
    growth: Array
    reach: Array
    status: Array
    steps: Array


def fit_small_lanes(model: SmallModel, lanes: Lanes, start: Array, settings: LaneSettings) -> LaneFits:
    """Fit each of B lanes from its start (P, B): a pure function, for points and heights of order one.

    No lane knows of another. Where data or start are not finite, a lane keeps its start, with an infinite cost.
    """
    held = lanes.weights > 0
    lanes = replace(lanes, heights=jnp.where(held, lanes.heights, 0))
    exact, freedom = _exact_cost(lanes), _freedom(model, lanes)
    state = _begun(model, lanes, [start[i] for i in range(model.n_parameters)], settings)

    def unfinished(state: LaneState) -> Array:
        return jnp.any(state.status == int(Status.RUNNING))

    state = jax.lax.while_loop(unfinished, lambda state: _step(model, lanes, settings, exact, freedom, state), state)
    state = _checked(lanes, state, settings, exact, freedom)
    return LaneFits(jnp.stack(state.params), state.here.cost, state.status, state.steps)


def _begun(model: SmallModel, lanes: Lanes, params: Entries, settings: LaneSettings) -> LaneState:
    here = linearized(model, lanes, params)
    finite = _is_finite(here)
    cost, ones = jnp.where(finite, here.cost, jnp.inf), jnp.ones_like(here.cost)
    status = jnp.where(finite, int(Status.RUNNING), int(Status.NON_FINITE)).astype(jnp.int32)
    status = jnp.where(finite & (settings.max_steps <= 0), int(Status.MAX_STEPS), status)
    return LaneState(
        params,
        here._replace(cost=cost),
        settings.damping * ones,
        2 * ones,
        settings.reach[0] * ones,
        status,
        0 * status,
    )


def _step(
    model: SmallModel, lanes: Lanes, settings: LaneSettings, exact: Array, freedom: Array, state: LaneState
) -> LaneState:
    here, eps = state.here, float(np.finfo(state.here.cost.dtype).eps)
    step, distance2 = _proposed(model, lanes, state, freedom)
    bent = algebra.product(here.normal, step)
    predicted = -algebra.dot(step, [g + 0.5 * b for g, b in zip(here.gradient, bent, strict=True)])
    trial = [p + h for p, h in zip(state.params, step, strict=True)]
    there = linearized(model, lanes, trial)
    actual = here.cost - there.cost
    unseen = UNSEEN_UNITS * eps * here.cost
    hopeless = predicted <= unseen
    falls = (actual >= ACCEPTED_GAIN * predicted) | (hopeless & (actual >= -unseen))
    accepted = (predicted > 0) & falls & _is_finite(there)
    gain = jnp.where(accepted, actual, 0) / jnp.where(accepted, predicted, 1)
    eased = jnp.maximum(state.damping * jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), eps)
    damping = jnp.where(accepted, eased, state.damping * state.growth)
    factor = jnp.where(accepted, jnp.where(gain >= GOOD_GAIN, 2.0, 1.0), 0.5)
    cost = jnp.where(accepted, there.cost, here.cost)
    small = accepted & (jnp.maximum(predicted, actual) <= settings.ftol * here.cost)
    rules = [
        (cost <= exact, Status.EXACT),
        ((hopeless & ~accepted) | ~jnp.isfinite(damping), Status.PRECISION),
        (small & (distance2 <= settings.distance**2), Status.CONVERGED_COST),
        (state.steps + 1 >= settings.max_steps, Status.MAX_STEPS),
    ]
    running = state.status == int(Status.RUNNING)
    moves = running & accepted
    params, here = jax.tree.map(lambda new, old: jnp.where(moves, new, old), (trial, there), (state.params, here))
    return LaneState(
        params,
        here,
        damping,
        jnp.where(accepted, 2.0, 2 * state.growth),
        jnp.clip(state.reach * factor, *settings.reach),
        jnp.where(running, _first(rules, state.status), state.status),
        state.steps + running.astype(jnp.int32),
    )


def _proposed(model: SmallModel, lanes: Lanes, state: LaneState, freedom: Array) -> tuple[Entries, Array]:
    """The step inside the reach, and g^T N^-1 g / s^2: the squared distance to the minimum in standard errors."""
    matrix, gradient = list(state.here.normal), state.here.gradient
    for i, scale in enumerate(_scales(model, algebra.diagonal(matrix, len(gradient)))):
        matrix[algebra.at(i, i)] += state.damping * scale
    step = [-h for h in algebra.solve(algebra.cholesky(matrix, len(gradient)), gradient)]
    distance2 = -algebra.dot(step, gradient) / _variance(state.here.cost, lanes, freedom)
    return _within_reach(model, lanes, state.params, step, state.reach), distance2


def _scales(model: SmallModel, diagonal: Entries) -> Entries:
    """Marquardt's D: the diagonal, above a floor from its mean over the components, and above zero."""
    size, count = model.layout.block_size, model.n_components
    means = [algebra.sum_of(diagonal[k * size + i] for k in range(count)) / count for i in range(size)]
    floors = [SCALE_FLOOR * mean for mean in means] * count + [jnp.zeros_like(diagonal[-1])]
    largest = [jnp.maximum(entry, floor) for entry, floor in zip(diagonal, floors, strict=True)]
    return [jnp.where(entry > 0, entry, 1.0) for entry in largest]


def _within_reach(model: SmallModel, lanes: Lanes, params: Entries, step: Entries, reach: Array) -> Entries:
    """The step, each component's part shortened to move it by at most ``reach`` of its widths."""
    size, shortened = model.layout.block_size, []
    tiny = float(np.finfo(reach.dtype).tiny)
    for k, component in enumerate(model.components(params, lanes.floor)):
        part = step[k * size : (k + 1) * size]
        factor = jnp.minimum(1.0, reach / jnp.maximum(_relative_change(model, component, part), tiny))
        shortened += [factor * h for h in part]
    return [*shortened, step[-1]]


def _relative_change(model: SmallModel, component: Component, step: Entries) -> Array:
    """The largest entry of L^{-1} dc and L^{-1} dL."""
    changes = model.whitened(component, step)
    largest = jnp.abs(changes[0])
    for change in changes[1:]:
        largest = jnp.maximum(largest, jnp.abs(change))
    return largest


def _checked(lanes: Lanes, state: LaneState, settings: LaneSettings, exact: Array, freedom: Array) -> LaneState:
    """Says VALLEY where an undamped step tells that the minimum is far though the lane has ended, unless there is
    nothing left to lower.
    """
    negligible = exact * (NEGLIGIBLE_MISFIT / (ROUNDING_UNITS * float(np.finfo(exact.dtype).eps))) ** 2
    size = len(state.params)
    factor = algebra.cholesky(state.here.normal, size)
    decrement = algebra.dot(algebra.solve(factor, state.here.gradient), state.here.gradient)
    far = ~(decrement <= settings.trusted_distance**2 * _variance(state.here.cost, lanes, freedom))
    far &= state.here.cost > negligible
    ended = (state.status == int(Status.CONVERGED_COST)) | (state.status == int(Status.PRECISION))
    return state._replace(status=jnp.where(ended & far, int(Status.VALLEY), state.status))


def _exact_cost(lanes: Lanes) -> Array:
    """The cost (B,) below which all points are met to rounding, those of little weight among them."""
    slopes = jnp.minimum(
        lanes.loss.slopes(lanes.heights, lanes.heights, lanes.weights),
        lanes.loss.slopes(jnp.zeros_like(lanes.heights), lanes.heights, lanes.weights),
    )
    eps = float(np.finfo(slopes.dtype).eps)
    roundings = slopes * (ROUNDING_UNITS * eps) * jnp.maximum(1.0, jnp.abs(lanes.heights))
    least = EXACT_ROUNDINGS * jnp.where(lanes.weights > 0, roundings, jnp.inf).min(axis=0)
    return 0.5 * jnp.minimum((roundings * roundings).sum(axis=0), least * least)


def _freedom(model: SmallModel, lanes: Lanes) -> Array:
    """Points of some weight minus parameters (B,)."""
    return (lanes.weights > 0).sum(axis=0, dtype=lanes.weights.dtype) - model.n_parameters


def _variance(cost: Array, lanes: Lanes, freedom: Array) -> Array:
    """The variance s^2 (B,) of a residual: the known one, or 2 cost / (n - P); infinite without points to spare."""
    if lanes.variance is not None:
        return jnp.broadcast_to(lanes.variance, cost.shape)
    return jnp.where(freedom > 0, 2 * cost / jnp.maximum(freedom, 1), jnp.inf)


def _is_finite(quadratic: Quadratic) -> Array:
    """In which lanes (B,) cost, gradient and the diagonal of J^T J are finite."""
    total = quadratic.cost + algebra.sum_of(quadratic.gradient)
    return jnp.isfinite(total + algebra.sum_of(algebra.diagonal(quadratic.normal, len(quadratic.gradient))))


def _first(rules: list[tuple[Array, Status]], otherwise: Array) -> Array:
    """The status of the first rule that holds in each lane."""
    for rule, code in reversed(rules):
        otherwise = jnp.where(rule, int(code), otherwise)
    return otherwise
