"""From where the solver ended to a `FitResult` in the user's units."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._base.precision import precision
from .._base.status import Status
from .._data.data import SurfaceData
from .._engines.pixel_nodes import mean_heights
from .._model.surface import GaussianSurface
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._results.criteria import ComponentPath
from .._results.record import Settings, Timings
from .._results.result import FitResult
from .._search.choosing import Chosen
from .._search.residual_views import penalty_cost
from .._solvers import Record
from .._starts import RandomStarts
from .run_spec import RunSpec
from .run_starts import RunOutcome


def make_result(
    ended: RunOutcome, prepared: Prepared, run: RunSpec, timings: Timings, path: ComponentPath | None
) -> FitResult:
    """The result of a fit. Components come in the order of falling volume, unless the start's order is to be kept."""
    model, solution, unit = prepared.model, ended.solution, prepared.cost_unit
    history: dict[str, np.ndarray] = ended.history._asdict()
    found = prepared.surface(solution.params)
    order = slice(None) if model.constraints.keep_order else found.by_volume
    penalty = 0.0 if model.prior is None else float(penalty_cost(prepared.problem, solution.params)) * unit
    return FitResult(
        surface=ordered(found, model),
        data=prepared.data,
        cost=_cost(ended, prepared),
        status=Status(int(solution.status)),
        steps=int(solution.steps),
        history={**history, "cost": history["cost"].astype(float) * unit},
        timings=timings,
        settings=settings_of(prepared, run),
        penalty=penalty,
        resets=ended.resets[order],
        starts=_start_costs(ended, run.init) * unit if isinstance(run.init, RandomStarts) else None,
        path=path,
    )


def background_result(
    surface: GaussianSurface,
    prepared: Prepared,
    run: RunSpec,
    timings: Timings,
    chosen: Chosen,
) -> FitResult:
    """The result of a choice of no component: the background alone, as the choice has fitted it."""
    data, model = prepared.data, prepared.model
    return FitResult(
        surface=surface,
        data=data,
        cost=_recomputed_cost(surface, data, model),
        status=Status.CONVERGED_COST if chosen.halted is None else chosen.halted,
        steps=chosen.steps,
        history={name: np.zeros(0) for name in Record._fields},
        timings=timings,
        settings=settings_of(prepared, run),
        path=chosen.path,
    )


def settings_of(prepared: Prepared, run: RunSpec) -> Settings:
    """What a result and its file remember of the options."""
    return Settings(
        solver=type(run.solver).__name__,
        dtype=run.dtype.name,
        n_parameters=prepared.n_parameters,
        engine="dense" if prepared.planner is None else "tiled",
        **prepared.model.by_name(),
    )


def ordered(surface: GaussianSurface, model: ModelSpec) -> GaussianSurface:
    """By falling volume; as it is where components have limits of their own or something fixed: the user knows them."""
    return surface if model.constraints.keep_order else surface.sorted()


def _cost(ended: RunOutcome, prepared: Prepared) -> float:
    """The cost in the user's units, without a prior's part."""
    cost, model = float(ended.solution.cost) * prepared.cost_unit, prepared.model
    if model.prior is None and np.isfinite(cost):  # in single precision a cost can overflow where in double it does not
        return cost
    surface = ordered(prepared.surface(ended.solution.params), model)
    return _recomputed_cost(surface, prepared.data, model)


def _recomputed_cost(surface: GaussianSurface, data: SurfaceData, model: ModelSpec) -> float:
    """Without a prior's part, in double precision."""
    with precision(np.dtype(np.float64)):
        heights = mean_heights(surface, data.used_points, model.nodes(data.spacing))
        residuals = model.plain_loss(data).residuals(
            *(jnp.asarray(a, float) for a in (heights, data.used_heights, data.weights))
        )
        return 0.5 * float(jnp.sum(residuals**2))


def _start_costs(ended: RunOutcome, many: RandomStarts) -> np.ndarray:
    """The costs (n,) at the ends of all starts, NaN for those that were not tried."""
    return np.array(ended.costs + [np.nan] * (many.n - len(ended.costs)))
