"""From options and data to the task of a run and its start, and the units between them."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from .._constraints.mixture_regularization import MixtureRegularization, Prior, lifted, points_needed
from .mixture_data import Units, WeightedPoints, check_enough, point_chunks
from .mixture_model import PointChunks
from .starts import Start, drawn, restricted

# Of the mean mass of a component, counted in distinct points: where points are few, a component needs no more to stay.
MIN_MASS_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class MixtureOptions:
    """The checked options of `fit_mixture`; ``kind`` is the covariance type, ``dtype`` that of the work over points."""

    n_components: int
    kind: str
    init: str | Start
    min_width: float
    reg_covar: float
    prior: Prior
    reset: bool
    tol: float
    max_steps: int
    dtype: np.dtype
    seed: int


@dataclass(frozen=True, eq=False)
class Task:
    """What is fitted, in the units of the fit.

    points, weights : (N, d) and (N,), and the same on the device as ``chunks``.
    regularization : floor and prior of the M step.
    min_mass : mass, in units of an average point, below which a component is reset.
    needed : distinct points below which a component is reset.
    bounded : whether the objective has a bound, so that an iterate with a collapsed component may count as the best.
    resets : whether components are reset at all.
    tol, max_steps : as in `fit_mixture`.
    """

    points: np.ndarray
    weights: np.ndarray
    chunks: PointChunks
    regularization: MixtureRegularization
    min_mass: float
    needed: int
    bounded: bool
    resets: bool
    tol: float
    max_steps: int


def task_of(data: WeightedPoints, options: MixtureOptions, units: Units) -> Task:
    """The task for data in the user's units. Raises ValueError where distinct points are fewer than components."""
    points = units.points(data.points)
    distinct, needed = check_enough(data, options.n_components), points_needed(options.kind, data.n_dim)
    prior, weight = options.prior, data.total / len(points)
    added = options.reg_covar * units.covariances(np.eye(data.n_dim))
    return Task(
        points=points,
        weights=data.weights,
        chunks=point_chunks(points, data.weights, options.n_components, options.dtype),
        regularization=MixtureRegularization(
            floor=jnp.asarray(units.floor**2, np.float64),
            added=jnp.asarray(added, np.float64),
            scale=jnp.asarray(units.covariances(prior.scale) / weight, np.float64),
            pull=jnp.asarray(prior.pull / weight, np.float64),
            extra=jnp.asarray(prior.extra / weight, np.float64),
            kind=options.kind,
        ),
        min_mass=min(needed, MIN_MASS_SHARE * distinct / options.n_components) * len(points) / distinct,
        needed=needed,
        bounded=options.min_width > 0 or options.reg_covar > 0 or prior.pull > 0,
        resets=options.reset and options.max_steps > 0,
        tol=options.tol,
        max_steps=options.max_steps,
    )


def start_of(options: MixtureOptions, units: Units, task: Task, rng: np.random.Generator) -> Start:
    """The start in the units of the fit, no narrower than the floor; a given one that is not to be stepped as it is."""
    if isinstance(options.init, str):
        start = drawn(options.init, task.points, task.weights, options.n_components, rng)
        start = start._replace(covariances=restricted(start.covariances, start.weights, options.kind))
    else:
        given = options.init
        start = Start(
            given.weights / given.weights.sum(), units.points(given.means), units.covariances(given.covariances)
        )
        if options.max_steps == 0:
            return start
    wide = lifted(start.covariances, np.asarray(task.regularization.floor)).covariances
    return start._replace(covariances=np.asarray(wide))
