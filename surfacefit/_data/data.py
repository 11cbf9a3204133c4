"""Input validation: a user's arrays as checked `SurfaceData`.

A point is used unless its height or sigma is NaN, its sigma is infinite (its weight zero), or it is masked; points left
out are counted. Anything else that could spoil a fit raises here, and the message names the argument, the rule and the
value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .._base.checks import MOST_MAGNITUDE, finite, first_index, one_of, real_array, yes_or_no
from .labels import Labels

# Of the sum of 1 / sigma^2: what the heavy points carry together. The others then hardly count.
HEAVY_SHARE = 0.999


class UnusableValues(ValueError):
    """Heights or standard deviations of which no fit can be made, in arrays that are right otherwise."""


@dataclass(frozen=True, eq=False)
class DataRecord:
    """The fields of `SurfaceData`, in the user's units.

    heights : float array in the user's shape; what it holds where ``used`` is False plays no part.
    used : boolean array of that shape.
    axes : coordinates along each axis, for a grid; None for scattered points.
    points : (N, d) coordinates, for scattered points; None for a grid.
    sigma : standard deviation of each height, in the same shape, or None.
    absolute_sigma : whether ``sigma`` is in the units of the heights, or only relative.
    n_nan, n_masked : how many points are left out because their height or sigma is NaN or their sigma infinite, and for
        the mask.
    falling : the axes of the user's array along which coordinates fall; here they rise, and the arrays are turned.
    labels : names, units and the way back to what the heights came as; None for plain arrays.
    """

    heights: np.ndarray
    used: np.ndarray
    axes: tuple[np.ndarray, ...] | None
    points: np.ndarray | None
    sigma: np.ndarray | None
    absolute_sigma: bool
    n_nan: int
    n_masked: int
    falling: tuple[int, ...] = ()
    labels: Labels | None = None


class SurfaceData(DataRecord):
    """Heights with their points, and what follows from them."""

    def as_given(self, values: np.ndarray, name: str) -> Any:
        """Values in the shape of ``heights`` as the user's heights came: the same order along axes, the same kind of
        array. ``name`` says what they are: "model", "residual" or "error".
        """
        back = None if self.labels is None else self.labels.back
        return self.turned(values) if back is None else back.array(self.turned(values), name)

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Values (..., *shape) from the order of ``heights`` to that of the user's array, or back."""
        if not self.falling:
            return values
        return np.flip(values, tuple(axis - self.heights.ndim for axis in self.falling))

    @property
    def n_dim(self) -> int:
        return int(self.points.shape[1]) if self.points is not None else self.heights.ndim

    @property
    def n_used(self) -> int:
        return int(np.count_nonzero(self.used))

    @property
    def all_points(self) -> np.ndarray:
        """Coordinates (N, d) of every point, used or not, in the order of ``heights.ravel()``."""
        if self.points is not None:
            return self.points
        assert self.axes is not None
        return lattice(self.axes)

    @property
    def used_points(self) -> np.ndarray:
        """(N_used, d); those of a grid are made anew, as they would take more memory than the heights."""
        return self.all_points if self.used.all() else self.all_points[self.used.ravel()]

    @property
    def used_heights(self) -> np.ndarray:
        """(N_used,)."""
        return self.heights[self.used]

    @property
    def weights(self) -> np.ndarray:
        """1 / sigma (N_used,), or ones; not to be written to."""
        if self.sigma is None:
            return np.broadcast_to(1.0, self.n_used)
        return 1 / self.sigma[self.used]

    @cached_property
    def spacing(self) -> np.ndarray:
        """Distance (d,) of neighbouring samples along each axis; for scattered points see `scattered_spacing`."""
        if self.axes is not None:
            steps = np.array([np.median(np.diff(axis)) if len(axis) > 1 else 0.0 for axis in self.axes])
        else:
            from .spacing import scattered_spacing  # needs SciPy, which reading a file for the command line does not

            steps = scattered_spacing(self.used_points)
        return np.where(steps > 0, steps, steps.max() if steps.max() > 0 else 1.0)


def lattice(axes: Sequence[np.ndarray]) -> np.ndarray:
    """The points (N, d) of a grid with some axes."""
    points = np.empty((*(len(axis) for axis in axes), len(axes)))
    for i, axis in enumerate(np.meshgrid(*axes, indexing="ij", sparse=True)):
        points[..., i] = axis
    return points.reshape(-1, len(axes))


def n_heavy(data: SurfaceData) -> int:
    """The least number of used points that carry 99.9 % of the weight, the sum of 1 / sigma^2."""
    squares = np.sort((data.weights / data.weights.max()) ** 2)[::-1]
    reached = np.cumsum(squares)
    return 1 + int(np.searchsorted(reached, HEAVY_SHARE * reached[-1]))


def grid_data(
    heights: Any, coords: Any = None, mask: Any = None, sigma: Any = None, absolute_sigma: bool = False
) -> SurfaceData:
    """Heights on a grid of any dimension, with one coordinate array an axis that rises or falls (default 0, 1, ...)."""
    array, mask = _heights_and_mask(heights, mask)
    axes = grid_axes(coords, array.shape)
    falling = tuple(i for i, axis in enumerate(axes) if len(axis) > 1 and axis[0] > axis[-1])
    if falling:
        axes = tuple(axis[::-1] if i in falling else axis for i, axis in enumerate(axes))
        sigma = np.flip(sigma, falling) if np.shape(sigma) == array.shape else sigma
        array, mask = np.flip(array, falling), np.flip(mask, falling)
    found = _surface_data(array, mask, sigma, absolute_sigma, axes=axes)
    return replace(found, falling=falling) if falling else found


def point_data(
    points: Any, heights: Any, mask: Any = None, sigma: Any = None, absolute_sigma: bool = False
) -> SurfaceData:
    """Heights (N,) at scattered points (N, d)."""
    array, mask = _heights_and_mask(heights, mask)
    if array.ndim != 1:
        raise ValueError(f"`heights` of scattered points must have shape (N,), got {array.shape}: use `fit` for a grid")
    positions = np.asarray(real_array("points", points), np.float64)
    if positions.ndim == 1:
        positions = positions[:, None]
    if positions.ndim != 2 or positions.shape[1] == 0:
        raise ValueError(f"`points` must have shape (N, d), one row a point, got {np.shape(points)}")
    if len(positions) != len(array):
        raise ValueError(f"`points` and `heights` must have the same length, got {len(positions)} and {len(array)}")
    return _surface_data(array, mask, sigma, absolute_sigma, points=finite("points", positions))


def fit_dtype(dtype: Any, heights: np.ndarray) -> np.dtype:
    """The precision of a fit: as asked, else that of the heights as `real_array` has made them."""
    if dtype is None:
        return np.dtype(heights.dtype)
    try:
        name = np.dtype(dtype).name
    except (TypeError, ValueError):
        name = str(dtype)
    return np.dtype(one_of("dtype", name, ["float32", "float64"]))


def _heights_and_mask(heights: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    array = real_array("heights", np.ma.getdata(heights) if isinstance(heights, np.ma.MaskedArray) else heights)
    if array.ndim == 0:
        raise ValueError(f"`heights` must be an array with at least one axis, got the single value {array}")
    if array.size == 0:
        raise ValueError(f"`heights` must not be empty, got shape {array.shape}")
    masked = np.ma.getmaskarray(heights) if isinstance(heights, np.ma.MaskedArray) else np.zeros(array.shape, bool)
    return array, masked if mask is None else masked | _mask(mask, array.shape)


def _mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(mask)
    except ValueError as error:
        raise ValueError(f"`mask` must be a rectangular array of booleans: {error}") from None
    if array.shape != shape:
        raise ValueError(f"`mask` must have the shape of `heights` {shape}, got {array.shape}")
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"`mask` must be boolean (True = ignore), got dtype {array.dtype} with other values than 0 and 1"
        )
    return array.astype(bool)


def grid_axes(coords: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The checked coordinates of each axis of a grid, rising or falling; 0, 1, ... where none are given."""
    if coords is None:
        return tuple(np.arange(n, dtype=float) for n in shape)
    if len(shape) == 1 and np.ndim(coords) == 1 and not isinstance(coords, tuple):
        coords = (coords,)
    if (
        isinstance(coords, str)
        or not isinstance(coords, Sequence | np.ndarray)
        or (isinstance(coords, np.ndarray) and not coords.ndim)
    ):
        raise TypeError(
            f"`coords` must be a sequence of {len(shape)} one-dimensional arrays, one an axis, got"
            f" {type(coords).__name__}"
        )
    if len(coords) != len(shape):
        raise ValueError(
            f"`coords` must hold one array for each of the {len(shape)} axes of `heights`, got {len(coords)}"
        )
    return tuple(_axis(f"coords[{i}]", axis, n) for i, (axis, n) in enumerate(zip(coords, shape, strict=True)))


def _axis(name: str, values: Any, length: int) -> np.ndarray:
    axis = np.asarray(real_array(name, values), np.float64)
    if axis.shape != (length,):
        raise ValueError(f"`{name}` must have shape ({length},) to match `heights`, got {axis.shape}")
    finite(name, axis)
    steps = np.diff(axis)
    wrong = steps >= 0 if length > 1 and axis[0] > axis[-1] else steps <= 0
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"`{name}` must be strictly increasing or strictly decreasing, got {axis[i]:g} then {axis[i + 1]:g} at"
            f" index {i}"
        )
    return axis


def _surface_data(
    heights: np.ndarray,
    masked: np.ndarray,
    sigma: Any,
    absolute_sigma: bool,
    axes: tuple[np.ndarray, ...] | None = None,
    points: np.ndarray | None = None,
) -> SurfaceData:
    infinite = np.isinf(heights)
    infinite &= ~masked
    if infinite.any():
        where = f"{heights[infinite][0]} at index {first_index(infinite)}"
        raise UnusableValues(f"`heights` must not be infinite, got {where}: mask such points, or make them NaN")
    nan = np.isnan(heights)
    nan |= _unknown_sigma(sigma, heights.shape)
    nan &= ~masked
    used = ~(nan | masked)
    if not used.any():
        raise ValueError(
            f"no point is left to fit: of {heights.size} `heights`, {nan.sum()} are NaN (or their `sigma` is NaN or"
            f" infinite) and {masked.sum()} are masked"
        )
    _check_size(heights, used)
    _check_extents(*(("coords", axes) if points is None else ("points", points[used.ravel()].T)))
    deviations = None if sigma is None else _sigma(sigma, heights.shape, used)
    if deviations is not None:
        _check_weighted(heights[used], deviations[used])
    known = yes_or_no("absolute_sigma", absolute_sigma)
    if known and sigma is None:
        raise ValueError("`absolute_sigma` says what `sigma` means, but `sigma` is None: give both or neither")
    return SurfaceData(heights, used, axes, points, deviations, known, int(nan.sum()), int(masked.sum()))


def _check_size(heights: np.ndarray, used: np.ndarray) -> None:
    """Heights that are ``used``, if they are not all zero, of such a size that their squares are numbers."""
    largest = max(float(heights.max(where=used, initial=-np.inf)), -float(heights.min(where=used, initial=np.inf)))
    if largest and not 1 / MOST_MAGNITUDE <= largest <= MOST_MAGNITUDE:
        raise UnusableValues(
            f"`heights` must be of a size from 1/{MOST_MAGNITUDE:g} to {MOST_MAGNITUDE:g}, so that squares are numbers,"
            f" got {largest:g}: rescale"
        )


def _check_extents(name: str, columns: Any) -> None:
    """Extents of axes, or of columns of coordinates, so moderate that squared widths and volumes are numbers."""
    extents = [extent for column in columns if (extent := float(np.ptp(column))) > 0]
    powers = np.log10(extents) if len(extents) else np.zeros(1)
    if max(np.abs(powers).max(), abs(powers.sum())) > np.log10(MOST_MAGNITUDE):
        raise ValueError(
            f"`{name}` must spread over 1/{MOST_MAGNITUDE:g} to {MOST_MAGNITUDE:g}, all axes multiplied too, got"
            f" {' x '.join(f'{extent:g}' for extent in extents)}: rescale them"
        )


def _check_weighted(heights: np.ndarray, sigma: np.ndarray) -> None:
    known = np.isfinite(sigma)
    largest = np.abs(heights[known].astype(float) / MOST_MAGNITUDE / sigma[known]).max(initial=0.0)
    if largest > 1 or (known & ((sigma > MOST_MAGNITUDE) | (sigma < 1 / MOST_MAGNITUDE))).any():
        raise UnusableValues(
            f"`sigma` must be between 1/{MOST_MAGNITUDE:g} and {MOST_MAGNITUDE:g}, and so must `heights` / `sigma`, so"
            f" that squares are numbers, got {sigma[known].min():g} to {sigma[known].max():g}: rescale"
        )


def _unknown_sigma(sigma: Any, shape: tuple[int, ...]) -> np.ndarray | bool:
    """Where ``sigma`` is NaN or infinite: such a point is left out like one whose height is NaN."""
    if sigma is None:
        return False
    array = real_array("sigma", sigma)
    return np.isnan(array) | (array == np.inf) if array.shape == shape else False


def _sigma(sigma: Any, shape: tuple[int, ...], used: np.ndarray) -> np.ndarray:
    array = np.asarray(real_array("sigma", sigma), np.float64)
    if array.ndim == 0:
        array = np.full(shape, float(array))
    if array.shape != shape:
        raise ValueError(f"`sigma` must be a number or have the shape of `heights` {shape}, got {array.shape}")
    wrong = used & ~((array > 0) & np.isfinite(array))
    if wrong.any():
        raise UnusableValues(
            f"`sigma` must be positive and finite where heights are used, got {array[wrong][0]} at index"
            f" {first_index(wrong)}"
        )
    return array
