"""What a peer is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import surfacefit as sf

from ..maps import pixels


@dataclass(frozen=True, eq=False)
class PeerProblem:
    """Heights (rows, columns) and the start of the K components, in pixels and metres; widths stay above ``min_width``
    pixels.
    """

    heights: np.ndarray
    start: sf.GaussianSurface
    min_width: float = 0.25


@dataclass(frozen=True, eq=False)
class PeerFit:
    """Fitted heights (N,) in metres, seconds of the whole fit without imports, how many evaluations or steps, a
    remark.
    """

    heights: np.ndarray
    seconds: float
    evaluations: int
    remark: str = ""


@dataclass(frozen=True, eq=False)
class ScaledProblem:
    """The problem in units of order one: points (N, 2) in [-1, 1], heights (N,) of root mean square one.

    ``floor`` (2,) is the smallest width in these units; a height of one stands for ``unit`` metres.
    """

    points: np.ndarray
    heights: np.ndarray
    floor: np.ndarray
    start: sf.GaussianSurface
    unit: float


def scaled(problem: PeerProblem) -> ScaledProblem:
    """The units that surfacefit works in, too."""
    half = (np.array(problem.heights.shape) - 1) / 2
    unit = float(np.sqrt(np.mean(problem.heights**2)))
    start = sf.GaussianSurface(
        problem.start.amplitudes / unit,
        problem.start.centers / half - 1,
        problem.start.covariances / np.outer(half, half),
    )
    points = pixels(problem.heights.shape) / half - 1
    return ScaledProblem(points, problem.heights.ravel() / unit, problem.min_width / half, start, unit)
