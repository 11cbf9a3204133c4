r"""Runs of a solver under weights of many decades: first with the heavy ones capped.

Points that weigh 1e6 times as much as the others hold the surface to a curved manifold of parameters. A step along it
leaves it at second order, which costs more than the step wins; and J^T J, in which the squares of weights stand side by
side, no longer shows what the light points say. Steps and the distance to the minimum are blind to it, and a fit that
met its heavy points ended as converged. So the solver runs under caps that rise in stages, each from the end of the one
before: under a cap w the heavy points are missed by about 1 / w^2, so that the next stage has little left to do. This
is the penalty method for constraints (Nocedal & Wright, Numerical Optimization, 2nd edition (2006), chapter 17). The
last run, under the weights as they are, is then as near to its minimum as the run before it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.status import LIMIT_STATUSES, STATUS, Status
from .._solvers.base import Solver
from .._solvers.loop import Limits, Planner, Record, Solution, cost_at, run
from .._solvers.quadratic_steps import QuadraticSteps

# Of the points' weights: the share of them that is lighter than the base from which caps rise.
BASE_SHARE = 0.1
# Power of the rounding of the dtype that the heaviest weight must be above the base for a fit in stages: 8,200 in
# double precision and 54 in single, where squares of weights take half of the digits of J^T J from the lightest.
WIDE_POWER = -0.25
# The same for a cap above the one before, 12 and 3. Of 64 fits with one point of sigma 1e-5 to 1e-13, 10 ended above
# three times the noise, after 123 steps at most; with a power of -0.25 it was 16, after 366.
STAGE_POWER = -0.07
# Of the solver's steps: what all stages before the last may take.
STAGES_SHARE = 0.5


def caps_of(weights: np.ndarray) -> list[float]:
    """The caps (n,) of the stages, rising; none where the weights are alike enough to be fitted as they are."""
    held = weights[weights > 0]
    if not len(held):
        return []
    eps = float(np.finfo(weights.dtype).eps)
    base, largest = float(np.quantile(held, BASE_SHARE)), float(held.max())
    if largest < base * eps**WIDE_POWER:
        return []
    stages = int(np.ceil(np.log(largest / base) / np.log(eps**STAGE_POWER))) - 1
    return [base * eps ** (STAGE_POWER * (n + 1)) for n in range(stages)]


def wide_rows(weights: np.ndarray) -> np.ndarray:
    """Which rows of weights (B, N) have caps."""
    least = np.where(weights > 0, weights, np.inf).min(axis=1, initial=np.inf)
    ratio = float(np.finfo(weights.dtype).eps) ** WIDE_POWER
    apart = np.flatnonzero(weights.max(axis=1, initial=0.0) >= ratio * least)  # most weights are alike
    return np.array([row for row in apart if caps_of(weights[row])], int)


def run_under_caps(
    problem: Any, start: Array, solver: Solver, limits: Limits, planner: Planner | None, caps: list[float]
) -> tuple[Solution, Record]:
    """As `run`, but in stages, for a problem with ``weights`` (N,).

    The history is that of the last run, steps count in all; an end is no success where the stage before it was none.
    """
    at, steps, status, most = start, 0, Status.RUNNING, int(STAGES_SHARE * int(solver.max_steps))
    for cap in caps:
        capped = replace(problem, weights=jnp.minimum(problem.weights, jnp.asarray(cap, problem.weights.dtype)))
        solution, _ = run(capped, at, _with_steps(solver, most - steps), _seen(limits, problem, steps), planner)
        at, steps, status = solution.params, steps + int(solution.steps), Status(int(solution.status))
        if status in LIMIT_STATUSES or steps >= most:
            break
    halted = status if status in LIMIT_STATUSES else None
    last = _with_steps(solver, int(solver.max_steps) - steps)
    ended, history = run(problem, at, last, _seen(limits, problem, steps), planner, halted)
    if not float(ended.cost) <= cost_at(problem, start):
        ended, history = run(problem, start, last, _seen(limits, problem, steps), planner, halted)
    now = Status(int(ended.status))
    doubted = STATUS[now].success and not STATUS[status].success
    return ended._replace(steps=steps + int(ended.steps), status=int(status if doubted else now)), history


def takes_stages(solver: Solver) -> bool:
    """Whether a solver's ends say how far its minimum is, and are to be made honest."""
    return isinstance(solver, QuadraticSteps)


def _with_steps(solver: Any, steps: int) -> Any:
    return replace(solver, max_steps=max(steps, 0))


def _seen(limits: Limits, problem: Any, steps: int) -> Limits:
    """Limits whose callback sees the cost under the weights as they are."""

    def callback(now: Solution) -> Any:
        cost: Any = np.asarray(cost_at(problem, now.params))
        return limits.callback(now._replace(cost=cost, steps=steps + int(now.steps)))

    return replace(limits, callback=callback)
