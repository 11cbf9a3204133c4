r"""Expectation-maximisation for Gaussian mixtures, as pure functions of arrays: they pass `jit` and, over starts,
`vmap`.

For points x_n with weights v_n the log-likelihood is

.. math:: \ell = \sum_n v_n \log \sum_k w_k \mathcal N(x_n; \mu_k, \Sigma_k),    \Sigma_k = L_k L_k^T .

With responsibilities r_kn and u = L_k^{-1} (x - mu_k), the E step sums m = v r, m u and m u u^T over the points, in
chunks so that no array (K, N) is held; the M step moves the mean by L E[u] and sets the covariance to L Cov[u] L^T.
Moments in u stay of order one for any width, so narrow components lose no digits to cancellation. Points may be in a
lower precision than the mixture: the work over points is then done in theirs, the small matrices in that of the
mixture.

After Dempster, Laird & Rubin, J. R. Stat. Soc. B 39 (1977) 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.status import Status
from .._constraints.mixture_regularization import MixtureRegularization, lifted, log_prior, shaped
from .._model.surface import inverse_lower, monomials, whitened

UNROLLED = 4
ROWS = 32
ROUNDING = 4


class Cloud(NamedTuple):
    """Points (C, n, d) in C chunks, with weights (C, n): zero at places that hold no point, one on average
    elsewhere.
    """

    points: Array
    weights: Array


class Mixture(NamedTuple):
    """Weights (K,), means (K, d), Cholesky factors (K, d, d) of the covariances."""

    weights: Array
    means: Array
    factors: Array


class Moments(NamedTuple):
    """Sums over the points: mass (K,) of v r, first (K, d) of v r u, second (K, d, d) of v r u u^T, and the
    log-likelihood.
    """

    mass: Array
    first: Array
    second: Array
    log_likelihood: Array


class State(NamedTuple):
    """An iterate: its moments, its log-likelihood and objective per unit weight, and its lowest eigenvalues (K,) before
    any floor.
    """

    mixture: Mixture
    moments: Moments
    log_likelihood: Array
    objective: Array
    lowest: Array


class Watch(NamedTuple):
    """What ends a loop: ``tol`` on the change of the objective; a mass below ``least`` or an eigenvalue below ``low``
    of a component that is watched for it, ``thin`` (K,) and ``flat`` (K,)."""

    tol: Array
    least: Array
    low: Array
    thin: Array
    flat: Array


class Carry(NamedTuple):
    """What the loop carries: the iterate, whether its E step is still to come, steps taken, a `Status`, failing
    components (K,).
    """

    state: State
    fresh: Array
    steps: Array
    status: Array
    failing: Array


def log_joint(points: Array, mixture: Mixture) -> tuple[Array, Any]:
    """log(w_k N(x_n; mu_k, Sigma_k)) (K, n) for points (n, d), and u (K, n, d) or, where d is small, d arrays (K,
    n).
    """
    n_dim, inverses = points.shape[-1], _inverses(mixture.factors)
    log_heights = jnp.log(mixture.weights) + jnp.log(jnp.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
    log_heights -= 0.5 * n_dim * float(np.log(2 * np.pi))
    means, inverses = mixture.means.astype(points.dtype), inverses.astype(points.dtype)
    u: Any
    if n_dim <= UNROLLED:
        u = whitened(points, means, inverses)
        squares = sum(part * part for part in u)
    else:
        u = jnp.einsum("kij,knj->kni", inverses, points - means[:, None], precision="highest")
        squares = (u * u).sum(axis=-1)
    return log_heights.astype(points.dtype)[:, None] - 0.5 * squares, u


def log_density(points: Array, mixture: Mixture) -> Array:
    """log p (n,) at points (n, d)."""
    return _log_sum(log_joint(points, mixture)[0])


def log_responsibilities(points: Array, mixture: Mixture) -> Array:
    """log r (K, n) at points (n, d)."""
    joint, _ = log_joint(points, mixture)
    return joint - _log_sum(joint)


def expectation(cloud: Cloud, mixture: Mixture) -> Moments:
    """The E step: sums over all points, a chunk at a time."""

    def add(sums: Moments, chunk: Cloud) -> tuple[Moments, None]:
        return jax.tree.map(lambda total, part: total + part.astype(dtype), sums, _chunk_moments(*chunk, mixture)), None

    (n, d), dtype = mixture.means.shape, mixture.means.dtype
    empty = Moments(jnp.zeros(n, dtype), jnp.zeros((n, d), dtype), jnp.zeros((n, d, d), dtype), jnp.zeros((), dtype))
    return jax.lax.scan(add, empty, cloud)[0]


def maximization(moments: Moments, mixture: Mixture, regularization: MixtureRegularization) -> tuple[Mixture, Array]:
    """The M step under the regularization: a new mixture, and the lowest eigenvalues (K,) of its covariances before the
    floor.

    A component without mass keeps its place: any would be as good.
    """
    mass, (n_components, n_dim) = moments.mass, moments.first.shape
    alive = mass > 1e3 * float(np.finfo(mass.dtype).tiny)
    safe = jnp.where(alive, mass, 1)
    shift = moments.first / safe[:, None]
    spread = moments.second / safe[:, None, None] - shift[:, :, None] * shift[:, None, :]
    spread = jnp.where(alive[:, None, None], spread, np.eye(n_dim, dtype=mass.dtype))
    means = mixture.means + jnp.einsum("kij,kj->ki", mixture.factors, shift, precision="highest")
    scatter = jnp.einsum("kia,kab,kjb->kij", mixture.factors, spread, mixture.factors, precision="highest")
    count = mass if regularization.kind == "tied" else jnp.where(alive | (regularization.pull > 0), mass, 1)
    covariances, lowest = lifted(
        shaped(scatter * count[:, None, None], count, regularization) + regularization.added, regularization.floor
    )
    weights = (mass + regularization.extra) / (mass.sum() + n_components * regularization.extra)
    return Mixture(weights, means, jnp.linalg.cholesky(covariances)), lowest


def state_of(cloud: Cloud, mixture: Mixture, lowest: Array, regularization: MixtureRegularization) -> State:
    """A mixture with its E step."""
    moments = expectation(cloud, mixture)
    total = cloud.weights.sum(dtype=mixture.means.dtype)
    prior = log_prior(mixture.weights, _inverses(mixture.factors), regularization)
    return State(mixture, moments, moments.log_likelihood / total, (moments.log_likelihood + prior) / total, lowest)


def begin(mixture: Mixture) -> Carry:
    """The carry before the first E step."""
    (n, d), dtype = mixture.means.shape, mixture.means.dtype
    zero, lowest = jnp.zeros((), dtype), jnp.asarray(-jnp.inf, dtype)
    moments = Moments(jnp.zeros(n, dtype), jnp.zeros((n, d), dtype), jnp.zeros((n, d, d), dtype), zero)
    state = State(mixture, moments, lowest, lowest, jnp.full(n, jnp.inf, dtype))
    return Carry(state, jnp.asarray(True), jnp.asarray(0), jnp.asarray(Status.RUNNING.value), jnp.zeros(n, bool))


def step(cloud: Cloud, carry: Carry, watch: Watch, regularization: MixtureRegularization) -> Carry:
    """An M step (none of a fresh carry) and the E step after it; what is not finite is not taken."""
    old, fresh = carry.state, carry.fresh
    moved = maximization(old.moments, old.mixture, regularization)
    mixture, lowest = _chosen(fresh, (old.mixture, old.lowest), moved)
    new = state_of(cloud, mixture, lowest, regularization)
    fine = jnp.isfinite(new.objective)
    failing = _failing(new, watch)
    change = jnp.abs(new.objective - old.objective)
    rounding = ROUNDING * float(np.finfo(cloud.points.dtype).eps) * jnp.abs(new.objective)
    status = jnp.where(change <= rounding, Status.PRECISION.value, Status.RUNNING.value)
    status = jnp.where(change < watch.tol, Status.CONVERGED_COST.value, status)
    status = jnp.where(fresh | failing.any(), Status.RUNNING.value, status)
    status = jnp.where(fine, status, Status.SINGULAR.value)
    return Carry(
        _chosen(fine, new, old), jnp.asarray(False), carry.steps + jnp.where(fine & ~fresh, 1, 0), status, failing
    )


class Record(NamedTuple):
    """Log-likelihood and objective (ROWS,) of the iterates of a call, and the number of rows that are filled."""

    log_likelihood: Array
    objective: Array
    n_rows: Array


def expectation_maximization(
    cloud: Cloud, carry: Carry, watch: Watch, regularization: MixtureRegularization, n_rows: Array
) -> tuple[Carry, Record]:
    """Up to ``n_rows`` more iterates (of a fresh carry the first is the start itself), with a record of the first ROWS.

    Ends earlier with a status, or where a watched component fails. Passes ``vmap`` over the carry.
    """

    def more(loop: tuple[Carry, Record]) -> Array:
        here, record = loop
        return (here.status == Status.RUNNING.value) & (record.n_rows < n_rows) & ~here.failing.any()

    def body(loop: tuple[Carry, Record]) -> tuple[Carry, Record]:
        carry, (likelihoods, objectives, row) = loop
        carry = step(cloud, carry, watch, regularization)
        likelihoods = likelihoods.at[row].set(carry.state.log_likelihood, mode="drop")
        objectives = objectives.at[row].set(carry.state.objective, mode="drop")
        taken = jnp.where(carry.status == Status.SINGULAR.value, 0, 1)
        return carry, Record(likelihoods, objectives, row + taken)

    empty = jnp.zeros(ROWS, carry.state.objective.dtype)
    return jax.lax.while_loop(more, body, (carry, Record(empty, empty, jnp.asarray(0))))


def _chunk_moments(points: Array, weights: Array, mixture: Mixture) -> Moments:
    joint, u = log_joint(points, mixture)
    log_densities = _log_sum(joint)
    masses = jnp.exp(joint - log_densities) * weights
    log_likelihood = jnp.where(weights > 0, weights * log_densities, 0).sum(dtype=mixture.means.dtype)
    if points.shape[-1] > UNROLLED:
        weighted = masses[..., None] * u
        second = jnp.einsum("kni,knj->kij", weighted, u, precision="highest")
        return Moments(masses.sum(axis=1), weighted.sum(axis=1), second, log_likelihood)
    sums = jnp.stack([(masses * monomial).sum(axis=1) for monomial in monomials(u)], axis=-1)
    return Moments(*_unpacked(sums, points.shape[-1]), log_likelihood)


def _unpacked(sums: Array, n_dim: int) -> tuple[Array, Array, Array]:
    """Mass (K,), first (K, d) and second (K, d, d) from sums (K, q) of the monomials 1, u_i, u_i u_j (i >= j)."""
    place = np.zeros((n_dim, n_dim), int)
    place[np.tril_indices(n_dim)] = np.arange(n_dim * (n_dim + 1) // 2)
    place = np.maximum(place, place.T)
    return sums[:, 0], sums[:, 1 : 1 + n_dim], sums[:, 1 + n_dim :][:, place]


def _log_sum(joint: Array) -> Array:
    """log sum exp over the first axis."""
    highest = joint.max(axis=0)
    return highest + jnp.log(jnp.exp(joint - highest).sum(axis=0))


def _inverses(factors: Array) -> Array:
    if factors.shape[-1] <= UNROLLED:
        return inverse_lower(factors)
    identity = jnp.broadcast_to(jnp.eye(factors.shape[-1], dtype=factors.dtype), factors.shape)
    return jax.scipy.linalg.solve_triangular(factors, identity, lower=True)


def _failing(state: State, watch: Watch) -> Array:
    return (watch.thin & ~(state.moments.mass >= watch.least)) | (watch.flat & ~(state.lowest >= watch.low))


def _chosen(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), new, old)
