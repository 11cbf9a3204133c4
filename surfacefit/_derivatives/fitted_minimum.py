"""The minimum behind a result of `fit`: its problem in double precision, and the parameters at the minimum itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._base.compile import quick_jit
from .._engines.engines import EngineChoice
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup
from .._statistics.linearization import check_untied, model_of, params_of
from .implicit import Implicit, Minimum, polished

if TYPE_CHECKING:
    from .._results.result import FitResult


@dataclass(frozen=True, eq=False)
class FittedMinimum:
    """A result, its problem with what is fixed held, and the parameters (P,) at the minimum."""

    result: FitResult
    adjoint: Implicit
    prepared: Prepared
    problem: SurfaceProblem
    params: np.ndarray
    minimum: Minimum

    @cached_property
    def surface(self) -> GaussianSurface:
        """The surface at the minimum, in the user's units."""
        surface: GaussianSurface = self.prepared.surface(self.params)
        return surface

    @property
    def undetermined(self) -> np.ndarray:
        """Which components (K,) have a number that nothing determines."""
        layout = self.problem.parameterization.layout
        blocks, shared, _ = layout.split(np.asarray(self.minimum.undetermined))
        return np.asarray(blocks[: self.result.n_components].any(axis=1) | shared.any())


def fitted_minimum(result: FitResult, adjoint: Implicit) -> FittedMinimum:
    """The minimum of a result, under `precision(np.float64)`."""
    check_untied(result, "sensitivity")
    prepared = problem_setup(result.data, model_of(result), np.dtype(np.float64), EngineChoice(None, float("inf")))
    params = params_of(result, prepared)
    problem = prepared.fixing(params)
    if prepared.planner is not None:
        if result.settings.periods is not None:
            raise ValueError(
                f"`sensitivity` of so many parameters does not know `periods`, got {result.n_parameters} parameters at"
                f" {result.n_points} points: fit a part of the map, or fewer components"
            )
        here = jnp.asarray(params)
        problem = replace(problem, engine=prepared.planner(problem, here, here).engine)
    at, minimum = _polished(adjoint, problem, params)
    return FittedMinimum(result, adjoint, prepared, problem, np.asarray(at), jax.tree.map(np.asarray, minimum))


_polished = quick_jit(polished, static_argnums=(0,))
