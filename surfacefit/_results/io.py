"""A `FitResult` as a versioned file, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from .._base.documents import read, write
from .._base.status import Status
from .._constraints.bounds import Bounds, Constraints
from .._constraints.prior import SurfacePrior
from .._data.data import SurfaceData
from .._model.background import ConstantBackground, FunctionBackground, PlaneBackground, background_model
from .._model.surface import GaussianSurface
from .criteria import ComponentPath
from .flags import not_checked, shown_flags
from .record import Settings, Timings
from .report import summary
from .result import FitResult
from .summary_record import RESULT_FORMAT, RESULT_VERSION


def save(result: FitResult, path: str | PathLike[str]) -> None:
    """Write a result to a ``.json`` or ``.npz`` file, as the suffix says; see `FitResult.save`."""
    write(_document(result), path)


def load(path: str | PathLike[str], *, background: Callable[..., Any] | None = None) -> FitResult:
    """A `FitResult` from a file that `FitResult.save` wrote, every number exact.

    path : the ``.json`` or ``.npz`` file.
    background : the function ``f(parameters, points)`` of a result that was fitted with one. The file holds its
        parameters, not its code; without the function the result loads, but cannot be evaluated.

    Raises `ValueError` for a file that is no fit, naming the file and what is wrong with it, and `FileNotFoundError`
    where there is none.
    """
    result: FitResult = read(path, RESULT_FORMAT, RESULT_VERSION, lambda document: _result(document, background))
    return result


def _document(result: FitResult) -> dict[str, Any]:
    surface, data = result.surface, result.data
    return {
        "format": RESULT_FORMAT,
        "version": RESULT_VERSION,
        "surface": {
            "amplitudes": np.asarray(surface.amplitudes),
            "centers": np.asarray(surface.centers),
            "covariances": np.asarray(surface.covariances),
            "background": _background_to_document(surface.background),
        },
        "fit": {
            "cost": np.asarray(result.cost, np.float64),
            "penalty": np.asarray(result.penalty, np.float64),
            "status": result.status.name,
            "steps": result.steps,
            "resets": result.resets,
            "starts": result.starts,
        },
        "settings": asdict(result.settings),
        "timings": asdict(result.timings),
        "history": dict(result.history),
        "data": {name: getattr(data, name) for name in SurfaceData.__dataclass_fields__},
        "flags": shown_flags(result),
        "flags_not_looked_for": [flag.name for flag in not_checked(result)],
        "path": None if result.path is None else vars(result.path),
        "summary": summary(result).document(),
    }


def _result(document: dict[str, Any], function: Callable[..., Any] | None) -> FitResult:
    surface, data, settings = dict(document["surface"]), dict(document["data"]), document["settings"]
    surface["background"] = _background_from_document(surface["background"], function)
    data["axes"] = None if data["axes"] is None else tuple(data["axes"])
    return FitResult(
        surface=GaussianSurface(**surface),
        data=SurfaceData(**data),
        cost=float(document["fit"]["cost"]),
        penalty=float(document["fit"]["penalty"]),
        status=Status[document["fit"]["status"]],
        steps=document["fit"]["steps"],
        history=document["history"],
        timings=Timings(**document["timings"]),
        settings=_settings(settings),
        resets=document["fit"]["resets"],
        starts=document["fit"]["starts"],
        path=None if document["path"] is None else ComponentPath(**document["path"]),
    )


def _settings(document: dict[str, Any]) -> Settings:
    """The settings; an option that the file does not name, because it came later, has its default."""
    prior, constraints = document["prior"], document["constraints"]
    bounds: dict[str, Any] = {
        name: tuple(limit) if isinstance(limit, list) else limit for name, limit in constraints["bounds"].items()
    }
    return Settings(
        **{
            **document,
            "prior": None if prior is None else SurfacePrior(**prior),
            "constraints": Constraints(Bounds(**bounds), constraints["fixed"]),
        }
    )


def _background_to_document(background: Any) -> dict[str, Any] | None:
    if background is None:
        return None
    model = background_model(background)
    if isinstance(model, ConstantBackground):
        return {"kind": "constant", "value": np.asarray(model.value)}
    if isinstance(model, PlaneBackground):
        return {
            "kind": "plane",
            "value": np.asarray(model.value),
            "slopes": np.asarray(model.slopes),
            "origin": np.asarray(model.origin),
        }
    assert isinstance(model, FunctionBackground)
    return {
        "kind": "function",
        "name": getattr(model.function, "__name__", "function"),
        "parameters": np.asarray(model.parameters),
    }


def _background_from_document(document: dict[str, Any] | None, function: Callable[..., Any] | None) -> Any:
    if document is None:
        return None
    values = {name: value for name, value in document.items() if name not in ("kind", "name")}
    if document["kind"] == "constant":
        return ConstantBackground(**values)
    if document["kind"] == "plane":
        return PlaneBackground(**values)
    return FunctionBackground(function or _missing(document["name"]), **values)


def _missing(name: str) -> Callable[..., Any]:
    def missing_background(parameters: Any, points: Any) -> Any:
        raise ValueError(
            f"this fit has a background function {name!r}, which its file does not hold: load it with load(path,"
            f" background={name})"
        )

    missing_background.__name__ = name
    return missing_background
