"""`fit_cutouts`: boxes cut out of one image around many places, fitted as a batch in the image's coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import count, finite, real_array
from .._data.data import grid_data
from .._many.batch_result import BatchResult
from .._many.fit_many import fit_many

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
        Middles of the boxes as indices of the image, which need not be whole: the box is centred on the nearest
        sample, for an even number of samples on the one after the middle. What of a box lies beyond the border is
        masked; a box that lies there as a whole ends as EMPTY.
    shape : int, or d of them
        Samples of a box along each axis.
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
    boxes = _boxes(image, positions, shape, coords, mask, sigma)
    sigmas = sigma if sigma is None or np.ndim(sigma) == 0 else boxes.cut(np.asarray(real_array("sigma", sigma)))
    masked = boxes.masked if mask is None else boxes.masked | boxes.cut(np.asarray(mask, bool))
    masked |= boxes.cut(np.ma.getmaskarray(image))
    return fit_many(boxes.heights, n_components, coords=boxes.coords, mask=masked, sigma=sigmas, **options)


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
        found = np.zeros(self.cut(self.image).shape, bool)
        for one in outside:
            found |= one
        return found

    @property
    def coords(self) -> list[tuple[np.ndarray, ...]]:
        """The coordinates of each box."""
        along = [_extended(axis, index) for axis, index in zip(self.axes, self.indices, strict=True)]
        return list(zip(*along, strict=True))

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
    sizes, middles = _sizes(shape, n_dim), _middles(positions, n_dim)
    corners = np.floor(middles + 0.5).astype(int) - np.array(sizes) // 2
    indices = tuple(corners[:, i, None] + np.arange(n) for i, n in enumerate(sizes))
    return Boxes(data.heights, data.axes, indices)


def _sizes(shape: Any, n_dim: int) -> tuple[int, ...]:
    sizes = (shape,) * n_dim if np.ndim(shape) == 0 else tuple(shape)
    if isinstance(shape, str) or len(sizes) != n_dim:
        raise ValueError(f"`shape` must be a number of samples, or one for each of the {n_dim} axes, got {shape!r}")
    return tuple(count("shape", one) for one in sizes)


def _middles(positions: Any, n_dim: int) -> np.ndarray:
    middles = np.asarray(real_array("positions", positions), float)
    middles = middles[:, None] if middles.ndim == 1 and n_dim == 1 else middles
    if middles.ndim != 2 or middles.shape[1] != n_dim or not len(middles):
        raise ValueError(f"`positions` must have shape (M, {n_dim}), one row a box, got {np.shape(positions)}")
    far = np.abs(finite("positions", middles)) > np.iinfo(np.int32).max
    if far.any():
        raise ValueError(f"`positions` are indices of `image`, got {middles[far][0]:g}")
    return middles
