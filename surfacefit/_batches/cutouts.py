"""`fit_cutouts`: boxes cut out of one image around many places, fitted as a batch in the image's coordinates."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._base.checks import check_options, count, finite, real_array
from .._data.data import grid_data
from .._many.batch_result import BatchResult
from .._many.fit_many import fit_many, work_of
from .._many.stack import PerMap, ShiftedAxes
from .chosen_numbers import is_chosen

# Of the distance of samples: coordinates that differ by no more, which is their rounding, are even.
MOST_UNEVEN = 1e-9

# Of the longest axis of the image: samples of a box along an axis, so that a wrong number does not fill the memory.
MOST_OF_IMAGE = 4

# Indices of the image that are told apart: a box around one beyond lies outside whatever it is.
FARTHEST = 2**31

# Arguments of `fit_many` that say how maps lie in an array, which is known of cut-outs.
KNOWN_OF_CUTOUTS = ("ndim", "points")


def fit_cutouts(
    image: Any,
    positions: Any,
    shape: int | Sequence[int],
    n_components: Any = 1,
    *,
    coords: Any = None,
    mask: Any = None,
    sigma: Any = None,
    **options: Any,
) -> BatchResult:
    """Cut boxes out of one image and fit each by a sum of Gaussians of its own, as `fit_many` does.

    Parameters
    ----------
    image : array of shape (n_1, ..., n_d)
        Heights; NaN is ignored.
    positions : array of shape (M, d), or (M,) for d = 1
        Middles of the boxes in the coordinates of the image, which are its indices unless ``coords`` gives others: the
        box is centred on the nearest sample, for an even number of samples on the one after the middle. What of a box
        lies beyond the border is masked; a box that lies there as a whole ends as EMPTY, however far away.
    shape : int, or d of them
        Samples of a box along each axis, at most four times the longest axis of the image.
    n_components : int, or array of shape (M,)
        The number K of components of each box.
    coords : sequence of d arrays, optional
        The coordinates of the image's grid. Default: 0, 1, 2, ...
    mask, sigma : optional
        As for `fit` of the whole image; they are cut as it is.
    options : as for `fit_many`.

    Returns
    -------
    BatchResult
        Of shape (M,); centres and all else in the coordinates of the image.

    Raises
    ------
    ValueError, TypeError
        What cannot be meant, by the name of its argument.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:30, :40]
    >>> spots = [(8, 9), (20, 31)]
    >>> image = sum(3 * np.exp(-0.5 * ((y - v) ** 2 + (x - u) ** 2) / 2) for v, u in spots)
    >>> batch = sf.fit_cutouts(image, [(7, 9), (20, 30)], 9)
    >>> batch.centers[:, 0].round(3).tolist()
    [[8.0, 9.0], [20.0, 31.0]]
    """
    for name in KNOWN_OF_CUTOUTS:
        if name in options:
            raise TypeError(f"`fit_cutouts` has no option `{name}`: cut-outs are boxes of the image's grid")
    check_options("fit_cutouts", options, ["n_components", *_defaults()])
    boxes = _boxes(image, positions, shape, coords, mask, sigma)
    sigmas = sigma if sigma is None or np.ndim(sigma) == 0 else boxes.cut(np.asarray(real_array("sigma", sigma)))
    masked = boxes.masked if mask is None else boxes.masked | boxes.cut(np.asarray(mask, bool))
    masked |= boxes.cut(np.ma.getmaskarray(image))
    given = {"mask": masked if masked.any() else None, "sigma": sigmas, **options}
    axes = boxes.common_axes
    if axes is None or not _are_free_of_places(given):
        return fit_many(boxes.heights, n_components, coords=boxes.coords, **given)
    return _fitted_at_one_place(boxes, axes, {"maps": boxes.heights, "n_components": n_components, **given})


def _are_free_of_places(given: dict[str, Any]) -> bool:
    """Whether options of `fit_many` say nothing of where components are, and ask for one plain batch."""
    options = {**_defaults(), **given}
    named = isinstance(options["init"], str) and options["init"] != "neighbours"
    plain = all(options[name] is None for name in ("bounds", "fixed", "prior", "match", "out"))
    background = options["background"] is None or isinstance(options["background"], str)
    return named and plain and background


def _fitted_at_one_place(boxes: Boxes, axes: tuple[np.ndarray, ...], given: dict[str, Any]) -> BatchResult:
    """The fit of boxes as if all were at one place, which is much faster, moved to where each is."""
    if is_chosen(given["n_components"]):
        return fit_many(coords=boxes.coords, **given)
    work = work_of({**_defaults(), **given, "coords": list(axes)})
    try:
        ends = work.ends(range(len(work.batch.stack)))
    finally:
        work.watch.bar.close()
    shifts = boxes.corners
    ends.surfaces.centers[...] += shifts[:, None]
    stack = replace(work.batch.stack, coords=PerMap(each=ShiftedAxes(axes, shifts)))
    return work.result(ends, replace(work.batch, stack=stack))


def _defaults() -> dict[str, Any]:
    """The options of `fit_many` but for its maps and numbers of components."""
    parameters = inspect.signature(fit_many).parameters.values()
    return {one.name: one.default for one in parameters if one.name not in ("maps", "n_components")}


@dataclass(frozen=True, eq=False)
class Boxes:
    """Indices (M, n) of the samples of each box along each axis, the image and its coordinates."""

    image: np.ndarray
    axes: tuple[np.ndarray, ...]
    indices: tuple[np.ndarray, ...]

    def cut(self, array: np.ndarray) -> np.ndarray:
        """An array of the image's shape, cut: (M, n_1, ..., n_d); beyond the border the nearest value."""
        clipped = (np.clip(index, 0, n - 1) for index, n in zip(self.indices, array.shape, strict=True))
        return array[tuple(self._along(i, index) for i, index in enumerate(clipped))]

    @property
    def heights(self) -> np.ndarray:
        return self.cut(self.image)

    @property
    def masked(self) -> np.ndarray:
        """Which samples of the boxes lie beyond the border."""
        outside = (
            self._along(i, (index < 0) | (index >= n))
            for i, (index, n) in enumerate(zip(self.indices, self.image.shape, strict=True))
        )
        found = np.zeros((len(self.indices[0]), *(index.shape[1] for index in self.indices)), bool)
        for one in outside:
            found |= one
        return found

    @property
    def coords(self) -> list[tuple[np.ndarray, ...]]:
        """The coordinates of each box."""
        along = [_extended(axis, index) for axis, index in zip(self.axes, self.indices, strict=True)]
        return list(zip(*along, strict=True))

    @property
    def corners(self) -> np.ndarray:
        """The coordinates (M, d) of the first sample of each box."""
        first = [_extended(axis, index[:, :1]) for axis, index in zip(self.axes, self.indices, strict=True)]
        return np.concatenate(first, axis=1)

    @property
    def common_axes(self) -> tuple[np.ndarray, ...] | None:
        """The coordinates of a box whose first sample is at 0, where these are the same for all."""
        steps = [np.diff(axis) if len(axis) > 1 else np.ones(1) for axis in self.axes]
        if any(np.ptp(step) > MOST_UNEVEN * step[0] for step in steps):
            return None
        sizes = [index.shape[1] for index in self.indices]
        return tuple(np.arange(n) * step[0] for n, step in zip(sizes, steps, strict=True))

    def _along(self, axis: int, values: np.ndarray) -> np.ndarray:
        """Values (M, n) of the samples along one axis, so that they broadcast to the boxes."""
        shape = [1] * len(self.indices)
        shape[axis] = values.shape[1]
        return values.reshape(len(values), *shape)


def _extended(axis: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Coordinates (M, n) at indices; beyond the border at its last distance."""
    inside = np.clip(index, 0, len(axis) - 1)
    first, last = (axis[1] - axis[0], axis[-1] - axis[-2]) if len(axis) > 1 else (1.0, 1.0)
    beyond = index - inside
    return axis[inside] + beyond * np.where(beyond < 0, first, last)


def _boxes(image: Any, positions: Any, shape: Any, coords: Any, mask: Any, sigma: Any) -> Boxes:
    """The boxes; raises for what is wrong with the image, or with its mask and sigma, as `fit` does."""
    sigmas = sigma if sigma is None or np.ndim(sigma) == 0 or np.shape(sigma) == np.shape(image) else None
    if sigmas is not sigma:
        raise ValueError(
            f"`sigma` must be a number or have the shape of `image` {np.shape(image)}, got {np.shape(sigma)}"
        )
    try:
        data = grid_data(image, coords, mask, sigmas)
    except (ValueError, TypeError) as error:
        raise type(error)(str(error).replace("`heights`", "`image`")) from None
    n_dim = data.heights.ndim
    assert data.axes is not None
    sizes, places = _sizes(shape, data.heights.shape), _places(positions, n_dim)
    middles = np.stack([_indices_at(axis, column) for axis, column in zip(data.axes, places.T, strict=True)], axis=1)
    corners = np.floor(middles + 0.5).astype(int) - np.array(sizes) // 2
    indices = tuple(corners[:, i, None] + np.arange(n) for i, n in enumerate(sizes))
    return Boxes(data.heights, data.axes, indices)


def _sizes(shape: Any, image: tuple[int, ...]) -> tuple[int, ...]:
    n_dim, most = len(image), MOST_OF_IMAGE * max(image)
    sizes = (shape,) * n_dim if np.ndim(shape) == 0 else tuple(shape)
    if isinstance(shape, str) or len(sizes) != n_dim:
        raise ValueError(f"`shape` must be a number of samples, or one for each of the {n_dim} axes, got {shape!r}")
    for one in sizes:
        if count("shape", one) > most:
            raise ValueError(
                f"`shape` must be at most {most}, {MOST_OF_IMAGE} times the longest axis of `image`, got {one}"
            )
    return tuple(map(int, sizes))


def _indices_at(axis: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Indices (M,), not rounded, of places along an axis; beyond the border at its last distance."""
    if len(axis) == 1:
        return np.clip(places - axis[0], -FARTHEST, FARTHEST)
    inside = np.clip(places, axis[0], axis[-1])
    beyond, first, last = places - inside, axis[1] - axis[0], axis[-1] - axis[-2]
    found = np.interp(inside, axis, np.arange(len(axis))) + beyond / np.where(beyond < 0, first, last)
    return np.clip(found, -FARTHEST, FARTHEST)


def _places(positions: Any, n_dim: int) -> np.ndarray:
    middles = np.asarray(real_array("positions", positions), float)
    if np.asarray(positions).dtype == bool:
        raise TypeError("`positions` must be places in `image`, got booleans: give `np.argwhere(positions)`")
    if not middles.size:
        raise ValueError(f"`positions` must hold at least one position, got shape {np.shape(positions)}")
    middles = middles[:, None] if middles.ndim == 1 and n_dim == 1 else middles
    if middles.ndim != 2 or middles.shape[1] != n_dim:
        raise ValueError(f"`positions` must have shape (M, {n_dim}), one row a box, got {np.shape(positions)}")
    return finite("positions", middles)
