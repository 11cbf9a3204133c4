r"""Expectation-maximisation for Gaussian mixtures: E and M steps, and the loop over them.

For points x_n with weights v_n the log-likelihood is

.. math:: \ell = \sum_n v_n \log \sum_k w_k \mathcal N(x_n; \mu_k, \Sigma_k),    \Sigma_k = L_k L_k^T .

With responsibilities r_kn and u = L_k^{-1} (x - mu_k), the E step sums m = v r, m u and m u u^T over the points, in
chunks so that no array (K, N) is held. The M step moves the mean by L E[u] and sets the covariance to L Cov[u] L^T.
Moments in u are of order one for any width, so that narrow components lose no digits to cancellation. Points may be in
a lower precision than the mixture: the work over points is then done in theirs, that on small matrices in the
mixture's.

All functions are pure functions of arrays: they pass `jit` and, over starts, `vmap`. Dempster, Laird & Rubin, Journal
of the Royal Statistical Society B 39 (1977) 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.devices import namespace
from .._base.status import Status
from .._constraints.mixture_regularization import MixtureRegularization, lifted, log_prior, shaped
from .._model.surface import monomials
from .mixture_model import (
    MAX_UNROLLED_DIMENSIONS,
    Mixture,
    PointChunks,
    factorized,
    inverse_factors,
    log_joint,
    log_sum,
)

# Iterates that one call records: a compiled array's length. Longer calls would leave callbacks and limits waiting.
RECORD_ROWS = 32

# Units in the last place of the objective: a change below is rounding of the sums, and the fit has converged.
CONVERGED_ROUNDING_UNITS = 4

# Smallest positive numbers of the precision: a mass below so many gives no mean, since its sums have no digits left.
MIN_MASS_IN_TINY = 1e3


class Moments(NamedTuple):
    """Sums over the points: mass (K,) of v r, first (K, d) of v r u, second (K, d, d) of v r u u^T; log-likelihood."""

    mass: Array
    first: Array
    second: Array
    log_likelihood: Array


class State(NamedTuple):
    """An iterate.

    mixture, moments : the parameters, and their E step.
    log_likelihood, objective : per unit weight; the objective includes the prior.
    lowest (K,) : lowest eigenvalues of the covariances before the floor was applied.
    """

    mixture: Mixture
    moments: Moments
    log_likelihood: Array
    objective: Array
    lowest: Array


class StopRules(NamedTuple):
    """What ends a loop.

    tol : a smaller change of the objective.
    min_mass : a smaller mass of one of the components ``check_mass`` (K,).
    min_eigenvalue : a lower eigenvalue of one of the components ``check_eigenvalue`` (K,).
    """

    tol: Any
    min_mass: Any
    min_eigenvalue: Any
    check_mass: Any
    check_eigenvalue: Any


class Carry(NamedTuple):
    """What the loop carries.

    state : the iterate; ``fresh`` where its E step is still to come.
    steps, status : steps taken, and a `Status`.
    failing (K,) : components that have met one of the `StopRules` for components.
    """

    state: State
    fresh: Any
    steps: Any
    status: Any
    failing: Any


class History(NamedTuple):
    """Log-likelihood and objective (RECORD_ROWS,) of the iterates of one call, and how many rows are filled."""

    log_likelihood: Array
    objective: Array
    n_rows: Array


def expectation(chunks: PointChunks, mixture: Mixture) -> Moments:
    """The E step: sums over all points, a chunk at a time."""

    def add(sums: Moments, chunk: PointChunks) -> tuple[Moments, None]:
        return jax.tree.map(lambda total, part: total + part.astype(dtype), sums, _chunk_moments(*chunk, mixture)), None

    (n, d), dtype = mixture.means.shape, mixture.means.dtype
    empty = Moments(jnp.zeros(n, dtype), jnp.zeros((n, d), dtype), jnp.zeros((n, d, d), dtype), jnp.zeros((), dtype))
    return jax.lax.scan(add, empty, chunks)[0]


def _chunk_moments(points: Array, weights: Array, mixture: Mixture) -> Moments:
    joint, u = log_joint(points, mixture)
    log_densities = log_sum(joint)
    masses = jnp.exp(joint - log_densities) * weights
    log_likelihood = jnp.where(weights > 0, weights * log_densities, 0).sum(dtype=mixture.means.dtype)
    if points.shape[-1] > MAX_UNROLLED_DIMENSIONS:
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


def maximization(moments: Moments, mixture: Mixture, regularization: MixtureRegularization) -> tuple[Mixture, Array]:
    """The regularised M step: a new mixture, and the lowest eigenvalues (K,) of its covariances before the floor.

    A component without mass keeps its place: any place would be as good.
    """
    mass, (n_components, n_dim) = moments.mass, moments.first.shape
    alive = mass > MIN_MASS_IN_TINY * float(np.finfo(mass.dtype).tiny)
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
    return Mixture(weights, means, factorized(covariances)), lowest


def state_of(chunks: PointChunks, mixture: Mixture, lowest: Array, regularization: MixtureRegularization) -> State:
    """A mixture with its E step."""
    moments = expectation(chunks, mixture)
    total = chunks.weights.sum(dtype=mixture.means.dtype)
    prior = log_prior(mixture.weights, inverse_factors(mixture.factors), regularization)
    return State(mixture, moments, moments.log_likelihood / total, (moments.log_likelihood + prior) / total, lowest)


def begin(mixture: Mixture) -> Carry:
    """The carry before the first E step, in arrays of NumPy or JAX as the mixture."""
    (n, d), dtype, xp = mixture.means.shape, mixture.means.dtype, namespace(mixture.means)
    zero, lowest = xp.zeros((), dtype), xp.asarray(-np.inf, dtype)
    moments = Moments(xp.zeros(n, dtype), xp.zeros((n, d), dtype), xp.zeros((n, d, d), dtype), zero)
    state = State(mixture, moments, lowest, lowest, xp.full(n, np.inf, dtype))
    return Carry(state, xp.asarray(True), 0, Status.RUNNING.value, xp.zeros(n, bool))


def step(chunks: PointChunks, carry: Carry, rules: StopRules, regularization: MixtureRegularization) -> Carry:
    """An M step (none if the carry is fresh) and the E step after it; an iterate that is not finite is rejected."""
    old, fresh = carry.state, carry.fresh
    moved = maximization(old.moments, old.mixture, regularization)
    mixture, lowest = _chosen(fresh, (old.mixture, old.lowest), moved)
    new = state_of(chunks, mixture, lowest, regularization)
    fine = jnp.isfinite(new.objective)
    failing = _failing(new, rules)
    change = jnp.abs(new.objective - old.objective)
    rounding = CONVERGED_ROUNDING_UNITS * float(np.finfo(chunks.points.dtype).eps) * jnp.abs(new.objective)
    status = jnp.where(change <= rounding, Status.PRECISION.value, Status.RUNNING.value)
    status = jnp.where(change < rules.tol, Status.CONVERGED_COST.value, status)
    status = jnp.where(fresh | failing.any(), Status.RUNNING.value, status)
    status = jnp.where(fine, status, Status.SINGULAR.value)
    return Carry(
        state=_chosen(fine, new, old),
        fresh=jnp.asarray(False),
        steps=carry.steps + jnp.where(fine & ~fresh, 1, 0),
        status=status,
        failing=failing,
    )


def expectation_maximization(
    chunks: PointChunks, carry: Carry, rules: StopRules, regularization: MixtureRegularization, n_rows: Array
) -> tuple[Carry, History]:
    """Up to ``n_rows`` more iterates, with a history of the first RECORD_ROWS.

    The first iterate of a fresh carry is the start itself. The loop ends earlier with a status, or where a component is
    failing.
    """

    def more(loop: tuple[Carry, History]) -> Array:
        here, history = loop
        return (here.status == Status.RUNNING.value) & (history.n_rows < n_rows) & ~here.failing.any()

    def body(loop: tuple[Carry, History]) -> tuple[Carry, History]:
        carry, (likelihoods, objectives, row) = loop
        carry = step(chunks, carry, rules, regularization)
        likelihoods = likelihoods.at[row].set(carry.state.log_likelihood, mode="drop")
        objectives = objectives.at[row].set(carry.state.objective, mode="drop")
        taken = jnp.where(carry.status == Status.SINGULAR.value, 0, 1)
        return carry, History(likelihoods, objectives, row + taken)

    empty = jnp.zeros(RECORD_ROWS, carry.state.objective.dtype)
    return jax.lax.while_loop(more, body, (carry, History(empty, empty, jnp.asarray(0))))


def _failing(state: State, rules: StopRules) -> Array:
    light = rules.check_mass & ~(state.moments.mass >= rules.min_mass)
    return light | (rules.check_eigenvalue & ~(state.lowest >= rules.min_eigenvalue))


def _chosen(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), new, old)
