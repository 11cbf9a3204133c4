"""Resets: components that have collapsed when a fit ends move to where the residual is highest, and all are refitted.

At a minimum <r, w g_k> = 0, so without component k the cost would rise by |w a_k g_k|^2 / 2 less what the other
components make up for. On a grid with steps h that is at most half of a_k^2 prod_i pi^(1/2) sigma_i / h_i. A component
has collapsed if this bound is below what the BIC asks for its p numbers, p log(n) / 2 mean squares of the residuals.
Examples are an amplitude near zero, a centre far outside the data, and a spike at the narrowest width on one sample.
The test compiles nothing. The search (`search=`) also moves components that have not collapsed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import STATUS, UNSETTLED_STATUSES, Status
from .._data.data import SurfaceData
from .._model.gaussian import line_integrals, profile
from .._model.surface import GaussianSurface
from .._periodic.nearest import nearest_offsets
from .._problem.prepared import Prepared
from .._search.context import SearchContext
from .._search.residual_views import penalty_cost
from .._search.states import State
from .._solvers import Record, Solution, SolverRun
from .run_starts import RunOutcome, StartRuns, with_status

# Resets one after another. A compromise: each costs a refit.
MOST_RESETS_IN_A_ROW = 3
# Relative fall in cost that a reset must reach to be kept: more than further steps would win where the solver stopped
# by its `slack`.
LEAST_FALL = 1e-3
# Points times components outside of the data up to which sums over the points are formed: bounds the work. Above, such
# components count as not collapsed.
MOST_OUTSIDE_ELEMENTS = 10**7
# Largest exponent of a squared profile: exp(-700) is near the smallest float64.
LARGEST_EXPONENT = 700


def with_resets(runs: StartRuns, ended: RunOutcome) -> RunOutcome:
    """The end of a fit after up to MOST_RESETS_IN_A_ROW resets, each kept only if the cost fell."""
    try:
        for _ in range(MOST_RESETS_IN_A_ROW if _may_move(runs.prepared) else 0):
            which = collapsed(runs.prepared, ended.solution) if _goes_on(runs, ended) else np.zeros(0, int)
            before, ended = ended, _reset(runs, ended, which) if len(which) else ended
            if float(ended.solution.cost) == float(before.solution.cost):
                break
    except KeyboardInterrupt:
        return with_status(ended, Status.INTERRUPTED)
    return ended


def _goes_on(runs: StartRuns, ended: RunOutcome) -> bool:
    """Whether the solver found nothing lower, residuals are above rounding, and there is time left."""
    status = Status(int(ended.solution.status))
    by_itself = (
        STATUS[status].success
        or status in UNSETTLED_STATUSES
        or (runs.solver.takes_all_steps and status == Status.MAX_STEPS and len(ended.history.cost) > 0)
    )
    return by_itself and status != Status.EXACT and _steps_left(runs, ended) > 0 and not runs.limits.over


def _steps_left(runs: StartRuns, ended: RunOutcome) -> int:
    """Steps that the solver may still take; one with a schedule of steps (Adam) begins it anew."""
    return int(runs.solver.max_steps) - (0 if runs.solver.takes_all_steps else len(ended.history.cost))


def _reset(runs: StartRuns, ended: RunOutcome, which: np.ndarray) -> RunOutcome:
    """The end with the components ``which`` moved to peaks of the residual, if the refit from there ends lower."""
    solver_run, placed, outcome = None, which[:0], Status.INTERRUPTED
    before = Status(int(ended.solution.status))
    try:
        start, placed = _replaced(runs.context, ended.solution, which)
        if not len(placed):
            return ended
        solver_run = SolverRun(
            runs.problem_at(start), start, runs.solver, runs.limits_after(ended.solution), runs.planner
        )
        outcome = solver_run.advance(_steps_left(runs, ended))
    except KeyboardInterrupt:
        pass
    except MemoryShort:
        outcome = before
    return _better(ended, solver_run, placed, Status.MAX_STEPS if outcome == Status.RUNNING else outcome)


def _replaced(context: SearchContext, solution: Solution, which: np.ndarray) -> tuple[Array, np.ndarray]:
    """Parameters with components of ``which`` at the highest peaks that all others leave, and the numbers of these."""
    layout, count = context.parameterization.layout, context.prepared.model.n_components
    flat = np.asarray(solution.params, float)
    blocks, border = layout.blocks(flat)[:count].copy(), flat[layout.n_own :]
    peaks = context.views.blocks_at_peaks(State(np.inf, np.delete(blocks, which, axis=0), border), len(which))
    placed = which[: len(peaks)]
    blocks[placed] = peaks
    return context.packing.pack(blocks, border), placed


def collapsed(prepared: Prepared, solution: Solution) -> np.ndarray:
    """Numbers of the components that have collapsed, the least useful first."""
    data, cost = prepared.data, float(solution.cost)
    if prepared.problem.penalty is not None:
        cost -= float(penalty_cost(prepared.problem, solution.params))
    enough = prepared.problem.parameterization.layout.block_size * np.log(data.n_used) / 2 * (2 * cost / data.n_used)
    surface = prepared.surface(solution.params)
    worth = most_worth(replace(surface, amplitudes=surface.amplitudes / prepared.scaling.height_scale), data)
    order = np.argsort(worth, kind="stable")
    return order[worth[order] < enough]


def most_worth(surface: GaussianSurface, data: SurfaceData) -> np.ndarray:
    """Upper bounds (K,) of the rise in cost without each component, in squared heights of mean weight."""
    points, centers = data.used_points, np.asarray(surface.centers)
    widths = np.sqrt(np.maximum(np.linalg.eigvalsh(surface.covariances / np.outer(data.spacing, data.spacing)), 0))
    squares = np.prod(np.maximum(line_integrals(widths, power=2), 1.0), axis=1)
    beyond = (centers < points.min(axis=0)) | (centers > points.max(axis=0))
    if surface.periods is not None:
        beyond &= [period is None for period in surface.periods]
    outside = np.flatnonzero(beyond.any(axis=1))
    for k in outside:  # only a flank of it counts
        squares[k] = (
            _square_at(nearest_offsets(points - centers[k], surface.periods), surface.covariances[k])
            if len(points) * len(outside) < MOST_OUTSIDE_ELEMENTS
            else np.inf
        )
    heaviest = (data.weights**2).max() / np.mean(data.weights**2)
    return np.asarray(0.5 * heaviest * np.asarray(surface.amplitudes) ** 2 * squares)


def _square_at(offsets: np.ndarray, covariance: np.ndarray) -> float:
    """Sum of g^2 over points with offsets (N, d) from the centre."""
    u = np.linalg.solve(np.linalg.cholesky(covariance), offsets.T)
    return float(profile(2 * np.minimum(np.einsum("in,in->n", u, u), LARGEST_EXPONENT)).sum())


def _may_move(prepared: Prepared) -> bool:
    """Whether no component is fixed or has limits of its own, and squares of heights measure the cost."""
    constraints = prepared.model.constraints
    return prepared.model.loss != "poisson" and not constraints.by_component and not constraints.held_at_start


def _better(ended: RunOutcome, solver_run: SolverRun | None, placed: np.ndarray, outcome: Status) -> RunOutcome:
    """The end after a reset if it is lower by more than LEAST_FALL, else the end before; steps of both count."""
    before, history, resets, costs = ended
    steps = int(before.steps) + (0 if solver_run is None else solver_run.steps)
    if solver_run is None or solver_run.cost() > (1 - LEAST_FALL) * float(before.cost):
        told = outcome in (Status.INTERRUPTED, Status.STOPPED)
        return ended._replace(solution=before._replace(steps=steps, status=int(outcome) if told else before.status))
    rows = Record(*(np.concatenate(columns) for columns in zip(history, solver_run.history(), strict=True)))
    counts = resets + np.isin(np.arange(len(resets)), placed)
    return RunOutcome(solver_run.carry.best._replace(steps=steps, status=int(outcome)), rows, counts, costs)
