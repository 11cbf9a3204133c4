"""Which images of components may be needed, and how near each can come to a point.

From the nearest image at a distance of delta, at most P / 2, the others follow at |P - delta|, P + delta, 2 P - delta,
... Those that are beyond IMAGE_REACH_WIDTHS deviations of all components are left out; each that is left out is below
exp(-7.4^2 / 2) = 1.3e-12 of its height. Components are kept narrow enough that few are needed
(`WIDEST_PERIOD_SHARE`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# Deviations along an axis beyond which an image is left out: below 1.3e-12 of its height.
IMAGE_REACH_WIDTHS = 7.4
# Largest entry of a Cholesky factor's row, in periods of that axis. A wrapped Gaussian of this deviation is a constant
# and one cosine, to 0.14 % of the cosine; a wider one is the same with another amplitude, so that nothing is lost.
WIDEST_PERIOD_SHARE = 1 / 3


@lru_cache(maxsize=32)
def image_numbers(periodic: tuple[bool, ...], most: int | None = None) -> np.ndarray:
    """How many steps of each axis (S, d) an image is from the nearest one, towards the point: 1 for the second nearest,
    -1 for the third; 0 on open axes. The nearest image is first, and all that components of a fit may need are there,
    or ``most`` on either side.
    """
    most = most_images(len(periodic)) if most is None else most
    along = [0, *(side * n for n in range(1, most + 1) for side in (1, -1))]
    axes = np.meshgrid(*(along if one else [0] for one in periodic), indexing="ij")
    numbers = np.stack([axis.ravel() for axis in axes], axis=1)
    return numbers[np.argsort(np.sum(_distances(numbers) ** 2, axis=1), kind="stable")]


def least_distances(periodic: tuple[bool, ...], most: int | None = None) -> np.ndarray:
    """How near (S, d) these images can come to a point, in periods."""
    return _distances(image_numbers(periodic, most))


def most_images(n_dim: int) -> int:
    """Images on either side of the nearest one that a component as wide as may be needs along an axis."""
    return images_for(WIDEST_PERIOD_SHARE * math.sqrt(n_dim))


def images_for(share: float) -> int:
    """Images on either side of the nearest one that a component whose deviation is this share of a period needs."""
    return math.ceil(IMAGE_REACH_WIDTHS * share - 0.5)


def largest_share(most: int) -> float:
    """The deviation, in periods, up to which ``most`` images on either side are enough."""
    return (most + 0.5) / IMAGE_REACH_WIDTHS


def _distances(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 0, numbers - 0.5, -numbers)
