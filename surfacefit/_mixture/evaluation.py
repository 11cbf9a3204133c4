"""Functions of a mixture at a user's points."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .._base.checks import finite, real_array
from .._base.compile import quick_jit
from .._base.precision import precision
from .._model.background import with_last_axis
from .mixture_data import mixture_of, point_chunks


def evaluated(
    function: Callable[..., Any], weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, points: Any
) -> np.ndarray:
    """Values (q, ...) or (...) of a pure function of a mixture at a user's points (..., d), computed in float64.

    At points in float32 they are float32.
    ``function`` takes points (n, d) and a `mixture_model.Mixture`, and returns (q, n) or (n,). It is called for one
    chunk of the points at a time.
    """
    n_components, n_dim = means.shape
    array = real_array("points", points)
    given = with_last_axis(np.asarray(array, np.float64), n_dim)
    flat = finite("points", given.reshape(-1, n_dim))
    if len(flat) == 0:
        raise ValueError(f"`points` must not be empty, got shape {np.shape(points)}")
    with precision(np.dtype(np.float64)):
        chunks = point_chunks(flat, np.ones(len(flat)), n_components, np.float64).points
        parts = mixture_of(weights, means, covariances, np.float64)
        heights = [np.asarray(_compiled(function)(chunk, parts)) for chunk in np.asarray(chunks)]
        values = np.concatenate(heights, axis=-1)
    found = values[..., : len(flat)].reshape(values.shape[:-1] + given.shape[:-1])
    return found.astype(np.float32) if array.dtype == np.float32 else found


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return quick_jit(function)
