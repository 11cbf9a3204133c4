"""The option ``solver``: a name, or a solver object whose contract and settings are checked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
from jax.tree_util import all_leaves

from .._base.checks import MOST_COUNT, one_of
from .base import Solver, missing_members


def checked_solver(solver: Any, solvers: Mapping[str, type[Solver]]) -> Solver:
    """The solver of that name, or the object itself; ValueError or TypeError where it cannot be used."""
    names = ", ".join(map(repr, solvers))
    if isinstance(solver, str):
        return _named(solver, solvers, names)
    missing = missing_members(solver, Solver)
    if isinstance(solver, type) or ("init" in missing and "step" in missing):
        hint = f": an object is made by {solver.__name__}()" if isinstance(solver, type) else ""
        raise ValueError(f"`solver` must be one of {names} or a solver object, got {solver!r}{hint}")
    if missing:
        raise TypeError(
            f"`solver` must have every member of the solver contract, but {type(solver).__name__} has no"
            f" {', '.join(missing)}: inherit from `surfacefit._solvers.base.SolverBase`, or see `Solver` there"
        )
    if all_leaves([solver]):
        raise TypeError(
            f"`solver` must be a JAX pytree, which {type(solver).__name__} is not: decorate its class with"
            " `jax.tree_util.register_dataclass`"
        )
    solver.check_settings()
    return _plain(solver)


def _plain(solver: Any) -> Any:
    """The solver with numbers that JAX does not take, such as fractions or integers beyond 32 bits, as floats."""
    own = [one.name for one in fields(solver) if one.init] if is_dataclass(solver) else []
    odd = {name: float(getattr(solver, name)) for name in own if _is_odd(getattr(solver, name))}
    return replace(solver, **odd) if odd else solver


def _is_odd(value: Any) -> bool:
    if not isinstance(value, Number) or isinstance(value, float | np.number):
        return False
    return not isinstance(value, int) or abs(value) > MOST_COUNT


def _named(name: str, solvers: Mapping[str, type[Solver]], names: str) -> Solver:
    if name.lower() == "em":
        raise ValueError(
            f"`solver` must be one of {names}, got 'em': expectation-maximisation maximises a"
            " likelihood; start from it by `init='em'`, or fit heights as a density by"
            " `fit_mixture(points, K, weights=heights)`"
        )
    return solvers[one_of("solver", name, solvers)]()
