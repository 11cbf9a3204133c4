"""A `FitResult` as a versioned file, and back.

What could fail later, or make later numbers wrong, is refused when a file is read: shapes before the arrays are read,
then values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.array_files import BadArray, Shapes, loaded
from .._base.checks import count, finite, moderate, not_negative, one_of, positive_number, yes_or_no
from .._base.documents import read_one_of, write
from .._base.status import Status
from .._constraints.bounds import Bounds, Constraints, checked_bounds, checked_fixed
from .._constraints.periods import checked_periods
from .._constraints.prior import SurfacePrior, checked_prior
from .._constraints.shape import checked_shape
from .._data.data import SurfaceData
from .._data.labels import Labels
from .._losses import LOSSES
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import (
    ConstantBackground,
    FunctionBackground,
    PlaneBackground,
    background_model,
    checked_background,
)
from .._model.covariance import COVARIANCE_TYPES
from .._model.surface import GaussianSurface, checked_surface
from .._ties.rules import checked_items
from .criteria import LABELS, ComponentPath
from .flags import not_checked, shown_flags
from .record import Settings, Timings
from .report import summary
from .result import FitResult
from .summary_record import BATCH_FORMAT, BATCH_VERSION, RESULT_FORMAT, RESULT_VERSION

if TYPE_CHECKING:
    from .._many.batch_result import BatchResult

# Parts of the document that make a result.
READ = ("surface", "data", "fit", "settings", "timings", "history", "path")

# Arrays of one value that may be large: points that are all used, equal errors.
MAY_REPEAT = ("used", "sigma")


def save(result: FitResult, path: str | PathLike[str]) -> None:
    """Write a result to a ``.json`` or ``.npz`` file, as the suffix says; see `FitResult.save`."""
    write(_document(result), path)


def load(path: str | PathLike[str], *, background: Callable[..., Any] | None = None) -> Any:
    """The `FitResult` or `BatchResult` of a file that its `save` wrote, every number exact.

    path : the ``.json`` or ``.npz`` file.
    background : the function ``f(parameters, points)`` of a result that was fitted with one. The file holds its
        parameters, not its code; without the function the result loads, but cannot be evaluated.

    Raises `ValueError` for a file that is no fit, naming the file and what is wrong with it, and `FileNotFoundError`
    where there is none.
    """

    def batch(document: dict[str, Any]) -> BatchResult:
        from .._batches.io import batch_of

        return batch_of(document, background)

    makers = {RESULT_FORMAT: (RESULT_VERSION, lambda document: _result(document, background))}
    return read_one_of(path, {**makers, BATCH_FORMAT: (BATCH_VERSION, batch)})


def _document(result: FitResult) -> dict[str, Any]:
    surface, data = result.surface, result.data
    return {
        "format": RESULT_FORMAT,
        "version": RESULT_VERSION,
        "surface": {
            "amplitudes": np.asarray(surface.amplitudes),
            "centers": np.asarray(surface.centers),
            "covariances": np.asarray(surface.covariances),
            "background": background_to_document(surface.background),
        },
        "fit": {
            "cost": np.asarray(result.cost, np.float64),
            "penalty": np.asarray(result.penalty, np.float64),
            "status": result.status.name,
            "steps": result.steps,
            "resets": result.resets,
            "starts": result.starts,
        },
        "settings": settings_to_document(result.settings),
        "timings": asdict(result.timings),
        "history": dict(result.history),
        "data": {
            **{name: getattr(data, name) for name in SurfaceData.__dataclass_fields__},
            "labels": labels_to_document(data.labels),
        },
        "survey": None if result.whole is None else result.whole.document(),
        "flags": shown_flags(result),
        "flags_not_looked_for": [flag.name for flag in not_checked(result)],
        "path": None if result.path is None else vars(result.path),
        "summary": summary(result).document(),
    }


def _result(document: dict[str, Any], function: Callable[..., Any] | None) -> FitResult:
    _check_shapes(document)
    survey = loaded(document["survey"], ("counts",))
    document = loaded({name: document[name] for name in READ}, MAY_REPEAT)
    surface, data, fit = dict(document["surface"]), dict(document["data"]), document["fit"]
    surface["background"] = background_from_document(surface["background"], function)
    data["axes"] = None if data["axes"] is None else tuple(data["axes"])
    data["falling"] = tuple(data["falling"])
    data["labels"] = labels_from_document(data["labels"])
    found = checked_result(
        FitResult(
            surface=GaussianSurface(**surface, periods=periods_from_document(document["settings"])),
            data=SurfaceData(**data),
            cost=float(fit["cost"]),
            penalty=float(fit["penalty"]),
            status=Status[fit["status"]],
            steps=fit["steps"],
            history=document["history"],
            timings=Timings(**document["timings"]),
            settings=settings_from_document(document["settings"]),
            resets=fit["resets"],
            starts=fit["starts"],
            path=None if document["path"] is None else ComponentPath(**document["path"]),
        )
    )
    if survey is None:
        return found
    from .._streamed.result import read_result

    return read_result(found, survey)


def labels_to_document(labels: Labels | None) -> dict[str, Any] | None:
    """The labels without the way back, which is an object of another library."""
    return None if labels is None else {key: value for key, value in vars(labels).items() if key != "back"}


def labels_from_document(document: dict[str, Any] | None) -> Labels | None:
    if document is None:
        return None
    lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    return Labels(**lists)


def settings_to_document(settings: Settings) -> dict[str, Any]:
    """The settings as they stand in a file, which holds the names of functions in place of their code."""
    document = asdict(settings)
    for name, value in settings.constraints.ties.items():
        if callable(value):
            code = {"function": getattr(value, "__name__", "function")}
            document["constraints"]["ties"][name] = code
    return document


def periods_from_document(settings: dict[str, Any]) -> Any:
    """The periods of a fit; a file that does not name them has none."""
    periods = settings.get("periods")
    return None if periods is None else tuple(periods)


def ties_from_document(document: dict[str, Any]) -> dict[str, Any]:
    return {name: _missing_tie(name, **value) if isinstance(value, dict) else value for name, value in document.items()}


def _missing_tie(name: str, function: str) -> Callable[..., Any]:
    def missing_tie(surface: Any) -> Any:
        raise ValueError(
            f"this fit has a function {function!r} for `tie[{name!r}]`, which its file does not hold: errors and refits"
            " need the fit anew"
        )

    missing_tie.__name__ = function
    return missing_tie


def settings_from_document(document: dict[str, Any]) -> Settings:
    """The settings; an option that the file does not name, because it came later, has its default."""
    prior, constraints = document["prior"], document["constraints"]
    ties = ties_from_document(constraints.get("ties", {}))
    bounds: dict[str, Any] = {
        name: tuple(limit) if isinstance(limit, list) else limit for name, limit in constraints["bounds"].items()
    }
    return Settings(
        **{
            **document,
            "prior": None if prior is None else SurfacePrior(**prior),
            "periods": periods_from_document(document),
            "constraints": Constraints(
                Bounds(**bounds), constraints["fixed"], constraints["shape"], ties, constraints.get("named", False)
            ),
        }
    )


def background_to_document(background: Any) -> dict[str, Any] | None:
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


def background_from_document(document: dict[str, Any] | None, function: Callable[..., Any] | None) -> Any:
    if document is None:
        return None
    one_of("background.kind", document["kind"], ("constant", "plane", "function"))
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


def _check_shapes(document: dict[str, Any]) -> None:
    """Raises ValueError or KeyError where the arrays of a document do not belong together; reads none of them."""
    surface, data, fit = document["surface"], document["data"], document["fit"]
    shapes = Shapes()
    shapes.check("surface.amplitudes", surface["amplitudes"], "K")
    shapes.check("surface.centers", surface["centers"], "Kd")
    shapes.check("surface.covariances", surface["covariances"], "Kdd")
    _check_data_shapes(data, Shapes(d=shapes.sizes["d"]))
    shapes.check("fit.resets", fit["resets"], "K", "iu")
    for name in ("cost", "penalty"):
        shapes.check(f"fit.{name}", fit[name], "")
    if fit["starts"] is not None:
        shapes.check("fit.starts", fit["starts"], "n")
    for name, array in document["history"].items():
        shapes.check(f"history.{name}", array, "S")


def _check_data_shapes(data: dict[str, Any], shapes: Shapes) -> None:
    heights, d = data["heights"], shapes.sizes["d"]
    n_axes = d if data["points"] is None else 1
    letters = "".join(chr(ord("a") + 10 + i) for i in range(n_axes)) if n_axes > 1 else "N"
    shapes.check("data.heights", heights, letters)
    shapes.check("data.used", data["used"], letters, "b")
    if data["sigma"] is not None:
        shapes.check("data.sigma", data["sigma"], letters)
    if (data["points"] is None) == (data["axes"] is None):
        raise BadArray("`data` must have either axes or points")
    if data["points"] is not None:
        shapes.check("data.points", data["points"], "Nd")
        return
    if not isinstance(data["axes"], list) or len(data["axes"]) != n_axes:
        raise BadArray(f"`data.axes` must be {n_axes} arrays")
    for i, axis in enumerate(data["axes"]):
        shapes.check(f"data.axes[{i}]", axis, letters[i])


def checked_result(result: FitResult) -> FitResult:
    """The result, or ValueError or TypeError with what is wrong in it."""
    surface, data = result.surface, result.data
    checked_surface("surface", surface, surface.n_components, surface.n_dim, signed=True)
    checked_background("background", surface.background, surface.n_dim)
    _check_data(data)
    for name in ("amplitudes", "centers"):
        moderate(f"surface.{name}", np.asarray(getattr(surface, name), float))
    moderate("surface.principal_widths", np.asarray(surface.principal_widths))
    finite("surface.volumes", np.asarray(surface.volumes))
    for name, number in (("cost", result.cost), ("penalty", result.penalty)):
        not_negative(name, float(finite(name, np.asarray(number, float))))
    for name, seconds in vars(result.timings).items():
        not_negative(f"timings.{name}", seconds)
    count("steps", result.steps, 0)
    if (result.resets < 0).any():
        raise ValueError(f"`resets` must not be negative, got {result.resets.min()}")
    settings = _checked_settings(result.settings, surface, data)
    if result.path is not None:
        _check_path(result.path)
    return replace(result, settings=settings)


def _check_data(data: SurfaceData) -> None:
    for axis in data.axes or ():
        if (np.diff(moderate("data.axes", axis)) <= 0).any():
            raise ValueError("`data.axes` must be strictly increasing")
    if data.points is not None:
        moderate("data.points", data.points)
    if not data.used.any():
        raise ValueError("`data.used` must be True somewhere")
    moderate("data.heights", data.used_heights.astype(float))
    if data.sigma is not None and not (data.sigma[data.used] > 0).all():
        raise ValueError("`data.sigma` must be positive where heights are used")
    if yes_or_no("data.absolute_sigma", data.absolute_sigma) and data.sigma is None:
        raise ValueError("`data.absolute_sigma` needs a sigma")
    for name in ("n_nan", "n_masked"):
        if count(f"data.{name}", getattr(data, name), 0) > data.heights.size:
            raise ValueError(f"`data.{name}` must not exceed the number of points, got {getattr(data, name)}")


def _checked_settings(settings: Settings, surface: GaussianSurface, data: SurfaceData) -> Settings:
    for name, allowed in (("covariance_type", COVARIANCE_TYPES), ("amplitudes", AMPLITUDE_TYPES), ("loss", LOSSES)):
        one_of(f"settings.{name}", getattr(settings, name), allowed)
    checked_periods("settings.periods", settings.periods, data)
    one_of("settings.sampling", settings.sampling, ("points", "integrated"))
    one_of("settings.dtype", settings.dtype, ("float32", "float64"))
    positive_number("settings.min_width", settings.min_width)
    positive_number("settings.f_scale", settings.f_scale)
    count("settings.n_parameters", settings.n_parameters, 0)
    signed, constraints = AMPLITUDE_TYPES[settings.amplitudes].signed, settings.constraints
    amplitudes = np.asarray(surface.amplitudes)
    if not signed and (amplitudes < 0).any():
        raise ValueError(
            "`surface.amplitudes` must not be negative where `settings.amplitudes` is 'positive', got"
            f" {amplitudes.min():g} at index {int(amplitudes.argmin())}"
        )
    bounds = checked_bounds(constraints.bounds, surface.n_components, data.n_dim, signed, settings.covariance_type)
    shapes = ((), (background_model(surface.background).n_parameters,))
    for side in bounds.background or ():
        if np.shape(side) not in shapes:
            raise ValueError(f"`bounds.background` must have one of the shapes {shapes}, got {np.shape(side)}")
    fixed = checked_fixed(constraints.fixed, surface.n_components)
    shape, beam = checked_shape(constraints.shape, data.n_dim), checked_shape(settings.beam, data.n_dim, "beam")
    ties = checked_items(constraints.ties, surface.n_components)
    numbers = background_model(surface.background).n_parameters
    prior = checked_prior(settings.prior, data.n_dim, True, surface.n_components, numbers)
    named = prior is not None and prior.centers is not None
    for name in ("solver", "engine"):
        if not isinstance(getattr(settings, name), str):
            raise TypeError(f"`settings.{name}` must be a name, got {getattr(settings, name)!r}")
    return replace(settings, constraints=Constraints(bounds, fixed, shape, ties, named), prior=prior, beam=beam)


def _check_path(path: ComponentPath) -> None:
    one_of("path.criterion", path.criterion, LABELS)
    count("path.chosen", path.chosen, -1)
    positive_number("path.correlation_volume", path.correlation_volume)
    single = ("criterion", "chosen", "correlation_volume")
    columns = {name: column for name, column in vars(path).items() if name not in single}
    for name, column in columns.items():
        if np.shape(column) != (np.size(path.n_components),):
            raise ValueError(f"`path.{name}` must be of the length of `path.n_components`, got {np.shape(column)}")
