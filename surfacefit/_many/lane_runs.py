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


def solve_all(solver: Solver, problems: Sequence[SurfaceProblem], starts: Sequence[Any], room: int) -> Solution:
    """The solutions (n, ...) of problems from their starts, as NumPy arrays, by programs with ``room`` for so many."""
    forms: dict[Any, list[int]] = {}
    for n, pair in enumerate(zip(problems, starts, strict=True)):
        leaves, structure = jax.tree.flatten(pair)
        kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
        forms.setdefault((structure, kinds), []).append(n)
    found = []
    for members in forms.values():
        some = jax.tree.map(lambda *leaves: np.stack(leaves), *(problems[n] for n in members))
        found.append(solve_stacked(solver, some, np.stack([starts[n] for n in members]), room))
    order = np.argsort(np.concatenate(list(forms.values())))
    whole: Solution = jax.tree.map(lambda *columns: np.concatenate(columns)[order], *found)
    return whole


def solve_stacked(solver: Solver, problems: SurfaceProblem, starts: np.ndarray, room: int) -> Solution:
    """The solutions (n, ...) of problems of one form, whose leaves have a leading axis, from starts (n, P)."""
    found = [
        _solved(solver, jax.tree.map(lambda leaf, at=at: leaf[at : at + room], (problems, starts)), room)
        for at in range(0, len(starts), room)
    ]
    whole: Solution = found[0] if len(found) == 1 else jax.tree.map(lambda *columns: np.concatenate(columns), *found)
    return whole


def _solved(solver: Solver, pairs: tuple[SurfaceProblem, np.ndarray], room: int) -> Solution:
    """The solutions of up to as many problems, with their starts, as there is room for."""
    count = len(pairs[1])
    whole = jax.tree.map(lambda leaf: _filled(leaf, room), pairs)
    found = _one_by_one(solver, count, *whole) if on_cpu() else _at_once(solver, *whole)
    solution: Solution = jax.tree.map(lambda column: column[:count], on_host(found))
    return solution


def _filled(leaf: np.ndarray, room: int) -> np.ndarray:
    """An array (n, ...) with the first entry repeated up to the room."""
    spare = room - len(leaf)
    return np.concatenate([leaf, np.broadcast_to(leaf[:1], (spare, *leaf.shape[1:]))]) if spare else leaf


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
