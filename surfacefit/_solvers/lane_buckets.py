"""Steps of many lanes at once, as an accelerator wants them: lanes that have ended make room for fewer.

All lanes of a bucket take their steps together, some at a time. When few are still under way, these go on in a smaller
bucket, so that nobody waits for the slowest. Lanes whose normal matrix cannot be trusted go on with the solver's
fallback in a second pass, since a choice under ``vmap`` takes both ways; one by one, since an accelerator factorizes
tall matrices by QR one after the other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import batch_jit
from .._base.precision import on_host
from .._base.status import Status
from .base import Solver
from .loop import Carry, Solution, advance, begin, resumed

# Steps that all lanes of a bucket take before those that have ended are counted: half of what most fits take.
STEPS_AT_ONCE = 12
# Part of a bucket from which the lanes that are left move to one of that size: each size is a program of its own, which
# takes seconds to compile.
SMALLER_BUCKET = 1 / 16
# Lanes of the smallest bucket; fewer would leave an accelerator idle.
LEAST_BUCKET = 64


def solve_together(solver: Solver, problems: Any, starts: Any, count: int) -> Solution:
    """The solutions (n, ...) of the first n = ``count`` problems from their starts, as NumPy arrays."""
    carry = _finished(solver, problems, _begun(solver, problems, starts), np.arange(count))
    if solver.fallback is not None:
        doubtful = np.flatnonzero(np.asarray(carry.best.status)[:count] == int(Status.ILL_CONDITIONED))
        for lane in doubtful:
            some, begun = _taken((problems, carry), np.array([lane]))
            carry = _put(carry, _finished(solver.fallback, some, _resumed(begun), np.arange(1)), np.array([lane]))
    found: Solution = jax.tree.map(lambda column: column[:count], on_host(carry.best))
    exhausted = found.status == int(Status.RUNNING)
    return found._replace(status=np.where(exhausted, int(Status.MAX_STEPS), found.status))


def _finished(solver: Solver, problems: Any, carry: Carry, places: np.ndarray) -> Carry:
    """The bucket after all steps of the lanes at some places."""
    room = len(carry.best.status)
    smaller = max(LEAST_BUCKET, int(room * SMALLER_BUCKET))
    while len(places):
        if len(places) <= smaller < room:
            index = np.resize(places, smaller)  # spare places take the steps of others once more
            some, begun = _taken((problems, carry), index)
            back = np.append(places, np.full(smaller - len(places), room))  # what spare places hold goes nowhere
            ended: Carry = _put(carry, _finished(solver, some, begun, np.arange(len(places))), back)
            return ended
        carry = _advanced(solver, problems, carry)
        status, steps = on_host((carry.best.status, carry.best.steps))
        places = places[(status[places] == int(Status.RUNNING)) & (steps[places] < solver.max_steps)]
    return carry


def begun_together(solver: Solver, problems: Any, starts: Array) -> Carry:
    found: Carry = jax.vmap(lambda problem, start: begin(solver, problem, start))(problems, starts)
    return found


def advanced_together(solver: Solver, problems: Any, carry: Carry) -> Carry:
    def advanced(problem: Any, carry: Carry) -> Carry:
        return advance(solver, problem, carry, jnp.minimum(STEPS_AT_ONCE, solver.max_steps - carry.best.steps), None)[0]

    found: Carry = jax.vmap(advanced)(problems, carry)
    return found


def taken(tree: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def put(tree: Any, some: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf, part: leaf.at[index].set(part, mode="drop"), tree, some)


_begun, _advanced, _resumed, _taken, _put = (
    batch_jit(one) for one in (begun_together, advanced_together, jax.vmap(resumed), taken, put)
)
