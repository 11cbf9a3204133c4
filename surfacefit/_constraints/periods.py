"""The option ``periods``: lengths after which axes repeat, and what cannot be meant beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._base.checks import positive_number
from .._data.data import SurfaceData
from .._model.background import PlaneBackground
from .._model.surface import GaussianSurface
from .._periodic.image_numbers import WIDEST_PERIOD_SHARE
from .._periodic.nearest import Periods

# Of a period: what coordinates that span a whole one may exceed it by, since numbers in files are rounded.
PERIOD_ROUNDING = 1e-6
# Of the largest deviation: what a surface that a fit has returned may exceed it by.
WIDTH_ROUNDING = 1e-6


def checked_periods(name: str, periods: Any, data: SurfaceData) -> Periods | None:
    """The option as a tuple (d,) of lengths, None for open axes; None where no axis is periodic."""
    if periods is None:
        return None
    n_dim = data.n_dim
    single = isinstance(periods, str | bytes | bool) or not isinstance(periods, Sequence | np.ndarray)
    values = [periods] if single or np.ndim(np.asarray(periods, object)) == 0 else list(periods)
    if len(values) != n_dim:
        raise ValueError(
            f"`{name}` must be a period for each of the {n_dim} axes, None for an open one, got {periods!r}"
        )
    found = tuple(None if value is None else positive_number(name, value) for value in values)
    for axis, (period, (low, high)) in enumerate(zip(found, coordinate_ends(data), strict=True)):
        if period is not None and high - low > (1 + PERIOD_ROUNDING) * period:
            raise ValueError(
                f"`{name}` must not be shorter than the data's extent, got {period:g} along axis {axis}, where"
                f" coordinates go from {low:g} to {high:g}: give a whole period, in the units of `coords`"
            )
    return None if all(period is None for period in found) else found


def coordinate_ends(data: SurfaceData) -> np.ndarray:
    """The lowest and the highest coordinate (d, 2) along each axis, of all points, used or not."""
    if data.axes is not None:
        return np.array([(axis[0], axis[-1]) for axis in data.axes], float)
    points = np.asarray(data.points, float)
    return np.stack([points.min(axis=0), points.max(axis=0)], axis=1)


def check_beside(name: str, periods: Periods, options: Mapping[str, Any], start: GaussianSurface | None) -> None:
    """Refuses other options of a fit that contradict periods, or do not know them."""
    for other, way_out in (("beam", "leave one out"), ("tie", "leave one out")):
        if options[other] is not None:
            raise ValueError(f"`{name}` cannot be given beside `{other}`, got {options[other]!r} with it: {way_out}")
    background, init = options["background"], options["init"]
    if isinstance(background, PlaneBackground) or (isinstance(background, str) and background == "plane"):
        raise ValueError(
            f"`{name}` and a plane contradict each other: a slope has a step where a period ends, got"
            f" background={background!r}: use 'constant', or a periodic function"
        )
    if isinstance(init, str) and init == "em":
        raise ValueError(f"`{name}` is not known to init='em': use 'growth' or 'peaks'")
    bounds = options["bounds"]
    if bounds is not None and bounds.centers is not None:
        raise ValueError(f"`{name}` leaves no ends to centres, got bounds.centers={bounds.centers!r}: leave it out")
    if start is not None:
        _check_start(name, periods, start)


def _check_start(name: str, periods: Periods, start: GaussianSurface) -> None:
    if start.periods is not None and not same_periods(start.periods, periods):
        raise ValueError(f"`{name}` must be those of `init`, got {periods} with init.periods={start.periods}")
    check_widths("init", np.asarray(start.covariances, float), periods)


def same_periods(one: Periods, other: Periods) -> bool:
    """Whether two sets of periods are equal to rounding."""
    return len(one) == len(other) and all(
        (a is None) == (b is None) and (a is None or b is None or abs(a - b) <= PERIOD_ROUNDING * abs(b))
        for a, b in zip(one, other, strict=True)
    )


def check_widths(name: str, covariances: np.ndarray, periods: Periods) -> None:
    """Refuses components (K, d, d) that are too wide for their images to be told apart."""
    if covariances.ndim != 3 or covariances.shape[1:] != (len(periods),) * 2:
        return  # refused elsewhere, with a better reason
    for axis, period in enumerate(periods):
        if period is None or not len(covariances):
            continue
        deviations = np.sqrt(np.maximum(covariances[:, axis, axis], 0))
        widest, most = int(np.argmax(deviations)), np.sqrt(len(periods)) * WIDEST_PERIOD_SHARE * period
        if deviations[widest] > (1 + WIDTH_ROUNDING) * most:
            raise ValueError(
                f"`{name}` must have no component wider than {most / period:.3g} of a period, got a deviation of"
                f" {deviations[widest]:g} along axis {axis} at index {widest}, where the period is {period:g}: such a"
                " component is a constant"
            )
