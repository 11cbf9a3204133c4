r"""The covariance of parameters that follow from fewer free numbers: M C M^T, with C that of the free numbers.

With p = F(theta) and M = dF/dtheta the Jacobian by theta is J M; its inverse normal matrix is taken as that of any fit
(`covariance_root`), and M brings its root, and what is undetermined, back to all parameters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jax import Array

from .._base.compile import plain_jit
from .._problem.loss_views import shares_of, whole_with_prior
from .._problem.prepared import Prepared, tied_at
from .._ties.limits import at_limit
from .._ties.tied_map import TiedMap, TiePlan
from .covariance_root import CovarianceRoot, inverse_root
from .linearization import Information


def tied_root(prepared: Prepared, plan: TiePlan, params: np.ndarray, found: Information, near: float) -> CovarianceRoot:
    """The root (P, r) of the covariance at parameters (P,); a free number within ``near`` of a limit is held by it."""
    tied = tied_at(prepared, plan, params, has_ended=True)
    slopes = slopes_of(tied)
    gradient = slopes.T @ found.gradient
    held = np.eye(slopes.shape[1])[:, np.asarray(at_limit(tied, np.asarray(tied.free), gradient, near))]
    inner = replace(
        found,
        normal=slopes.T @ found.normal @ slopes,
        gradient=gradient,
        rows=None if found.rows is None else found.rows @ slopes,
    )
    root = inverse_root(inner, held, np.ones(slopes.shape[1], bool), held)
    unknown = slopes @ root.undetermined
    return CovarianceRoot(
        slopes @ root.root, unknown / np.maximum(np.linalg.norm(unknown, axis=0), 1e-300), root.n_held
    )


def tied_shares(prepared: Prepared, plan: TiePlan, params: np.ndarray, near: float) -> np.ndarray:
    """The share (T,) to which a prior holds each free number at parameters (P,): see `_problem/loss_views`."""
    tied = tied_at(prepared, plan, params, has_ended=True)
    slopes = slopes_of(tied)
    prior, normal, gradient = whole_with_prior(prepared.problem, params)
    held = np.asarray(at_limit(tied, np.asarray(tied.free), slopes.T @ gradient, near))
    return shares_of(slopes.T @ normal @ slopes, slopes.T @ prior @ slopes, ~held)


def slopes_of(tied: TiedMap) -> np.ndarray:
    """M (P, T) at the base of a map."""
    return np.asarray(_slopes(tied), float)


def slopes_at_base(tied: TiedMap) -> Array:
    return tied.slopes(tied.free)


_slopes = plain_jit(slopes_at_base)
