"""Where a second-order solver stands between steps: records of arrays, grouped by what changes together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jax import Array

from .._base.devices import namespace
from .._base.status import Status

# Looks at the cost in `patience` steps: four let a fit end soon after its progress has become slow (volcano, K = 8: 65
# steps instead of 80 at the same RMSE).
WATCHES = 4


class Position(NamedTuple):
    """Parameters (P,) with their residuals (N,) and cost: new where a step is taken."""

    params: Array
    cost: Array
    residuals: Array


class Watch(NamedTuple):
    """The last WATCHES costs that were looked at, and the steps since the last look; the end that the next step is to
    confirm, RUNNING for none. At the last look chi2 / s^2 had fallen by ``fall`` in `patience` steps, and since the
    look before it at a rate of ``recent`` in as many.
    """

    costs: Array
    steps: Array
    pending: Array
    fall: Array
    recent: Array

    @property
    def is_probing(self) -> Array:
        """Whether the next step is undamped, to tell how far the minimum is."""
        return self.pending != int(Status.RUNNING)


class Linearization(NamedTuple):
    """The quadratic model at the position, made anew where ``stale``; ``at_bound`` (P,) may not move."""

    stale: Array
    optimality: Array
    gradient: Array
    at_bound: Array
    normal: Any


class Proposal(NamedTuple):
    """A step (P,), if ``made``: its length over that of the parameters, both in the metric of D, the fall in cost that
    the model predicts, g^T N^-1 g / s^2 as far as its damping shows it, and whether the solution of the linear system
    can be trusted.
    """

    made: Array
    step: Array
    length: Array
    predicted: Array
    distance2: Array
    trusted: Array


class QuadraticState(NamedTuple):
    """Where a solver stands, grouped by what changes together. ``control`` is the solver's own, with a ``value``."""

    position: Position
    status: Array
    control: Any
    reach: Array
    watch: Watch
    linearization: Linearization
    proposal: Proposal

    @property
    def params(self) -> Array:
        return self.position.params

    @property
    def cost(self) -> Array:
        return self.position.cost

    @property
    def optimality(self) -> Array:
        return self.linearization.optimality

    @property
    def damping(self) -> Array:
        return self.control.value

    @property
    def wanted(self) -> Array:
        """Where the residuals are asked for next."""
        return self.position.params + self.proposal.step

    def unevaluated(self) -> QuadraticState:
        """The state of which the next step takes the cost anew, and nothing else: that is no step to the watch."""
        watch = self.watch._replace(steps=host_array(self.watch.steps, int) - 1)
        return self._replace(status=host_array(int(Status.UNEVALUATED), int), watch=watch)

    def moved_to(self, params: Any) -> QuadraticState:
        """The state at other parameters (P,), of which the next step takes the cost before it linearises there."""
        yes, none = host_array(True, bool), host_array(np.zeros(params.shape), params.dtype)
        return self.unevaluated()._replace(
            position=self.position._replace(params=params),
            linearization=self.linearization._replace(stale=yes),
            proposal=self.proposal._replace(made=~yes, step=none),
        )

    def with_normal(self, normal: Any) -> QuadraticState:
        return self._replace(linearization=self.linearization._replace(normal=normal))


def first_state(position: Position, normal: Any, control: Any, reach: Any, patience: Any) -> QuadraticState:
    """The state at the start, in NumPy: nothing is known there but parameters, and the form of all else."""
    params, infinite = position.params, host_array(np.inf, position.params.dtype)
    zero, zeros = host_array(0, params.dtype), host_array(np.zeros(params.shape), params.dtype)
    return QuadraticState(
        position=position,
        status=host_array(int(Status.UNEVALUATED), int),
        control=control,
        reach=namespace(reach).asarray(reach, params.dtype),
        watch=Watch(
            host_array(np.full(WATCHES, np.inf), params.dtype),
            namespace(patience).asarray(patience, int),  # due at once
            host_array(int(Status.RUNNING), int),
            infinite,
            infinite,
        ),
        linearization=Linearization(
            stale=host_array(True, bool),
            optimality=infinite,
            gradient=zeros,
            at_bound=zeros.astype(bool),
            normal=normal,
        ),
        proposal=Proposal(host_array(False, bool), zeros, zero, zero, zero, host_array(True, bool)),
    )


def host_array(value: Any, dtype: Any) -> Any:
    """An array of NumPy in the place of one of JAX: each operation of JAX outside of a program is compiled."""
    return np.asarray(value, dtype)


class Outcome(NamedTuple):
    """What came of a trial step: its cost, the fall in cost and the predicted one, and whether it is taken."""

    cost: Array
    actual: Array
    predicted: Array
    accepted: Array
