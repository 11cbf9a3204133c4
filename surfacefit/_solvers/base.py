"""The contract between a solver and the one loop that runs all of them.

A new solver is a frozen dataclass, registered as a pytree, that inherits from `SolverBase` and has ``max_steps``,
``init`` and ``step``; `SolverBase` gives the rest of the contract, to be overridden where it does not fit. Its state is
a NamedTuple with the members of `SolverState`.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from .._base.checks import count
from .._base.status import Status
from .._problem.base import Problem


class SolverState(Protocol):
    """What the loop reads of a state: a NamedTuple of arrays, in which ``status`` is a field that can be replaced."""

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
        """The solver's own step control, for the history: damping of LM, trust radius, learning rate of Adam."""
        ...

    @property
    def status(self) -> Array:
        """A `Status` code; anything but RUNNING ends the loop. REPLAN asks for the plan to be renewed."""
        ...

    @property
    def wanted(self) -> Array:
        """Parameters (P,) for which a new plan must be valid, as well as for ``params``."""
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

    @property
    def needs_whole_jacobian(self) -> bool:
        """Whether it calls ``as_matrix`` of a Jacobian, which a tiled fit cannot afford."""
        ...

    @property
    def uses_normal(self) -> bool:
        """Whether it calls ``normal`` of a Jacobian: else no lists are made for that."""
        ...

    @property
    def takes_all_steps(self) -> bool:
        """Whether ``max_steps`` is the length of a schedule: then to reach it is an ordinary end."""
        ...

    def check_settings(self, name: str = "solver") -> None:
        """Raises ValueError or TypeError that names a wrong setting as ``{name}.{field}``."""
        ...

    def init(self, problem: Problem, params: Array) -> Any:
        """The state at the start."""
        ...

    def unevaluated(self, problem: Problem, params: Array, state: Any = None) -> Any:
        """The state at the start, or ``state`` under a new plan, with status UNEVALUATED, made in NumPy on the host.

        ``step`` then takes the cost at the parameters and nothing else, so that no programs are compiled for `init` and
        `replanned`. None where a solver has no such way.
        """
        ...

    def parted(self, state: Any) -> tuple[Any, Any]:
        """The state without its large arrays, and these: chunks of steps write over them, to hold them once."""
        ...

    def joined(self, state: Any, large: Any) -> Any:
        """The state that `parted` has taken apart."""
        ...

    def step(self, problem: Problem, state: Any) -> Any:
        """The state after one step, or with status REPLAN where ``problem.plan_is_valid`` says no to its trial.

        Ask for ``problem.plan_is_valid(trial)`` before residuals at a trial: outside its plan an engine leaves out
        parts of components, and the cost there is wrong without notice.
        """
        ...

    def replanned(self, problem: Problem, state: Any) -> Any:
        """The state to go on with after REPLAN, under the problem with its new plan.

        The new plan leaves out other tails, below the engine's cutoff. A solver that compares costs or keeps a
        linearisation takes both again here, at ``state.params``.
        """
        ...


class SolverBase:
    """The parts of the contract that are the same for most solvers."""

    max_steps: Any

    @property
    def fallback(self) -> Any:
        """The solver that goes on where a matrix is ill-conditioned; None where there is none."""
        return None

    @property
    def needs_whole_jacobian(self) -> bool:
        """Whether it asks for a Jacobian as a whole matrix, which a tiled fit cannot afford."""
        return False

    @property
    def uses_normal(self) -> bool:
        """Whether it asks for J^T J."""
        return True

    @property
    def takes_all_steps(self) -> bool:
        """Whether ``max_steps`` is the length of a schedule, so that to reach it is an ordinary end."""
        return False

    def check_settings(self, name: str = "solver") -> None:
        """Raise ValueError or TypeError that names a wrong setting as ``{name}.{field}``."""
        count(f"{name}.max_steps", self.max_steps, 0)

    def unevaluated(self, problem: Problem, params: Array, state: Any = None) -> Any:
        """The state before the cost is known, for solvers that have one; else None."""
        return None

    def parted(self, state: Any) -> tuple[Any, Any]:
        """The state as it is, and nothing, for solvers that carry no large arrays."""
        return state, None

    def joined(self, state: Any, large: Any) -> Any:
        """The state as it was before it was `parted`."""
        return state

    def replanned(self, problem: Problem, state: Any) -> Any:
        """The state as it is, for a solver that compares no costs across steps; others take theirs again."""
        return state._replace(status=jnp.asarray(int(Status.RUNNING)))


def missing_members(thing: Any, contract: type) -> list[str]:
    """The names in a contract that a thing lacks."""
    there = dir(thing)  # reads no property: settings are not checked yet
    return [name for name in vars(contract) if not name.startswith("_") and name not in there]


def check_state(solver: Any, state: Any, method: str = "init") -> None:
    """Raises TypeError where the state that a solver's method gives lacks what the loop reads."""
    missing = missing_members(state, SolverState)
    if missing or not hasattr(state, "_replace"):
        needs = ", ".join(missing) or "_replace"
        raise TypeError(
            f"`{type(solver).__name__}.{method}` must give a NamedTuple with the members of a solver's state, but"
            f" {type(state).__name__} has no {needs}: see `SolverState` in surfacefit/_solvers/base.py"
        )


def cosine_optimality(gradient: Array, diagonal: Array, cost: Array) -> Array:
    """max_i |g_i| / (|J_i| |r|), MINPACK's scale-free measure of the gradient; 0 where r or J_i vanish, NaN where a
    derivative is none.
    """
    norm = jnp.sqrt(jnp.maximum(diagonal, 0) * 2 * cost)
    safe = jnp.where(norm > 0, norm, jnp.ones_like(norm))
    cosines = jnp.where(norm > 0, jnp.abs(gradient) / safe, jnp.zeros_like(gradient))
    return jnp.max(jnp.where(jnp.isnan(diagonal), jnp.nan, cosines), initial=0.0)
