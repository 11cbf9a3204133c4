"""The contract between a solver and the one loop that runs all of them."""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from .._problem.problem import Problem


class SolverState(Protocol):
    """What the loop reads of a state, whatever else a solver keeps there (a NamedTuple of arrays)."""

    @property
    def params(self) -> Array:
        """Parameters (P,) at which ``cost`` holds."""
        ...

    @property
    def cost(self) -> Array:
        """1/2 |r(params)|^2."""
        ...

    @property
    def optimality(self) -> Array:
        """How far from stationary: 0 at a minimum. The solver says in which measure."""
        ...

    @property
    def damping(self) -> Array:
        """The solver's own step control, for the history: damping of LM, learning rate of Adam."""
        ...

    @property
    def status(self) -> Array:
        """A `Status` code; anything but RUNNING ends the loop. REPLAN asks for the plan to be renewed."""
        ...

    @property
    def wanted(self) -> Array:
        """Parameters (P,) that a new plan must cover, besides ``params``."""
        ...


class Solver(Protocol):
    """A frozen record of settings, a pytree whose numbers are traced: changing them compiles nothing anew."""

    @property
    def max_steps(self) -> Any:
        """Limit on steps."""
        ...

    @property
    def fallback(self) -> Any:
        """The solver that goes on from the same state at status ILL_CONDITIONED, or None."""
        ...

    def init(self, problem: Problem, params: Array) -> Any:
        """The state at the start."""
        ...

    def step(self, problem: Problem, state: Any) -> Any:
        """The state after one step."""
        ...

    def replanned(self, problem: Problem, state: Any) -> Any:
        """The state to go on with after REPLAN, under the problem with its new plan."""
        ...


def cosine_optimality(gradient: Array, diagonal: Array, cost: Array) -> Array:
    """max_i |g_i| / (|J_i| |r|), MINPACK's scale-free measure of the gradient; 0 where r or J_i vanish."""
    norm = jnp.sqrt(jnp.maximum(diagonal, 0) * 2 * cost)
    safe = jnp.where(norm > 0, norm, jnp.ones_like(norm))
    return jnp.max(jnp.where(norm > 0, jnp.abs(gradient) / safe, jnp.zeros_like(gradient)), initial=0.0)
