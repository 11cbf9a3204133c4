"""A `MixtureResult` as a versioned file, and back."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from .._base.array_files import Shapes, loaded
from .._base.checks import count, one_of, positive_number
from .._base.documents import read, write
from .._base.status import MIXTURE_STATUS, Status
from .._model.covariance import COVARIANCE_TYPES
from .mixture_data import weighted_points
from .result import MixtureResult
from .starts import checked_init

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
    stored = document["mixture"]
    _check_shapes(stored)
    values = loaded(stored, "point_weights")
    numbers = {name: float(values[name]) for name in NUMBERS}
    return _checked(MixtureResult(**{**values, **numbers, "status": Status[values["status"]]}))


def _check_shapes(stored: dict[str, Any]) -> None:
    """Raises ValueError or KeyError where the arrays do not belong together; reads none of them."""
    shapes = Shapes()
    for name, letters in (("weights", "K"), ("means", "Kd"), ("covariances", "Kdd")):
        shapes.check(name, stored[name], letters)
    shapes.check("at_floor", stored["at_floor"], "K", "b")
    shapes.check("resets", stored["resets"], "K", "iu")
    for name, array in stored["history"].items():
        shapes.check(f"history.{name}", array, "S", "fb")
    if stored["points"] is not None:
        shapes.check("points", stored["points"], "Nd")
        shapes.check("point_weights", stored["point_weights"], "N")


def _checked(mixture: MixtureResult) -> MixtureResult:
    """The mixture, or ValueError or TypeError with what is wrong in it."""
    kind = one_of("covariance_type", mixture.covariance_type, COVARIANCE_TYPES)
    arrays = (mixture.weights, mixture.means, mixture.covariances)
    checked_init(arrays, mixture.n_components, mixture.n_dim, kind, "mixture")
    one_of("status", mixture.status.name, [status.name for status in MIXTURE_STATUS])
    count("steps", mixture.steps, 0)
    positive_number("total_weight", mixture.total_weight)
    if (mixture.resets < 0).any():
        raise ValueError(f"`resets` must not be negative, got {mixture.resets.min()}")
    if mixture.points is not None:
        weighted_points(mixture.points, mixture.point_weights)
    return mixture
