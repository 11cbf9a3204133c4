r"""Heights as means over pixels: a weighted sum of the surface at nodes within each pixel.

A detector gives the mean of f over a pixel, not f at its centre. With Gauss-Legendre nodes d_m and shares s_m, which
add up to 1, the mean is sum_m s_m f(x + d_m). It is linear in f, so that the same sum over a component's columns gives
the derivatives exactly: the mean of g Phi(u) times the matrix B of the chain rule. Closed forms by error functions
exist for axes along the coordinates only; nodes serve every shape, background and loss.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import erf
from typing import Any, NamedTuple

import numpy as np

# Of an amplitude: error of a pixel's mean, at the least width and the worst place. Five nodes an axis at a quarter of a
# pixel, two from one pixel on.
PIXEL_ERROR = 1e-4
# Nodes an axis at most: enough for widths of a tenth of a pixel; at 0.07 pixels the error is 1e-3, at 0.05 1e-2.
MOST_NODES = 12
# Of the step of an axis: differences of steps that are rounding of coordinates.
UNEVEN_STEP = 1e-6
# Places of a centre at which the error is looked at, from the middle of a pixel to two pixels away.
PLACES = 81


class PixelNodes(NamedTuple):
    """Offsets (M, d) of nodes from a pixel's centre, and their shares (M,), which add up to 1."""

    offsets: Any
    shares: Any


def pixel_nodes(spacing: np.ndarray, least_width: float) -> PixelNodes:
    """Nodes of pixels with sides ``spacing`` (d,), for components no narrower than ``least_width`` pixels."""
    places, shares = np.polynomial.legendre.leggauss(nodes_an_axis(float(least_width)))
    offsets = np.array(list(product(places / 2, repeat=len(spacing)))) * spacing
    weights = np.array([np.prod(one) for one in product(shares / 2, repeat=len(spacing))])
    return PixelNodes(offsets, weights)


@lru_cache(maxsize=64)
def nodes_an_axis(width: float) -> int:
    """Nodes along an axis that keep to PIXEL_ERROR for a Gaussian of this width, in pixels."""
    centers = np.linspace(0.0, 2.0, PLACES)
    scale = width * np.sqrt(2)
    ends = np.array([[erf((side - c) / scale) for c in centers] for side in (-0.5, 0.5)])
    exact = np.sqrt(np.pi / 2) * width * (ends[1] - ends[0])
    for n in range(1, MOST_NODES):
        places, shares = np.polynomial.legendre.leggauss(n)
        found = shares / 2 @ np.exp(-(((places[:, None] / 2 - centers) / width) ** 2) / 2)
        if np.abs(found - exact).max() <= PIXEL_ERROR:
            return n
    return MOST_NODES


def is_even(axis: np.ndarray) -> bool:
    """Whether the steps of an axis are all one, to rounding."""
    steps = np.diff(axis)
    return not steps.size or bool(np.abs(steps - steps.mean()).max() <= UNEVEN_STEP * steps.mean())


def least_width(width: float, covariance: np.ndarray | None, spacing: np.ndarray) -> float:
    """The least width in pixels: of a covariance (d, d) that all exceed, or one in pixels where there is none."""
    if covariance is None:
        return float(width)
    return float(np.sqrt(np.linalg.eigvalsh(covariance / np.outer(spacing, spacing))[0]))


def mean_heights(surface: Any, points: np.ndarray, nodes: PixelNodes | None) -> np.ndarray:
    """Heights (...) of a surface at points (..., d): means over the pixels around them where there are nodes."""
    if nodes is None:
        return np.asarray(surface(points))
    return np.asarray(sum(share * surface(points + offset) for offset, share in zip(*nodes, strict=True)))
