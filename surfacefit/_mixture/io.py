"""A `MixtureResult` as a document with a version, and back."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from .._base.documents import read, write
from .._base.status import Status
from .result import MixtureResult

FORMAT, VERSION = "surfacefit mixture", 1
NUMBERS = ("log_likelihood", "total_weight")


def save(result: MixtureResult, path: str | PathLike[str]) -> None:
    """Write a mixture to ``.json`` or ``.npz``, as the name says."""
    values = {**vars(result), "status": result.status.name}
    values |= {name: np.asarray(values[name], float) for name in NUMBERS}  # arrays, since JSON has no NaN
    write({"format": FORMAT, "version": VERSION, "mixture": values}, path)


def load(path: str | PathLike[str]) -> MixtureResult:
    """Read a mixture that `save` wrote: weights (K,), means (K, d), covariances (K, d, d) and all else exact, in the
    user's units.

    Raises `ValueError` for a file that is no mixture or of another version, naming the file and what is wrong with it,
    and `FileNotFoundError` where there is none. The format is `_base/documents`'; the points (N, d) come back if the
    mixture had them.
    """
    result: MixtureResult = read(path, FORMAT, VERSION, _result)
    return result


def _result(document: dict[str, Any]) -> MixtureResult:
    values = dict(document["mixture"])
    numbers = {name: float(values[name]) for name in NUMBERS}
    return MixtureResult(**{**values, **numbers, "status": Status[values["status"]]})
