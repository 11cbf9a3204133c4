"""How a fit runs, as a record of checked options: add an option of the run here, as a field with its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._base.checks import count, one_of, positive_number, yes_or_no
from .._base.progress import Progress
from .._data.data import fit_dtype
from .._engines.engines import EngineChoice, engine_choice
from .._model.surface import GaussianSurface
from .._problem.option import Given, rule, simple_rule
from .._search.initialization import INITS
from .._solvers import SOLVERS, LevenbergMarquardt, Solver, checked_solver
from .._starts import RandomStarts


def _init(name: str, given: Given) -> Any:
    init = given.options[name]
    if isinstance(init, RandomStarts):
        count("init.n", init.n)
        if _search("search", given):
            raise ValueError(
                f"`search` looks around one start, got search={given.options['search']!r} with {init!r}: search from"
                " `init=result.surface` then"
            )
        return init
    if isinstance(init, GaussianSurface):
        return init
    try:
        return one_of(name, init, INITS)
    except ValueError as error:
        raise ValueError(f"{error}; or give a GaussianSurface, a FitResult or RandomStarts(...)") from None


def _search(name: str, given: Given) -> float | None:
    return checked_search(name, given.options[name])


def checked_search(name: str, search: Any) -> float | None:
    """Seconds of a search, 0 for none, None for as long as the start decides."""
    if isinstance(search, bool):
        raise TypeError(f"`search` must be seconds, got {search!r}: 0 does not search at all")
    if search is None or (isinstance(search, int | float) and search == 0):
        return search
    return positive_number(name, search)


def _reset(name: str, given: Given) -> bool:
    reset = given.options[name]
    return given.start is None if reset is None else yes_or_no(name, reset)


def _solver(name: str, given: Given) -> Solver:
    return checked_solver(given.options[name], SOLVERS)


def _engine(name: str, given: Given) -> EngineChoice:
    return engine_choice(given.options[name], given.options["max_memory"])


def _dtype(name: str, given: Given) -> np.dtype:
    return fit_dtype(given.options[name], given.data.heights)


def _callback(name: str, callback: Any) -> Any:
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `Progress`, got {callback!r}")
    return callback


def _max_time(name: str, seconds: Any) -> float | None:
    return None if seconds is None else positive_number(name, seconds)


def _progress(name: str, value: Any) -> bool | None:
    return None if value is None else yes_or_no(name, value)


@dataclass(frozen=True, eq=False, kw_only=True)
class RunSpec:
    """How a model is fitted: from where, by what, and who watches. ``engine`` stands for the options ``engine`` and
    ``max_memory``.
    """

    init: str | GaussianSurface | RandomStarts = field(default="auto", metadata=rule(_init))
    search: float | None = field(default=None, metadata=rule(_search))
    seed: int = field(default=0, metadata=simple_rule(count, 0, None))
    solver: Solver = field(default_factory=LevenbergMarquardt, metadata=rule(_solver))
    engine: EngineChoice = field(default=EngineChoice(None), metadata=rule(_engine))
    dtype: np.dtype = field(metadata=rule(_dtype))
    progress: bool | None = field(default=None, metadata=simple_rule(_progress))
    callback: Callable[[Progress], Any] | None = field(default=None, metadata=simple_rule(_callback))
    max_time: float | None = field(default=None, metadata=simple_rule(_max_time))
    reset: bool = field(default=True, metadata=rule(_reset))
