r"""Three remedies against covariances that collapse: a floor, a prior, and a new place for the component.

A likelihood has no upper bound: it grows without limit for a component that shrinks onto a single point (Day,
Biometrika 56 (1969) 463). So do sums of squares, in a milder way. The remedies work on bare arrays, in units in which
the data have variance one:

- **floor**: the best covariance for the scatter S among all with eigenvalues >= f keeps the eigenvectors of S and lifts
  its eigenvalues to at least f. That is an exact M step under a constraint, so the likelihood still never falls;
- **prior**: inverse Wishart on covariances and Dirichlet on weights (Fraley & Raftery, J. Classification 24 (2007)
  155),

  .. math:: \log p = -\tfrac{\nu+d+1}{2} \log|\Sigma| - \tfrac12 \mathrm{tr}(\Psi \Sigma^{-1}) + (\alpha-1) \log w +
  \text{const};

- **reset**: a component that has hardly any points is put where the density of the others is low.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import finite, moderate_number, real_array
from .._base.devices import namespace
from .._base.precision import product

# Resets of one component in a fit: enough for a few unlucky places, and it ends a fit in which it collapses each time.
MOST_RESETS = 5
# Part of the weight, at the points of lowest density, from which the new place of a component is drawn: a trade-off
# between outliers, which are the very lowest, and places that the others describe already.
LOW_SHARE = 0.05
# Mass of a point, relative to a component's heaviest point, above which the component holds it: the rest together are
# too light to keep its covariance from collapsing.
MEMBER_MASS = 1e-3


@dataclass(frozen=True)
class MixturePrior:
    r"""A prior for `fit_mixture`: inverse Wishart on each covariance, Dirichlet on the weights; the fit then is MAP.

    Parameters
    ----------
    scale : Psi, in squared units of the points: a positive number (times the identity), or a symmetric positive
        definite (d, d). None (default): the covariance of the data over K^(2/d), one K-th of the data's volume.
    degrees_of_freedom : nu > d - 1. None (default): d + 2. The mode of the prior is Psi / (nu + d + 1), and a
        component's own covariance counts against it as its weight against nu + d + 1 points.
    concentration : alpha >= 1 of the Dirichlet on the weights. 1 (default) is flat; more keeps weights away from zero.

    Diagonal and spherical covariances use the same density, restricted to such matrices; a tied covariance counts it
    once. The defaults are those of Fraley & Raftery, J. Classification 24 (2007) 155.

    >>> import surfacefit as sf
    >>> sf.MixturePrior(concentration=2.0).concentration
    2.0
    """

    scale: Any = None
    degrees_of_freedom: float | None = None
    concentration: float = 1.0


@register_dataclass
@dataclass(frozen=True, eq=False)
class MixtureRegularization:
    """What an M step adds to the plain estimates, in the units of the fit.

    floor : smallest eigenvalue of a covariance, 0 for none.
    added (d, d) : added to every covariance.
    scale (d, d), pull : Psi and nu + d + 1 of the inverse Wishart prior, zero without a prior.
    extra : alpha - 1 of the Dirichlet prior, zero without a prior.
    kind : covariance type.
    """

    floor: Any
    added: Any
    scale: Any
    pull: Any
    extra: Any
    kind: str = field(metadata={"static": True})


class Lifted(NamedTuple):
    """Covariances (K, d, d) with no eigenvalue below the floor, and the lowest eigenvalues (K,) before."""

    covariances: Array
    lowest: Array


def lifted(covariances: Any, floor: Any) -> Lifted:
    """Symmetric (K, d, d), of NumPy or JAX, with eigenvalues lifted to ``floor``; without any below it they pass
    unchanged to the last digit.
    """
    xp = namespace(covariances)
    values, vectors = xp.linalg.eigh(covariances)
    raised = product(vectors * xp.maximum(values, floor)[:, None, :], vectors.swapaxes(1, 2))
    below = (values[:, 0] < floor)[:, None, None]
    return Lifted(xp.where(below, raised, covariances), values[:, 0])


def shaped(scatter: Array, mass: Array, regularization: MixtureRegularization) -> Array:
    """Best covariances (K, d, d) of a type, from scatter (K, d, d) = sum w r (x - mean)(x - mean)^T and mass (K,)."""
    if regularization.kind == "tied":
        pooled = (scatter.sum(axis=0) + regularization.scale) / (mass.sum() + regularization.pull)
        return jnp.broadcast_to(pooled, scatter.shape)
    full = (scatter + regularization.scale) / (mass + regularization.pull)[:, None, None]
    identity = np.eye(scatter.shape[-1], dtype=scatter.dtype)
    if regularization.kind == "diag":
        return full * identity
    if regularization.kind == "spherical":
        return jnp.trace(full, axis1=1, axis2=2)[:, None, None] / scatter.shape[-1] * identity
    return full


def log_prior(weights: Array, inverse_factors: Array, regularization: MixtureRegularization) -> Array:
    """log p of weights (K,) and covariances given by inverse Cholesky factors (K, d, d), without constants; 0 with the
    prior off.
    """
    log_determinants = -2 * jnp.log(jnp.diagonal(inverse_factors, axis1=1, axis2=2)).sum(axis=1)
    traces = jnp.einsum("kia,ab,kib->k", inverse_factors, regularization.scale, inverse_factors, precision="highest")
    each = -0.5 * (regularization.pull * log_determinants + traces)
    shapes = each[0] if regularization.kind == "tied" else each.sum()
    counts = jnp.where(regularization.extra > 0, regularization.extra * jnp.log(weights).sum(), 0)
    return jnp.where(regularization.pull > 0, shapes, 0) + counts


class Prior(NamedTuple):
    """The numbers of a checked prior in the user's units: Psi (d, d), nu + d + 1, alpha - 1."""

    scale: np.ndarray
    pull: float
    extra: float


def checked_prior(prior: Any, n_components: int, covariance: np.ndarray) -> Prior:
    """The prior that a user asks for, for data of this covariance (d, d); all zero for None."""
    n_dim = len(covariance)
    if prior is None:
        return Prior(np.zeros((n_dim, n_dim)), 0.0, 0.0)
    if not isinstance(prior, MixturePrior):
        raise TypeError(f"`prior` must be None or a surfacefit.MixturePrior(...), got {prior!r}")
    freedom = (
        n_dim + 2.0
        if prior.degrees_of_freedom is None
        else moderate_number("prior.degrees_of_freedom", prior.degrees_of_freedom)
    )
    if freedom <= n_dim - 1:
        raise ValueError(
            f"`prior.degrees_of_freedom` must exceed d - 1 = {n_dim - 1}, got {freedom:g}: None means d + 2"
        )
    concentration = moderate_number("prior.concentration", prior.concentration)
    if concentration < 1:
        raise ValueError(
            f"`prior.concentration` must be at least 1 (flat), got {concentration:g}:"
            " below, the mode would be at weights of 0"
        )
    scale = covariance / n_components ** (2 / n_dim) if prior.scale is None else prior_scale(prior.scale, n_dim)
    return Prior(scale, freedom + n_dim + 1, concentration - 1)


def prior_scale(scale: Any, n_dim: int) -> np.ndarray:
    """Psi (d, d) of an inverse Wishart prior, from a number or a matrix."""
    array = finite("prior.scale", np.asarray(real_array("prior.scale", scale), np.float64))
    if array.ndim == 0:
        return moderate_number("prior.scale", array) * np.eye(n_dim)
    if array.shape != (n_dim, n_dim):
        raise ValueError(
            f"`prior.scale` must be a number or have shape {(n_dim, n_dim)} for points in d={n_dim}, got {array.shape}"
        )
    if not np.allclose(array, array.T, rtol=1e-6, atol=0) or np.linalg.eigvalsh(array)[0] <= 0:
        raise ValueError(f"`prior.scale` must be symmetric positive definite, got {array.tolist()}")
    return array


def points_needed(kind: str, n_dim: int) -> int:
    """Distinct points below which a covariance of this type is singular."""
    return {"full": n_dim + 1, "diag": 2, "spherical": 2, "tied": 1}[kind]


def n_distinct(points: np.ndarray) -> int:
    """Number of distinct rows of points (N, d), by a random projection: exact but for coincidences of rounding."""
    factors = np.random.default_rng(0).uniform(1, 2, (points.shape[1], 1))
    key: np.ndarray = np.zeros(len(points))
    for column, factor in zip(points.T, factors, strict=True):
        key = key + column * factor  # elementwise, so that equal rows give equal keys
    return len(np.unique(key))


def collapsed(points: np.ndarray, masses: np.ndarray, needed: int) -> bool:
    """Whether a component, with masses w r (N,) at points (N, d), holds fewer than ``needed`` distinct points."""
    return n_distinct(points[masses > MEMBER_MASS * masses.max()]) < needed


def fresh_component(
    points: np.ndarray, weights: np.ndarray, log_density: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of the ``share`` of the weight nearest to a point of low density.

    The point is drawn by weight among the LOW_SHARE of the weight with the lowest log-density (N,): the very lowest
    would be an outlier each time.
    """
    order = np.argsort(log_density, kind="stable")
    reached = np.cumsum(weights[order])
    low = order[: 1 + int(np.searchsorted(reached, LOW_SHARE * reached[-1]))]
    place = points[rng.choice(low, p=weights[low] / weights[low].sum())]
    nearest = np.argsort(((points - place) ** 2).sum(axis=1), kind="stable")
    reached = np.cumsum(weights[nearest])
    least = min(len(points), 2 * (points.shape[1] + 1))
    members = nearest[: max(least, int(np.searchsorted(reached, share * reached[-1])))]
    mean = np.average(points[members], axis=0, weights=weights[members])
    return mean, np.atleast_2d(np.cov(points[members].T, aweights=weights[members], ddof=0))
