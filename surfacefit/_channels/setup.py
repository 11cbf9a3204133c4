"""From checked maps to a problem on the device: units, weights, parameters and the engine.

Points have one scaling; each channel has a height scale of its own, so that all amplitudes are of order one. Weights
make up for it: a residual counts as in the user's units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from .._base.memory import check_dense, dense_need, memory_limit
from .._base.precision import near_device, on_device, on_host
from .._engines.engines import Dense, EngineChoice
from .._engines.jacobian import chunk_numbers
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import LOW_QUANTILE, MIDDLE_QUANTILE, background_start
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import n_monomials
from .._model.scaling import Scaling, scaling_of
from .._problem.internal_data import InternalData, even_grid, tiling_of
from .._problem.planning import TilePlanner
from .._problem.problem_setup import TooFewPoints
from .maps import ChannelMaps
from .parameters import ChannelParameterization
from .problem import ChannelProblem


@dataclass(frozen=True)
class ChannelModel:
    """What is fitted to the channels."""

    n_components: int
    covariance_type: str = "full"
    amplitudes: str = "positive"
    background: Any = "constant"
    min_width: float = 0.25

    @property
    def signed(self) -> bool:
        """Whether amplitudes may be negative."""
        return AMPLITUDE_TYPES[self.amplitudes].signed


@dataclass(frozen=True, eq=False)
class PreparedChannels:
    """Maps and problem side by side, with the units of each channel; ``unit`` is a weighted residual of one."""

    maps: ChannelMaps
    model: ChannelModel
    scalings: tuple[Scaling, ...]
    problem: ChannelProblem
    backgrounds: tuple[Any, ...]
    unit: float
    planner: TilePlanner | None = None

    @property
    def parts(self) -> ChannelParameterization:
        """The parameterisation on the device."""
        parts = self.problem.parameterization
        assert isinstance(parts, ChannelParameterization)
        return parts

    @cached_property
    def host(self) -> ChannelParameterization:
        """The parameterisation as NumPy arrays in float64."""
        return _in_double(on_host(self.parts))

    @property
    def height_scales(self) -> np.ndarray:
        """(C,)."""
        return np.array([float(scaling.height_scale) for scaling in self.scalings])

    def packed(self, amplitudes: np.ndarray, centers: np.ndarray, covariances: np.ndarray, backgrounds: Any) -> Any:
        """Parameters (P,) of numbers in the user's units, in the precision of the fit."""
        scale = np.asarray(self.scalings[0].point_scale)
        inner = [b.to_internal(s) for b, s in zip(backgrounds, self.scalings, strict=True)]
        params = self.host.pack_channels(
            amplitudes / self.height_scales,
            self.scalings[0].points(centers),
            covariances / (scale[:, None] * scale[None, :]),
            inner,
        )
        return on_device(params, np.dtype(self.problem.points.dtype))


def channel_setup(
    maps: ChannelMaps, model: ChannelModel, dtype: np.dtype, engine: EngineChoice, backgrounds: Any = None
) -> PreparedChannels:
    """The problem of fitting a model to maps. Raises `TooFewPoints` and `MemoryShort`."""
    backgrounds = tuple(_background(one, model) for one in maps.channels) if backgrounds is None else backgrounds
    points = maps.together.used_points
    scalings = tuple(
        scaling_of(
            points,
            one.used_heights.astype(float),
            shift_heights=background.shifts_heights,
            isotropic=model.covariance_type == "spherical",
        )
        for one, background in zip(maps.channels, backgrounds, strict=True)
    )
    weights = np.stack([s.height_scale * maps.by_point(c, maps.channels[c].weights) for c, s in enumerate(scalings)])
    unit = float(np.sqrt(np.sum(weights**2) / maps.n_used))
    parts = _parameterization(maps, model, scalings, backgrounds, dtype)
    _check_enough_points(maps, parts)
    heights = np.stack(
        [maps.by_point(c, s.heights(maps.channels[c].used_heights.astype(float))) for c, s in enumerate(scalings)]
    )
    inner = InternalData(scalings[0].points(points), heights, weights / unit)
    importance = near_device((weights.max(axis=1) / unit) ** 2, dtype)
    planner = _planner(maps, parts, scalings[0], inner, dtype, engine)
    if planner is not None:
        inner = _tiled(inner, planner)
    on_points, on_heights, with_weights = on_device(tuple(np.asarray(array, dtype) for array in inner), dtype)
    known = near_device(1 / unit**2, dtype) if maps.absolute_sigma else None
    problem = ChannelProblem(
        points=on_points,
        heights=on_heights,
        weights=with_weights,
        parameterization=parts,
        variance=known,
        importance=importance,
    )
    return PreparedChannels(maps, model, scalings, problem, backgrounds, unit, planner)


def _planner(
    maps: ChannelMaps,
    parts: ChannelParameterization,
    scaling: Scaling,
    inner: InternalData,
    dtype: np.dtype,
    engine: EngineChoice,
) -> TilePlanner | None:
    """The planner of the tiled engine, or None for the dense one, which then fits into memory."""
    data, limit, n_points = maps.together, memory_limit(engine.max_memory), len(inner.points) * maps.n_channels
    picked = engine.picked(n_points, parts.n_components, parts.n_parameters)
    if isinstance(picked, Dense):
        numbers = chunk_numbers(n_points, parts.n_components * n_monomials(parts.n_dim))
        need = dense_need(n_points, parts.n_dim, parts.n_parameters, numbers, dtype.itemsize)
        check_dense(need, n_points, parts.n_parameters, limit)
        return None
    cutoff = picked.cutoff if picked.cutoff >= np.finfo(dtype).tiny else 0.0
    grid = even_grid(data, scaling) if maps.are_even and picked.normal != "products" else None
    plain = InternalData(inner.points, inner.heights[0], inner.weights[0])
    return TilePlanner(tiling_of(data, plain, picked.tile_size), grid, float(dtype.type(cutoff)), limit)


def _tiled(inner: InternalData, planner: TilePlanner) -> InternalData:
    """In the order of the tiles, with weight zero at places that hold no point."""
    tiling = planner.tiling
    heights, weights = (np.stack([tiling.spread(row) for row in array]) for array in (inner.heights, inner.weights))
    weights[:, ~tiling.filled.ravel()] = 0
    return InternalData(tiling.spread(inner.points), heights, weights)


def _background(data: Any, model: ChannelModel) -> Any:
    level = MIDDLE_QUANTILE if model.signed else LOW_QUANTILE
    return background_start(
        model.background, data.used_points, data.used_heights.astype(np.float64), level, data.weights
    )


def _parameterization(
    maps: ChannelMaps, model: ChannelModel, scalings: tuple[Scaling, ...], backgrounds: Any, dtype: np.dtype
) -> ChannelParameterization:
    floor = model.min_width * maps.together.spacing / scalings[0].point_scale
    inner = tuple(b.to_internal(s) for b, s in zip(backgrounds, scalings, strict=True))
    floor, inner, n_active = near_device((floor, inner, model.n_components), dtype)
    return ChannelParameterization(
        floor=floor,
        background=inner[0],
        n_active=n_active,
        covariance=COVARIANCE_TYPES[model.covariance_type],
        n_components=model.n_components,
        amplitude=AMPLITUDE_TYPES[model.amplitudes],
        backgrounds=inner,
    )


def _check_enough_points(maps: ChannelMaps, parts: ChannelParameterization) -> None:
    if parts.n_parameters > maps.n_used:
        most = max(0, (maps.n_used - parts.layout.n_border) // parts.layout.block_size)
        raise TooFewPoints(
            f"`n_components`={parts.n_components} means {parts.n_parameters} parameters, more than the {maps.n_used}"
            f" heights of all channels: at most n_components={most} fit these maps"
        )


def _in_double(parts: ChannelParameterization) -> ChannelParameterization:
    numbers: ChannelParameterization = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parts)
    return numbers
