"""Input validation: each check takes an argument's name first and returns the clean value, or raises."""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

# Largest count: steps are counted in compiled programs, in 32 bits.
MOST_COUNT = 2**31 - 1
# Largest number of a user's: squares, and a few of them multiplied by others of order one, are numbers in float64.
MOST_MAGNITUDE = 1e140
# Characters of a value in an error: a line of a terminal.
MOST_SHOWN = 80
# Arguments for which the name of a file may be given by mistake.
DATA = ("heights", "points")
# Words for options in other libraries or in the mathematics: the option here, and how to give it.
ELSEWHERE = {
    **dict.fromkeys(("k", "n", "n_gaussians", "n_peaks", "components"), ("n_components", "")),
    **dict.fromkeys(("x", "y", "xy", "axes"), ("coords", "give `coords`, one array an axis, or use `fit_points`")),
    "points": ("coords", "scattered points are for `fit_points`, axes of a grid are `coords`"),
    "weights": ("sigma", "give `sigma` = 1 / sqrt(weights)"),
    **dict.fromkeys(("error", "errors", "err", "yerr", "std", "noise"), ("sigma", "")),
    **dict.fromkeys(("p0", "x0", "start", "guess", "initial", "init_params"), ("init", "give `init`, a surface")),
    **dict.fromkeys(("random_state", "rng", "random_seed"), ("seed", "")),
    **dict.fromkeys(("maxiter", "max_iter", "max_nfev", "n_iter"), ("max_steps", "")),
    **dict.fromkeys(("verbose", "disp"), ("progress", "")),
    **dict.fromkeys(("timeout", "time_limit"), ("max_time", "")),
    **dict.fromkeys(("method", "optimizer"), ("solver", "")),
    "max_steps": ("solver", "give it to the solver, `solver=LevenbergMarquardt(max_steps=...)`"),
}


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """A string among those allowed."""
    allowed = list(allowed)
    if isinstance(value, str) and value in allowed:
        return value
    options = ", ".join(repr(item) for item in allowed)
    raise ValueError(f"`{name}` must be one of {options}, got {shortly(value)}{nearest(str(value), allowed)}")


def nearest(wrong: str, allowed: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest allowed word, or nothing."""
    close = difflib.get_close_matches(wrong.lower(), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def count(name: str, value: Any, at_least: int = 1, at_most: int | None = MOST_COUNT) -> int:
    """An integer not below ``at_least``, and not above what a compiled program can count."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {shortly(value)}") from None
    if number < at_least:
        raise ValueError(f"`{name}` must be at least {at_least}, got {number}")
    if at_most is not None and number > at_most:
        raise ValueError(f"`{name}` must be at most {at_most}, got {number}")
    return number


def shortly(value: Any) -> str:
    """A value in an error: as it prints, or the beginning of that."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."


def yes_or_no(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False, got {value!r}")
    return bool(value)


def positive_number(name: str, value: Any) -> float:
    """A finite number above zero."""
    number = _number(name, value)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"`{name}` must be positive and finite, got {value!r}")
    return number


def moderate_number(name: str, value: Any) -> float:
    """A number above zero, neither so large nor so small that its square is none."""
    number = positive_number(name, value)
    if not 1 / MOST_MAGNITUDE <= number <= MOST_MAGNITUDE:
        raise ValueError(f"`{name}` must be from 1/{MOST_MAGNITUDE:g} to {MOST_MAGNITUDE:g}, got {number:g}: rescale")
    return number


def not_negative(name: str, value: Any) -> float:
    """A finite number, zero or above."""
    number = _number(name, value)
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"`{name}` must be zero or positive, and finite, got {value!r}")
    return number


def finite_number(name: str, value: Any) -> float:
    """A finite number of either sign."""
    number = _number(name, value)
    if not np.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {value!r}")
    return number


def _number(name: str, value: Any) -> float:
    """A single number: no text that could be read as one, no truth value, no array."""
    try:
        if isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {shortly(value)}") from None


def real_array(name: str, value: Any) -> np.ndarray:
    """A real floating-point array in the machine's byte order, a copy: float32 for what is no more precise than that,
    float64 for integers, booleans and all others. What is masked is NaN.
    """
    _refuse_what_holds_an_array(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise TypeError(f"`{name}` must hold real numbers, got dtype {array.dtype}{_WAY_OUT.get(array.dtype.kind, '')}")
    single = array.dtype.kind not in "iub" and array.dtype.itemsize <= np.dtype(np.float32).itemsize
    array = array.astype(np.float32 if single else np.float64)  # a copy: results keep their data
    if np.ma.is_masked(value):
        array[np.ma.getmaskarray(value)] = np.nan
    return array


def _refuse_what_holds_an_array(name: str, value: Any) -> None:
    """The name of a file, a table of arrays, or an object around an array is told how to give the array."""
    if value is None:
        raise TypeError(f"`{name}` must be an array of numbers, got None")
    if isinstance(value, str | bytes | os.PathLike):
        hint = ": read the file first, by `surfacefit.read`" if name in DATA else ""
        raise TypeError(f"`{name}` must be an array of numbers, got {shortly(value)}{hint}")
    if isinstance(value, Mapping):
        raise TypeError(f"`{name}` must be an array of numbers, got a {type(value).__name__}: give one of its arrays")
    if not hasattr(value, "__array__") and isinstance(getattr(value, "data", None), np.ndarray):
        raise TypeError(f"`{name}` must be an array of numbers, got a {type(value).__name__}: give its `.data`")


_WAY_OUT = {
    "c": ": fit its real part, imaginary part or modulus (`abs(...)`)",
    "O": ": convert it first, for example with `.astype(float)`",
    "U": ": convert it first, for example with `.astype(float)`",
    "S": ": convert it first, for example with `.astype(float)`",
    "M": ": convert times to numbers first",
    "m": ": convert times to numbers first",
}


def first_index(condition: np.ndarray) -> str:
    """The first place where a condition holds, as it is written in Python."""
    index = tuple(int(i) for i in np.argwhere(condition)[0])
    return str(index[0] if len(index) == 1 else index)


def finite(name: str, array: np.ndarray) -> np.ndarray:
    """An array without NaN or infinity."""
    bad = ~np.isfinite(array)
    if bad.any():
        where = f" at index {first_index(bad)}" if array.ndim else ""
        raise ValueError(f"`{name}` must be finite, got {array[bad][0]}{where}")
    return array


def moderate(name: str, array: np.ndarray) -> np.ndarray:
    """A float64 array that is finite, and not so large that squares overflow."""
    large = np.abs(finite(name, array)) > MOST_MAGNITUDE
    if large.any():
        where = f" at index {first_index(large)}" if array.ndim else ""
        raise ValueError(
            f"`{name}` must not exceed {MOST_MAGNITUDE:g}, so that squares are numbers, got"
            f" {array[large][0]:g}{where}: rescale"
        )
    return array


def names_its_options(function: Function) -> Function:
    """An unknown keyword raises with the nearest right one, or with what other libraries' word for it is here."""
    allowed = [p.name for p in inspect.signature(function).parameters.values()]

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        check_options(function.__name__, options, allowed)
        return function(*args, **options)

    return checked  # type: ignore[return-value]


def check_options(function: str, options: Iterable[str], allowed: list[str]) -> None:
    """Raises for an option that a function does not have."""
    for name in options:
        if name not in allowed:
            raise TypeError(f"{function}() has no option `{name}`{_instead(name, allowed)}")


def _instead(name: str, allowed: list[str]) -> str:
    option, way = ELSEWHERE.get(name.lower(), ("", ""))
    if option in allowed:
        return f": {way or f'give `{option}`'}"
    if option in ELSEWHERE:
        return _instead(option, allowed)
    return nearest(name, allowed) or f"; the options are {', '.join(allowed)}"
