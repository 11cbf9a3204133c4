"""Resets: components that a fit has left with nothing to do get the places where its residual is highest, and all are
refitted.

At a minimum <r, w g_k> = 0, so the loss of component k would raise the cost by |w a_k g_k|^2 / 2 less what the others
make up for: on a grid with steps h half of a_k^2 prod_i pi^(1/2) sigma_i / h_i at most. Collapsed is what is worth less
than the BIC asks for its p numbers, p log(n) / 2 mean squares of the residuals: a height of nothing, a centre from
where nothing reaches the data, a spike at the narrowest width on one sample. That is seen without a compiled program;
the search (`search=`) moves what has not collapsed, too.
"""

from __future__ import annotations

import time

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import STATUS, Status
from .._data.data import SurfaceData
from .._model.gaussian import line_integrals, profile
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._search.context import SearchContext, State, penalty_cost
from .._solvers import Record, Solution, SolverRun
from .run_starts import RunOutcome, StartRuns, with_status

ROUNDS = 3
HAIR = 1e-3  # of the cost: more than going on would win after an end by `slack`
MOST_LOOKED_AT = 10**7  # points times components outside


def with_resets(runs: StartRuns, ended: RunOutcome) -> RunOutcome:
    """What resets have made of an end, as long as that is lower."""
    try:
        for _ in range(ROUNDS if _may_move(runs.prepared) else 0):
            which = collapsed(runs.prepared, ended.solution) if _goes_on(runs, ended) else np.zeros(0, int)
            before, ended = ended, _reset(runs, ended, which) if len(which) else ended
            if ended.solution.cost == before.solution.cost:
                break
    except KeyboardInterrupt:
        return with_status(ended, Status.INTERRUPTED)
    return ended


def _goes_on(runs: StartRuns, ended: RunOutcome) -> bool:
    """Whether it has ended by itself, above rounding, before the time is over."""
    status = Status(int(ended.solution.status))
    by_itself = STATUS[status].success or (
        runs.solver.takes_all_steps and status == Status.MAX_STEPS and len(ended.history.cost) > 0
    )
    return (
        by_itself
        and status != Status.EXACT
        and _steps_left(runs, ended) > 0
        and time.perf_counter() < runs.limits.deadline
    )


def _steps_left(runs: StartRuns, ended: RunOutcome) -> int:
    """Of those a solver may take from one start; where they are the length of a schedule, that begins anew."""
    return int(runs.solver.max_steps) - (0 if runs.solver.takes_all_steps else len(ended.history.cost))


def _reset(runs: StartRuns, ended: RunOutcome, which: np.ndarray) -> RunOutcome:
    """With the components ``which`` at the peaks of the residual, if the refit from there ends lower."""
    solver_run, placed, outcome = None, which[:0], Status.INTERRUPTED
    prepared, before = runs.prepared, Status(int(ended.solution.status))
    try:
        start, placed = _replaced(runs.context, ended.solution, which)
        if not len(placed):
            return ended
        solver_run = SolverRun(
            prepared.fixing(start), start, runs.solver, runs.beside(ended.solution), prepared.planner
        )
        outcome = solver_run.advance(_steps_left(runs, ended))
    except KeyboardInterrupt:
        pass
    except MemoryShort:
        outcome = before
    return _better(ended, solver_run, placed, Status.MAX_STEPS if outcome == Status.RUNNING else outcome)


def _replaced(context: SearchContext, solution: Solution, which: np.ndarray) -> tuple[Array, np.ndarray]:
    """Parameters with some of ``which``, given too, at the highest peaks that all the others leave."""
    layout, count = context.parameterization.layout, context.prepared.model.n_components
    flat = np.asarray(solution.params, float)
    blocks, border = layout.blocks(flat)[:count].copy(), flat[layout.n_own :]
    peaks = context.blocks_at_peaks(State(np.inf, np.delete(blocks, which, axis=0), border), len(which))
    placed = which[: len(peaks)]
    blocks[placed] = peaks
    return context.pack(blocks, border), placed


def collapsed(prepared: Prepared, solution: Solution) -> np.ndarray:
    """Indices of the components that the data do not call for, the least first."""
    data, cost = prepared.data, float(solution.cost)
    if prepared.problem.penalty is not None:
        cost -= float(penalty_cost(prepared.problem, solution.params))
    enough = prepared.problem.parameterization.layout.block_size * np.log(data.n_used) / 2 * (2 * cost / data.n_used)
    worth = most_worth(prepared.surface(solution.params), data) / prepared.scaling.height_scale**2
    order = np.argsort(worth, kind="stable")
    return order[worth[order] < enough]


def most_worth(surface: GaussianSurface, data: SurfaceData) -> np.ndarray:
    """What the loss of each component (K,) could cost at most, in squared heights of mean weight."""
    points, centers = data.used_points, np.asarray(surface.centers)
    widths = np.sqrt(np.maximum(np.linalg.eigvalsh(surface.covariances / np.outer(data.spacing, data.spacing)), 0))
    squares = np.prod(np.maximum(line_integrals(widths, power=2), 1.0), axis=1)
    outside = np.flatnonzero(((centers < points.min(axis=0)) | (centers > points.max(axis=0))).any(axis=1))
    for k in outside:  # only a flank of it counts
        squares[k] = (
            _square_at(points, centers[k], surface.covariances[k])
            if len(points) * len(outside) < MOST_LOOKED_AT
            else np.inf
        )
    heaviest = (data.weights**2).max() / np.mean(data.weights**2)
    return np.asarray(0.5 * heaviest * np.asarray(surface.amplitudes) ** 2 * squares)


def _square_at(points: np.ndarray, center: np.ndarray, covariance: np.ndarray) -> float:
    """Sum of g^2 over points (N, d)."""
    u = np.linalg.solve(np.linalg.cholesky(covariance), (points - center).T)
    return float(profile(2 * np.minimum(np.einsum("in,in->n", u, u), 700)).sum())


def _may_move(prepared: Prepared) -> bool:
    """Whether no component is held, none has limits of its own, and squares of heights say what one is worth."""
    constraints = prepared.model.constraints
    return (
        prepared.model.loss != "poisson"
        and not constraints.by_component
        and not any(mask for name, mask in constraints.fixed.items() if name != "background")
    )


def _better(ended: RunOutcome, solver_run: SolverRun | None, placed: np.ndarray, outcome: Status) -> RunOutcome:
    """What a reset came to if it is lower by more than a hair, else what there was, after all the steps that were
    taken.
    """
    before, history, resets, costs = ended
    steps = before.steps + (0 if solver_run is None else solver_run.carry.best.steps)
    if solver_run is None or solver_run.cost() > (1 - HAIR) * float(before.cost):
        told = outcome in (Status.INTERRUPTED, Status.STOPPED)
        return ended._replace(
            solution=before._replace(steps=steps, status=jnp.asarray(int(outcome)) if told else before.status)
        )
    rows = Record(*(np.concatenate(columns) for columns in zip(history, solver_run.history(), strict=True)))
    counts = resets + np.isin(np.arange(len(resets)), placed)
    return RunOutcome(
        solver_run.carry.best._replace(steps=steps, status=jnp.asarray(int(outcome))), rows, counts, costs
    )
