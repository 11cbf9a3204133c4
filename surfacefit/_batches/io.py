"""A batch as a versioned file, and back: the maps, where their fits ended, and what was fitted.

As for a single fit, shapes are checked before arrays are read, then values. The result of a map is checked when it is
made, as its own file would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from typing import Any

import numpy as np

from .._base.array_files import BadArray, Shapes, StoredArray, loaded
from .._base.checks import finite, moderate, not_negative
from .._base.documents import write
from .._base.status import Status
from .._many.batch_record import Results
from .._many.batch_result import BatchResult
from .._many.map_numbers import BatchArrays, MapEnds, named_arrays
from .._many.stack import MapStack, PerMap, map_stack
from .._model.background import NoBackground, background_model
from .._model.surface import are_covariances
from .._problem.model_spec import ModelOptions
from .._results.io import (
    background_from_document,
    background_to_document,
    checked_result,
    settings_from_document,
)
from .._results.record import Settings, Timings
from .._results.result import FitResult
from .._results.summary_record import BATCH_FORMAT, BATCH_VERSION
from .._solvers import Record

# Arrays of one value that may be large: masks, equal errors, maps that ended alike.
MAY_REPEAT = ("masks", "sigmas", *(one.name for one in fields(MapEnds)))

# Most axes of a batch and of its maps that are believed: NumPy has no more.
MOST_AXES = 32

# Numbers of each map that are whole.
WHOLE = ("n_components", "steps", "n_parameters", "n_used")


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """The source of a batch from a file: the maps, what was fitted to them, None where nothing was, and a background of
    the kind of all.
    """

    stack: MapStack
    settings: Settings | None
    background: Any

    def result(self, flat: int, ends: MapEnds) -> FitResult:
        """The result of a map, made from where its fit ended."""
        start, run = (float(seconds) for seconds in ends.seconds[flat])
        surface, settings = ends.surface(flat, background_model(self.background)), self.settings
        assert settings is not None
        if not surface.n_components:
            settings = replace(settings, constraints=settings.constraints.of_background, prior=None)
        return checked_result(
            FitResult(
                surface=surface,
                data=self.stack.data(flat),
                cost=float(ends.cost[flat]),
                status=Status(int(ends.status[flat])),
                steps=int(ends.steps[flat]),
                history={name: np.zeros(0) for name in Record._fields},
                timings=Timings(start=start, compile=0.0, run=run, total=start + run),
                settings=replace(settings, n_parameters=int(ends.n_parameters[flat])),
                penalty=float(ends.penalty[flat]),
            )
        )


def save(batch: BatchResult, path: str | PathLike[str]) -> None:
    """Write a batch to a ``.npz`` or ``.json`` file; see `BatchResult.save`."""
    results = batch.results
    first = _first_result(results)
    background = results.ends.model if first is None else background_model(first.surface.background)
    stack, numbers = results.source.stack, results.numbers
    arrays = {name: array[numbers] for name, array in named_arrays(results.ends).items()}
    write(
        {
            "format": BATCH_FORMAT,
            "version": BATCH_VERSION,
            "shape": list(batch.shape),
            "maps": _maps_to_document(stack, numbers),
            "surfaces": {name: arrays.pop(name) for name in BatchArrays._fields},
            "ends": arrays,
            "background": background_to_document(None if isinstance(background, NoBackground) else background),
            "settings": None if first is None else asdict(first.settings),
        },
        path,
    )


def _first_result(results: Results) -> FitResult | None:
    """That of a map with components, whose settings are those of all, else of one without; None if there is none."""
    ends = results.ends
    fitted = np.flatnonzero(ends.fitted[results.numbers])
    if not len(fitted):
        return None
    first: FitResult = results[int(fitted[np.argmax(ends.n_components[results.numbers[fitted]] > 0)])]
    return first


def _maps_to_document(stack: MapStack, numbers: np.ndarray) -> dict[str, Any]:
    each = [int(n) for n in numbers]
    one_shape = isinstance(stack.maps, np.ndarray)
    points = [np.asarray(stack.points[n], float) for n in each] if isinstance(stack.points, list) else stack.points
    return {
        "maps": stack.maps[numbers] if one_shape else [np.asarray(stack.maps[n]) for n in each],
        "masks": _per_map(stack.masks, each, one_shape),
        "sigmas": _per_map(stack.sigmas, each, one_shape),
        "points": points if points is None or isinstance(points, list) else np.asarray(points, float),
        "coords": _coords(stack.coords, each),
        "absolute_sigma": bool(stack.absolute_sigma),
    }


def _per_map(values: PerMap, each: Sequence[int], one_shape: bool) -> Any:
    if values.each is None:
        return None if values.one is None else np.asarray(values.one)
    chosen = [values.each[n] for n in each]
    if one_shape and all(np.shape(one) == np.shape(chosen[0]) and one is not None for one in chosen):
        return {"of_each": np.array([np.asarray(one) for one in chosen])}
    return {"of_each": [None if one is None else np.asarray(one) for one in chosen]}


def _coords(coords: PerMap, each: Sequence[int]) -> Any:
    def axes(given: Any) -> Any:
        plain = np.ndim(given[0]) == 0
        return [np.asarray(given, float)] if plain else [np.asarray(axis, float) for axis in given]

    if coords.each is not None:
        return {"of_each": [axes(coords.each[n]) for n in each]}
    return None if coords.one is None else axes(coords.one)


def batch_of(document: dict[str, Any], function: Any) -> BatchResult:
    """The batch of a document, every number exact; raises for what is not whole."""
    shape = _checked_shape(document["shape"])
    shapes = Shapes(n=int(np.prod(shape, dtype=np.int64)))
    _check_shapes(document, shapes)
    document = loaded({name: document[name] for name in document if name not in ("format", "version")}, MAY_REPEAT)
    background = background_from_document(document["background"], function)
    settings = None if document["settings"] is None else settings_from_document(document["settings"])
    stack = _stack(document["maps"], shapes.sizes["n"])
    if stack.n_dim != shapes.sizes["d"]:
        raise ValueError(f"`maps` have {stack.n_dim} coordinates, their surfaces {shapes.sizes['d']}")
    names = {one.name for one in fields(ModelOptions)}
    options = None if settings is None else ModelOptions(**{name: getattr(settings, name) for name in names})
    model = background_model(background)
    if np.size(model.vector()) != shapes.sizes["m"]:
        raise ValueError("`surfaces.background` does not belong to the background")
    ends = MapEnds(
        surfaces=BatchArrays(**document["surfaces"]),
        model=model,
        options=options,
        **{name: document["ends"][name] for name in document["ends"]},
    )
    _check_values(ends, stack)
    made = Results(StoredMaps(stack, settings, background), ends, np.arange(len(stack)), {})
    _first_result(made)  # its settings are those of all
    return BatchResult(shape, made)


def _checked_shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or len(given) > MOST_AXES or not all(type(n) is int and n > 0 for n in given):
        raise BadArray(f"`shape` must be a list of positive numbers, got {str(given)[:40]}")
    return tuple(given)


def _check_shapes(document: dict[str, Any], shapes: Shapes) -> None:
    for name, letters in (("amplitudes", "nK"), ("centers", "nKd"), ("covariances", "nKdd"), ("background", "nm")):
        shapes.check(f"surfaces.{name}", document["surfaces"][name], letters)
    for name in ("cost", "penalty"):
        shapes.check(f"ends.{name}", document["ends"][name], "n")
    shapes.check("ends.seconds", document["ends"]["seconds"], "n2")
    for name in (*WHOLE, "status"):
        shapes.check(f"ends.{name}", document["ends"][name], "n", "iu")
    _check_maps(document["maps"], shapes.sizes["n"])


def _check_maps(document: dict[str, Any], n_maps: int) -> None:
    """Raises where the maps, or what belongs to each, are not as many as there are."""
    each = [document["maps"]]
    each += [one["of_each"] for one in (document[name] for name in ("masks", "sigmas", "coords")) if _is_of_each(one)]
    each += [document["points"]] if isinstance(document["points"], list) else []
    for one in each:
        size = one.shape[0] if isinstance(one, StoredArray) and one.shape else len(one) if isinstance(one, list) else -1
        if size != n_maps:
            raise BadArray(f"what belongs to {n_maps} maps must be as many, got {size}")
    for name in ("sigmas", "masks"):
        one = document[name]
        if not (one is None or isinstance(one, StoredArray) or _is_of_each(one)):
            raise BadArray(f"`{name}` must be an array, got {str(one)[:40]}")


def _is_of_each(one: Any) -> bool:
    return isinstance(one, dict) and set(one) == {"of_each"}


def _stack(document: dict[str, Any], n_maps: int) -> MapStack:
    """The maps, checked as those of `fit_many` are."""
    maps, points = document["maps"], document["points"]
    given = {name: _given(document[name]) for name in ("masks", "sigmas", "coords")}
    own = maps.ndim - 1 if isinstance(maps, np.ndarray) else None
    coords = given["coords"]
    coords = [tuple(one) for one in coords] if _is_of_each(document["coords"]) else coords
    ndim = None if points is not None or coords is not None else own
    known = document["absolute_sigma"]
    stack = map_stack(maps, ndim, coords, points, given["masks"], given["sigmas"], known)
    if len(stack) != n_maps:
        raise ValueError(f"`maps` must be {n_maps}, got {len(stack)}")
    return stack


def _given(one: Any) -> Any:
    if not _is_of_each(one):
        return one if not isinstance(one, np.ndarray) or one.ndim else one.item()
    return one["of_each"]


def _check_values(ends: MapEnds, stack: MapStack) -> None:
    amplitudes, centers, covariances, background = ends.surfaces
    codes = {int(code) for code in Status}
    if not set(np.unique(ends.status).tolist()) <= codes:
        raise ValueError("`ends.status` holds codes that mean nothing")
    there = ~np.isnan(amplitudes)
    if not np.array_equal(there.sum(axis=1), ends.n_components):
        raise ValueError("`surfaces.amplitudes` must be NaN where a map has no component, and nowhere else")
    if np.isnan(ends.cost[ends.n_components > 0]).any():
        raise ValueError("`ends.cost` must be finite where a map has components")
    if ends.fitted.any() != (ends.options is not None):
        raise ValueError("`ends.cost` must be finite for one map at least, or `settings` be none")
    moderate("surfaces.amplitudes", amplitudes[there])
    moderate("surfaces.centers", centers[there])
    if not are_covariances(finite("surfaces.covariances", covariances[there])).all():
        raise ValueError("`surfaces.covariances` must be symmetric positive definite")
    finite("surfaces.background", background[ends.fitted])
    for name in ("cost", "penalty"):
        not_negative(f"ends.{name}", float(finite(f"ends.{name}", getattr(ends, name)[ends.fitted]).min(initial=0)))
    if ends.options is not None and ends.options.amplitudes == "positive" and (amplitudes[there] < 0).any():
        raise ValueError("`surfaces.amplitudes` must not be negative where `settings.amplitudes` is 'positive'")
    for name in (*WHOLE, "seconds"):
        for extreme in (getattr(ends, name).min(), getattr(ends, name).max()):
            not_negative(f"ends.{name}", float(extreme))
    for flat in np.flatnonzero(ends.fitted):
        n_used = int(stack.block(np.array([flat]))[1].sum())
        if ends.n_used[flat] != n_used:
            raise ValueError(f"`ends.n_used` must be {n_used} for map {flat}, whose points it counts")
