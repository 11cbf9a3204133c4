"""The solver's steps for the maps of a chunk, by one program for all whose problems have the same form.

On a CPU maps are fitted one after another inside the program, each with a loop of its own: none waits for another, and
branches are branches. On an accelerator all step together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from .._base.compile import batch_jit
from .._base.devices import on_cpu
from .._base.precision import on_host
from .._problem.problem import SurfaceProblem
from .._solvers import Solution, Solver, solve


def solve_all(solver: Solver, problems: Sequence[SurfaceProblem], starts: Sequence[Any]) -> list[Solution]:
    """The solution of each problem from its start, as NumPy arrays."""
    forms: dict[Any, list[int]] = {}
    for n, pair in enumerate(zip(problems, starts, strict=True)):
        leaves, structure = jax.tree.flatten(pair)
        kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
        forms.setdefault((structure, kinds), []).append(n)
    solutions: dict[int, Solution] = {}
    for members in forms.values():
        padded = members + members[:1] * (_rounded(len(members)) - len(members))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[(problems[n], starts[n]) for n in padded])
        program = _one_by_one if on_cpu() else _at_once
        found = on_host(program(solver, *stacked))
        for place, n in enumerate(members):
            solutions[n] = jax.tree.map(lambda column, place=place: column[place], found)
    return [solutions[n] for n in range(len(problems))]


def _rounded(count: int) -> int:
    """The next power of two, so that few programs serve."""
    return 1 << (count - 1).bit_length()


def solved_one_by_one(solver: Solver, problems: SurfaceProblem, starts: Array) -> Solution:
    found: Solution = jax.lax.map(lambda lane: solve(lane[0], lane[1], solver), (problems, starts))
    return found


def solved_at_once(solver: Solver, problems: SurfaceProblem, starts: Array) -> Solution:
    found: Solution = jax.vmap(lambda problem, start: solve(problem, start, solver))(problems, starts)
    return found


_one_by_one = batch_jit(solved_one_by_one)
_at_once = batch_jit(solved_at_once)
