r"""The few concentric Gaussians that stand for a profile: f(r) ~ sum_j w_j exp(-r^2 / (2 s_j^2)), weights positive.

For given widths s_j the weights follow from non-negative least squares (Lawson & Hanson, Solving Least Squares
Problems, 1974, chapter 23) of the misfit at places evenly spaced in log r, in units of f(r) + f(1): on a spike that is
a hundred times as high as the profile at one scale length more may be missed than elsewhere. The widths then follow
from least squares of what is left, from a geometric series (as in the multi-Gaussian expansions of Cappellari, MNRAS
333 (2002) 400). The mixture has as few Gaussians as keep the largest misfit below the error that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares, nnls

from .shapes import Profile

# Gaussians at most: further ones win less than rounding loses in their nearly equal columns.
MOST_GAUSSIANS = 24
# Places, evenly spaced in log r, at which the misfit is taken.
MISFIT_PLACES = 400
# Of the largest r of its range: the least r at which the misfit is taken where that range begins at zero.
LEAST_PLACE = 1e-4
# Of the largest of all: weights below are left out.
LEAST_WEIGHT = 1e-9
# Of the largest height: least unit of misfits. A profile that falls faster within one scale length than that ends
# there for any map, and no mixture follows it further.
LEAST_UNIT = 1e-4
# Exchanges of non-negative least squares at most: a few for each column; what takes more goes in circles.
NNLS_ITERATIONS = 1000
# Evaluations of the misfit for one number of Gaussians.
MOST_EVALUATIONS = 60


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights (m,) : heights of the Gaussians at the centre, of a source of amplitude 1. widths (m,) : their standard
    deviations in scale lengths, rising. error : the largest misfit in the profile's range, in units of f(r) + f(1).
    """

    weights: np.ndarray
    widths: np.ndarray
    error: float

    def __len__(self) -> int:
        return len(self.weights)

    def height(self, r: np.ndarray) -> np.ndarray:
        """The sum at distances (...) in scale lengths."""
        return np.asarray(_columns(np.ravel(r), self.widths) @ self.weights).reshape(np.shape(r))


@lru_cache(maxsize=64)
def mixture_of(profile: Profile, error: float = 1e-4) -> Mixture:
    """The mixture with the fewest Gaussians whose misfit is at most ``error`` times f(r) + max(f(1), 1e-4 of the top).

    Raises ValueError where MOST_GAUSSIANS do not suffice.
    """
    r = places(profile)
    heights = profile.height(r)
    unit = max(float(profile.height(1.0)), LEAST_UNIT * float(heights.max()))
    target = _Target(r, heights, heights + unit)
    best: Mixture | None = None
    for count in range(1, MOST_GAUSSIANS + 1):
        found = _fitted(target, count, None if best is None else best.widths)
        if best is None or found.error < best.error:
            best = found
        if best.error <= error:
            return best
    assert best is not None
    raise ValueError(
        f"`error` must be at least {best.error:.1e} for {profile}, which {MOST_GAUSSIANS} Gaussians reach, got"
        f" {error:g}"
    )


class _Target(NamedTuple):
    """Heights (n,) at distances r (n,), and the units (n,) of misfits."""

    r: np.ndarray
    heights: np.ndarray
    units: np.ndarray

    def weights(self, widths: np.ndarray) -> np.ndarray:
        """Non-negative weights (m,) of Gaussians; of such among which rounding cannot choose, none."""
        columns = _columns(self.r, widths) / self.units[:, None]
        scales = np.abs(columns).max(axis=0)
        try:
            return np.asarray(nnls(columns / scales, self.heights / self.units, maxiter=NNLS_ITERATIONS)[0] / scales)
        except RuntimeError:
            return np.zeros(len(widths))

    def misfit(self, widths: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n,) in these units."""
        return np.asarray((_columns(self.r, widths) @ weights - self.heights) / self.units)


def places(profile: Profile) -> np.ndarray:
    """Distances (n,) in scale lengths at which the misfit is taken."""
    least, largest = profile.range
    return np.geomspace(max(least, LEAST_PLACE * largest), largest, MISFIT_PLACES)


def _fitted(target: _Target, count: int, before: np.ndarray | None) -> Mixture:
    """The best of so many Gaussians, from an even series and from the widths of a smaller mixture."""
    r = target.r
    starts = [np.log(np.geomspace(max(r[0], LEAST_PLACE * r[-1]), r[-1] / 2, count + 2)[1:-1])]
    if before is not None:
        starts.append(np.log(_with_one_more(before)))
    found = [_polished(target, start) for start in starts]
    return min(found, key=lambda one: one.error)


def _with_one_more(widths: np.ndarray) -> np.ndarray:
    """Widths with one more in the widest gap of their logarithms, or beside a single one."""
    if len(widths) == 1:
        return np.array([widths[0] / 2, widths[0] * 1.5])
    gap = int(np.argmax(np.diff(np.log(widths))))
    return np.insert(widths, gap + 1, np.sqrt(widths[gap] * widths[gap + 1]))


def _polished(target: _Target, log_widths: np.ndarray) -> Mixture:
    def misfit(log_widths: np.ndarray) -> np.ndarray:
        widths = np.exp(log_widths)
        return target.misfit(widths, target.weights(widths))

    low, high = np.log(target.r[0] / 10), np.log(10 * target.r[-1])
    start = np.clip(log_widths, low + 1e-6, high - 1e-6)
    ended = least_squares(misfit, start, bounds=(low, high), max_nfev=MOST_EVALUATIONS)
    widths = np.sort(np.exp(ended.x))
    weights = target.weights(widths)
    kept = weights > LEAST_WEIGHT * weights.max()
    weights, widths = weights[kept], widths[kept]
    return Mixture(weights, widths, float(np.abs(target.misfit(widths, weights)).max()))


def _columns(r: np.ndarray, widths: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (r[:, None] / widths) ** 2)
