"""The solver's steps for the maps of a chunk, by one program for all whose problems have the same form.

On a CPU maps are fitted one after another inside the program, each with a loop of its own: none waits for another, and
branches are branches. On an accelerator all step together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import batch_jit
from .._base.devices import on_cpu
from .._base.precision import on_host
from .._problem.problem import SurfaceProblem
from .._solvers import Solution, Solver, solve


def solve_all(solver: Solver, problems: Sequence[SurfaceProblem], starts: Sequence[Any], room: int) -> list[Solution]:
    """The solution of each problem from its start, as NumPy arrays, by programs with ``room`` for so many problems."""
    forms: dict[Any, list[int]] = {}
    for n, pair in enumerate(zip(problems, starts, strict=True)):
        leaves, structure = jax.tree.flatten(pair)
        kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
        forms.setdefault((structure, kinds), []).append(n)
    solutions: dict[int, Solution] = {}
    for members in forms.values():
        for first in range(0, len(members), room):
            some = members[first : first + room]
            found = _solved([problems[n] for n in some], [starts[n] for n in some], solver, room)
            for place, n in enumerate(some):
                solutions[n] = jax.tree.map(lambda column, place=place: column[place], found)
    return [solutions[n] for n in range(len(problems))]


def _solved(problems: list[SurfaceProblem], starts: list[Any], solver: Solver, room: int) -> Solution:
    """The solutions of problems of one form, each with a leading axis."""
    spare = room - len(problems)
    pairs = [*zip(problems, starts, strict=True)] + [(problems[0], starts[0])] * spare
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *pairs)
    found = _one_by_one(solver, len(problems), *stacked) if on_cpu() else _at_once(solver, *stacked)
    solution: Solution = on_host(found)
    return solution


def solved_one_by_one(solver: Solver, count: Array, problems: SurfaceProblem, starts: Array) -> Solution:
    """The solutions of the first ``count`` problems; each has room for more, so that few programs serve."""

    def solved(n: Array) -> Solution:
        problem, start = jax.tree.map(lambda leaf: leaf[n], (problems, starts))
        return jax.tree.map(jnp.asarray, solve(problem, start, solver))

    def kept(n: Array, found: Solution) -> Solution:
        return jax.tree.map(lambda column, value: column.at[n].set(value), found, solved(n))

    room = starts.shape[0]
    nothing = jax.tree.map(lambda one: jnp.zeros((room, *one.shape), one.dtype), jax.eval_shape(solved, 0))
    found: Solution = jax.lax.fori_loop(0, count, kept, nothing)
    return found


def solved_at_once(solver: Solver, problems: SurfaceProblem, starts: Array) -> Solution:
    found: Solution = jax.vmap(lambda problem, start: solve(problem, start, solver))(problems, starts)
    return found


_one_by_one = batch_jit(solved_one_by_one)
_at_once = batch_jit(solved_at_once)
