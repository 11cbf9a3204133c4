"""The problem that a result solved, built anew at its surface: what errors, worths and refits begin from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._engines.engines import Dense, EngineChoice
from .._model.background import background_model
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface
from .._model.units import to_internal
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._problem.problem_setup import problem_setup

if TYPE_CHECKING:
    from .._results.result import FitResult


def model_of(result: FitResult, surface: GaussianSurface | None = None) -> ModelSpec:
    """What a result was fitted with, for its own surface or another one."""
    settings, start = result.settings, result.surface if surface is None else surface
    return ModelSpec(
        n_components=start.n_components,
        background=None if start.background is None else background_model(start.background),
        covariance_type=settings.covariance_type,
        min_width=settings.min_width,
        amplitudes=settings.amplitudes,
        prior=settings.prior,
        loss=settings.loss,
        f_scale=settings.f_scale,
        constraints=settings.constraints,
    )


def linearized_at(result: FitResult) -> tuple[Prepared, Array]:
    """The problem of a result for the dense engine, in double precision, and its parameters there."""
    prepared = problem_setup(result.data, model_of(result), np.dtype(np.float64), EngineChoice(Dense(), float("inf")))
    return prepared, pack(prepared.problem.parameterization, to_internal(result.surface, prepared.scaling))


pack = quick_jit(Parameterization.pack)
