"""A `MixtureResult` as a versioned file, and back."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from .._base.documents import read, write
from .._base.status import Status
from .result import MixtureResult

# What the file says it is.
MIXTURE_FORMAT = "surfacefit mixture"

# Of the format: counted up by a change after which older files cannot be read.
MIXTURE_VERSION = 1

# Fields that are written as arrays, since they may be NaN, which JSON does not have.
NUMBERS = ("log_likelihood", "total_weight")


def save(result: MixtureResult, path: str | PathLike[str]) -> None:
    """Write a mixture to a ``.json`` or ``.npz`` file, as the suffix says; see `MixtureResult.save`."""
    values = {**vars(result), "status": result.status.name}
    values |= {name: np.asarray(values[name], float) for name in NUMBERS}
    write({"format": MIXTURE_FORMAT, "version": MIXTURE_VERSION, "mixture": values}, path)


def load(path: str | PathLike[str]) -> MixtureResult:
    """Read a mixture that `save` wrote: weights (K,), means (K, d), covariances (K, d, d) and all else exact, in the
    user's units.

    Raises `ValueError` for a file that is no mixture or of another version, naming the file and what is wrong with it,
    and `FileNotFoundError` where there is none. The format is `_base/documents`'; the points (N, d) come back if the
    mixture had them.
    """
    result: MixtureResult = read(path, MIXTURE_FORMAT, MIXTURE_VERSION, _result)
    return result


def _result(document: dict[str, Any]) -> MixtureResult:
    values = dict(document["mixture"])
    numbers = {name: float(values[name]) for name in NUMBERS}
    return MixtureResult(**{**values, **numbers, "status": Status[values["status"]]})
