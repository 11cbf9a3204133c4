"""Input validation: each check takes an argument's name first and returns the clean value, or raises."""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """A string among those allowed."""
    allowed = list(allowed)
    if isinstance(value, str) and value in allowed:
        return value
    options = ", ".join(repr(item) for item in allowed)
    raise ValueError(f"`{name}` must be one of {options}, got {value!r}{nearest(str(value), allowed)}")


def nearest(wrong: str, allowed: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest allowed word, or nothing."""
    close = difflib.get_close_matches(wrong.lower(), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def count(name: str, value: Any, at_least: int = 1) -> int:
    """An integer not below ``at_least``."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r}") from None
    if number < at_least:
        raise ValueError(f"`{name}` must be at least {at_least}, got {number}")
    return number


def yes_or_no(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False, got {value!r}")
    return bool(value)


def positive_number(name: str, value: Any) -> float:
    """A finite number above zero."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {value!r}") from None
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"`{name}` must be positive and finite, got {value!r}")
    return number


def not_negative(name: str, value: Any) -> float:
    """A finite number, zero or above."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {value!r}") from None
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"`{name}` must be zero or positive, and finite, got {value!r}")
    return number


def real_array(name: str, value: Any) -> np.ndarray:
    """A real floating-point array: integers and booleans are converted, anything else is refused."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must hold real numbers, got dtype {array.dtype}{_WAY_OUT.get(array.dtype.kind, '')}")
    if array.dtype in (np.float32, np.float64):
        return array.copy()  # results keep their data, whatever the user does to his array later
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


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
        raise ValueError(f"`{name}` must be finite, got {array[bad][0]} at index {first_index(bad)}")
    return array


def names_its_options(function: Function) -> Function:
    """An unknown keyword raises with the nearest right one."""
    allowed = [p.name for p in inspect.signature(function).parameters.values()]

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        for name in options:
            if name not in allowed:
                hint = nearest(name, allowed) or f"; the options are {', '.join(allowed)}"
                raise TypeError(f"{function.__name__}() has no option `{name}`{hint}")
        return function(*args, **options)

    return checked  # type: ignore[return-value]
