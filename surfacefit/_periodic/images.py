"""The sum over images of components on the device, in a loop over those that some component needs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .image_numbers import IMAGE_REACH_WIDTHS, image_numbers, least_distances, most_images
from .nearest import Periods


class Images(NamedTuple):
    """What engines know of periodic axes: the ``periods``, and which of `image_numbers` are ``needed`` (S,)."""

    periods: Periods
    needed: Any


def images_of(xp: Any, periods: Periods, factors: Any, active: Any, most: int | None = None) -> Images:
    """The images of those components (K,) that are active, with Cholesky factors (K, d, d), arrays of ``xp``; as many
    as those of a fit may need, or ``most`` on either side.
    """
    variances = xp.sum(factors**2, axis=2)
    near = least_distances(_periodic(periods), most)
    squares = (near.astype(factors.dtype) * _lengths(xp, periods, factors.dtype)) ** 2
    reached = xp.all(squares[:, None] <= IMAGE_REACH_WIDTHS**2 * variances, axis=2)
    return Images(periods, xp.any(reached & active, axis=1))


def sum_over_images(
    images: Images, offsets: list[Array], term: Callable[[list[Array]], Array], most: int | None = None
) -> Array:
    """The sum over images of ``term``, a function of the offsets x - c, d arrays of one shape; ``most`` as they have
    been chosen with.
    """
    near = [o if p is None else o - p * jnp.round(o / p) for o, p in zip(offsets, images.periods, strict=True)]
    # The second nearest image is on the side where the point is.
    steps = [None if p is None else jnp.where(o < 0, -p, p) for o, p in zip(near, images.periods, strict=True)]
    numbers = image_numbers(_periodic(images.periods), most)

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


def sum_of_single_images(components: Any, term: Callable[[Any], Array]) -> Array:
    """The sum over images of ``term``, a function of components without images, for points within a period of the
    middle of the coordinates; components are a record with ``centers``, ``factors`` and ``images``.
    """
    if components.images is None:
        return term(components)
    periods, plain, columns = components.images.periods, components._replace(images=None), []
    for axis, period in enumerate(periods):
        column = components.centers[:, axis]
        columns.append(column if period is None else column - period * jnp.round(column / period))
    centers, lengths = jnp.stack(columns, axis=1), _lengths(jnp, periods, components.centers.dtype)
    ends = jnp.where(jnp.asarray(_periodic(periods)), lengths, jnp.inf)
    reach = ends + IMAGE_REACH_WIDTHS * jnp.sqrt(jnp.sum(components.factors**2, axis=2))
    most = most_images(len(periods)) + 2  # as wide as may be, from one end of two periods to the other
    shifts = np.array(list(product(*([0] if period is None else range(-most, most + 1) for period in periods))))

    def add(total: Array, shift: Array) -> tuple[Array, None]:
        moved = centers + shift * lengths
        needed = jnp.any(jnp.all(jnp.abs(moved) <= reach, axis=1))
        added = jax.lax.cond(
            needed, lambda total: total + term(plain._replace(centers=moved)), lambda total: total, total
        )
        return added, None

    shape = jax.eval_shape(lambda: term(plain))
    return jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), jnp.asarray(shifts, centers.dtype))[0]


def _lengths(xp: Any, periods: Periods, dtype: Any) -> Any:
    """Periods (d,) as an array, 0 for open axes."""
    return xp.stack([xp.asarray(0.0 if p is None else p, dtype) for p in periods])


def _periodic(periods: Periods) -> tuple[bool, ...]:
    return tuple(period is not None for period in periods)
