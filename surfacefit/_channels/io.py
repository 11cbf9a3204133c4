"""A `ChannelResult` as a versioned file, and back."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from .._base.array_files import Shapes, loaded
from .._base.checks import count, finite, not_negative, one_of, positive_number
from .._base.documents import read, write
from .._base.status import STATUS, Status
from .._data.data import SurfaceData
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import ConstantBackground, FunctionBackground, PlaneBackground, checked_background
from .._model.covariance import COVARIANCE_TYPES
from .._model.surface import GaussianSurface, checked_surface
from .maps import channel_maps
from .result import ChannelResult
from .setup import ChannelModel

# What the file says it is.
CHANNEL_FORMAT = "surfacefit channels"

# Of the format: counted up by a change after which older files cannot be read.
CHANNEL_VERSION = 1

# Backgrounds by the names in files.
STORED_BACKGROUNDS: dict[str, Any] = {"constant": ConstantBackground, "plane": PlaneBackground}


def save(result: ChannelResult, path: str | PathLike[str]) -> None:
    """Write a result to a ``.json`` or ``.npz`` file, as the suffix says; see `ChannelResult.save`."""
    if any(isinstance(one, FunctionBackground) for one in result.backgrounds):
        raise ValueError(
            "`background` is a function, which a file cannot hold: save `result.surface(c)` of each channel"
        )
    maps, first = result.maps, result.maps.channels[0]
    model = {key: value for key, value in asdict(result.model).items() if key != "background"}
    sigma = [one.turned(one.sigma) for one in maps.channels if one.sigma is not None]
    document = {
        "model": model,
        "amplitudes": result.amplitudes,
        "centers": result.centers,
        "covariances": result.covariances,
        "backgrounds": [_stored(one) for one in result.backgrounds],
        "heights": np.stack([one.turned(one.heights) for one in maps.channels]),
        "used": np.stack([one.turned(one.used) for one in maps.channels]),
        "sigma": np.stack(sigma) if sigma else None,
        "absolute_sigma": first.absolute_sigma,
        "axes": _axes(first),
        "points": first.points,
        "cost": np.asarray(result.cost, float),
        "status": result.status.name,
        "steps": result.steps,
        "history": result.history,
    }
    write({"format": CHANNEL_FORMAT, "version": CHANNEL_VERSION, "channels": document}, path)


def load(path: str | PathLike[str]) -> ChannelResult:
    """Read a result of K components and C channels that `save` wrote, every number exact: arrays, shapes and units are
    those of the `ChannelResult` that was saved.

    Raises `ValueError` for any other file, naming the file and what is wrong with it, and `FileNotFoundError`
    where there is none.
    """
    result: ChannelResult = read(path, CHANNEL_FORMAT, CHANNEL_VERSION, _result)
    return result


def _result(document: dict[str, Any]) -> ChannelResult:
    stored = document["channels"]
    _check_shapes(stored)
    values = loaded(stored, ("used", "sigma"))
    sigma = values["sigma"]
    maps = channel_maps(
        list(values["heights"]),
        None if values["axes"] is None else tuple(np.asarray(axis, float) for axis in values["axes"]),
        values["points"],
        [~used for used in values["used"]],
        None if sigma is None else list(sigma),
        bool(values["absolute_sigma"]),
    )
    backgrounds = tuple(_background(one, maps.together.n_dim) for one in values["backgrounds"])
    model = _model(values["model"], backgrounds)
    amplitudes = finite("amplitudes", values["amplitudes"])
    surface = _checked_places(values, amplitudes, model, maps.together.n_dim)
    return ChannelResult(
        amplitudes=amplitudes,
        centers=surface.centers,
        covariances=surface.covariances,
        backgrounds=backgrounds,
        maps=maps,
        model=model,
        cost=not_negative("cost", float(values["cost"])),
        status=Status[one_of("status", values["status"], [status.name for status in STATUS])],
        steps=count("steps", values["steps"], 0),
        history=values["history"],
    )


def _check_shapes(stored: dict[str, Any]) -> None:
    """Raises ValueError or KeyError where the arrays do not belong together; reads none of them."""
    shapes = Shapes()
    for name, letters in (("amplitudes", "KC"), ("centers", "Kd"), ("covariances", "Kdd"), ("history", "S")):
        shapes.check(name, stored[name], letters)
    if len(stored["backgrounds"]) != stored["amplitudes"].shape[1]:
        raise ValueError("`backgrounds` must hold one for each channel")
    if stored["heights"].shape[0] != stored["amplitudes"].shape[1]:
        raise ValueError("`heights` must hold a map for each channel")


def _axes(data: SurfaceData) -> list[np.ndarray] | None:
    """The axes of a grid, in the user's order; None for scattered points."""
    if data.axes is None:
        return None
    return [axis[::-1] if i in data.falling else axis for i, axis in enumerate(data.axes)]


def _model(stored: dict[str, Any], backgrounds: tuple[Any, ...]) -> ChannelModel:
    return ChannelModel(
        n_components=count("n_components", stored["n_components"]),
        covariance_type=one_of("covariance_type", stored["covariance_type"], COVARIANCE_TYPES),
        amplitudes=one_of("amplitudes", stored["amplitudes"], AMPLITUDE_TYPES),
        background=backgrounds[0],
        min_width=positive_number("min_width", stored["min_width"]),
    )


def _checked_places(values: dict[str, Any], amplitudes: np.ndarray, model: ChannelModel, n_dim: int) -> Any:
    surface = GaussianSurface(np.ones(len(amplitudes)), values["centers"], values["covariances"])
    return checked_surface("channels", surface, model.n_components, n_dim, True)


def _stored(background: Any) -> Any:
    if background is None:
        return None
    kind = next(name for name, one in STORED_BACKGROUNDS.items() if isinstance(background, one))
    return {"kind": kind, **{name: np.asarray(value, float) for name, value in vars(background).items()}}


def _background(stored: Any, n_dim: int) -> Any:
    if stored is None:
        return None
    kind = STORED_BACKGROUNDS[one_of("background", stored["kind"], STORED_BACKGROUNDS)]
    numbers = {name: value for name, value in stored.items() if name != "kind"}
    return checked_background("background", kind(**numbers), n_dim)
