r"""Images of components along periodic axes: the sum over shifts by whole periods.

Along an axis with period P a component is the wrapped Gaussian: the sum over whole n of a Gaussian with its centre at
c + n P, which is smooth everywhere. (The nearest image alone has a kink half a period from the centre.) All images have
one covariance, so that the columns of the Jacobian are sums over images, too: J_k = (sum_n g(u_n) Phi(u_n)) B_k.

From the nearest image at a distance of delta, at most P / 2, the others follow at |P - delta|, P + delta, 2 P - delta,
... Those that are beyond IMAGE_REACH_WIDTHS deviations of all components are left out; each that is left out is below
exp(-7.4^2 / 2) = 1.3e-12 of its height. Components are kept narrow enough that few are needed
(`WIDEST_PERIOD_SHARE`).

On the device images are summed in a loop (`sum_over_images`). On the host they are components of their own, those that
reach the points (`HostImages`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.devices import namespace

# Deviations along an axis beyond which an image is left out: below 1.3e-12 of its height.
IMAGE_REACH_WIDTHS = 7.4
# Largest entry of a Cholesky factor's row, in periods of that axis. A wrapped Gaussian of this deviation is a constant
# and one cosine, to 0.14 % of the cosine; a wider one is the same with another amplitude, so that nothing is lost.
WIDEST_PERIOD_SHARE = 1 / 3

Periods = tuple[Any, ...]
"""A period for each axis, None for an open one."""


class Images(NamedTuple):
    """What engines know of periodic axes: the ``periods``, and which of `image_numbers` are ``needed`` (S,)."""

    periods: Periods
    needed: Any


def images_of(periods: Periods, factors: Any, active: Any) -> Images:
    """The images of those components (K,) that are active, with Cholesky factors (K, d, d)."""
    xp = namespace(factors)
    variances = xp.sum(factors**2, axis=2)
    near = _least_distances(tuple(period is not None for period in periods))
    lengths = xp.stack([xp.asarray(0.0 if p is None else p, factors.dtype) for p in periods])
    squares = (near.astype(factors.dtype) * lengths) ** 2
    reached = xp.all(squares[:, None] <= IMAGE_REACH_WIDTHS**2 * variances, axis=2)
    return Images(periods, xp.any(reached & active, axis=1))


def sum_over_images(images: Images, offsets: list[Array], term: Callable[[list[Array]], Array]) -> Array:
    """The sum over images of ``term``, a function of the offsets x - c, d arrays of one shape."""
    near = [o if p is None else o - p * jnp.round(o / p) for o, p in zip(offsets, images.periods, strict=True)]
    # The second nearest image is on the side where the point is.
    steps = [None if p is None else jnp.where(o < 0, -p, p) for o, p in zip(near, images.periods, strict=True)]
    numbers = image_numbers(tuple(period is not None for period in images.periods))

    def add(total: Array, image: tuple[Array, Array]) -> tuple[Array, None]:
        number, needed = image

        def with_image(total: Array) -> Array:
            moved = [
                o if step is None else o - number[i] * step for i, (o, step) in enumerate(zip(near, steps, strict=True))
            ]
            return total + term(moved)

        return jax.lax.cond(needed, with_image, lambda total: total, total), None

    others = (jnp.asarray(numbers[1:], near[0].dtype), images.needed[1:])
    return jax.lax.scan(add, term(near), others)[0]


@lru_cache(maxsize=32)
def image_numbers(periodic: tuple[bool, ...]) -> np.ndarray:
    """How many steps of each axis (S, d) an image is from the nearest one, towards the point: 1 for the second nearest,
    -1 for the third; 0 on open axes. The nearest image is first, and all that components may need are there.
    """
    most = math.ceil(IMAGE_REACH_WIDTHS * WIDEST_PERIOD_SHARE * math.sqrt(len(periodic)) - 0.5)
    along = [0, *(side * n for n in range(1, most + 1) for side in (1, -1))]
    axes = np.meshgrid(*(along if one else [0] for one in periodic), indexing="ij")
    numbers = np.stack([axis.ravel() for axis in axes], axis=1)
    return numbers[np.argsort(np.sum(_distances(numbers) ** 2, axis=1), kind="stable")]


def _least_distances(periodic: tuple[bool, ...]) -> np.ndarray:
    """How near (S, d) these images can come to a point, in periods."""
    return _distances(image_numbers(periodic))


def _distances(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 0, numbers - 0.5, -numbers)


def nearest_offsets(offsets: Any, periods: Periods | None) -> Any:
    """Offsets (..., d) to the nearest images."""
    if periods is None:
        return offsets
    xp = namespace(offsets)
    columns = [
        offsets[..., i] if p is None else offsets[..., i] - p * xp.round(offsets[..., i] / p)
        for i, p in enumerate(periods)
    ]
    return xp.stack(columns, axis=-1)


def wrapped(points: Any, low: Any, periods: Periods | None) -> Any:
    """Points (..., d) moved by whole periods to between ``low`` (d,) and a period above it."""
    if periods is None:
        return points
    xp = namespace(points)
    columns = []
    for i, period in enumerate(periods):
        column = points[..., i]
        if period is not None:
            moved = column - period * xp.floor((column - low[i]) / period)
            column = xp.where(moved >= low[i] + period, low[i] + xp.zeros_like(moved), moved)  # by rounding
        columns.append(column)
    return xp.stack(columns, axis=-1)


class HostImages(NamedTuple):
    """The images that reach the points of a period: their ``owners`` (M,), rising, and ``centers`` (M, d)."""

    owners: np.ndarray
    centers: np.ndarray

    @classmethod
    def of(
        cls, centers: np.ndarray, deviations: np.ndarray, periods: Periods, low: np.ndarray, high: np.ndarray
    ) -> HostImages:
        """Those of centres and deviations along the axes (K, d) that reach a box with corners (d,)."""
        images = cls(np.arange(len(centers)), np.asarray(centers, float))
        for axis, period in enumerate(periods):
            if period is not None:
                images = images._along(axis, float(period), deviations[:, axis], low[axis], high[axis])
        return images

    def _along(self, axis: int, period: float, deviations: np.ndarray, low: float, high: float) -> HostImages:
        reach, at = IMAGE_REACH_WIDTHS * deviations[self.owners], self.centers[:, axis]
        first = np.ceil((low - reach - at) / period).astype(int)
        counts = np.maximum(np.floor((high + reach - at) / period).astype(int) - first + 1, 0)
        image = np.repeat(np.arange(len(at)), counts)
        shifts = first[image] + np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
        centers = self.centers[image].copy()
        centers[:, axis] += period * shifts
        return HostImages(self.owners[image], centers)

    def summed(self, values: np.ndarray, count: int) -> np.ndarray:
        """Values (M, ...) of images summed to those (count, ...) of their owners."""
        total = np.zeros((count, *values.shape[1:]))
        np.add.at(total, self.owners, values)
        return total


def single_images(components: Any) -> list[Any]:
    """Components without images whose sum is that of components (a record with ``centers``, ``factors`` and
    ``images``), for points within a period of the middle of the coordinates.
    """
    if components.images is None:
        return [components]
    periods = components.images.periods
    centers = nearest_offsets(components.centers, periods)
    most = math.ceil(IMAGE_REACH_WIDTHS * WIDEST_PERIOD_SHARE * math.sqrt(len(periods)) * math.sqrt(2) + 1)
    shifts = product(*([0] if period is None else range(-most, most + 1) for period in periods))
    lengths = jnp.stack([jnp.asarray(0.0 if p is None else p, centers.dtype) for p in periods])
    return [components._replace(centers=centers + np.array(one) * lengths, images=None) for one in shifts]
