"""Fits of a stack of small maps, from heights as they come to surfaces, errors and statuses in the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np

from .chunks import SmallBatch, SmallFits, chunk_by_chunk, fit_chunk
from .gaussians import SmallModel
from .levenberg_marquardt import LaneSettings
from .spots import low_heights, spot_start
from .surfaces import SurfaceLanes, packed
from .units import LaneUnits, MisfitRule, in_units, in_users_units, surfaces_in_units


@dataclass(frozen=True, eq=False)
class SmallStack:
    """B maps at the same points (N, d): heights (B, N), weights (B, N) = 1 / sigma, 0 where there is no point.

    ``min_widths`` (d,) are the least widths. All are in the user's units. Without ``start`` each lane begins with a
    spot, which is for one component.
    """

    points: np.ndarray
    heights: np.ndarray
    weights: np.ndarray
    min_widths: np.ndarray
    rule: MisfitRule = field(default_factory=MisfitRule)
    start: SurfaceLanes | None = None

    def some(self, lanes: slice) -> SmallStack:
        start = None if self.start is None else SurfaceLanes(*(array[lanes] for array in self.start))
        return SmallStack(self.points, self.heights[lanes], self.weights[lanes], self.min_widths, self.rule, start)


class ReadyLanes(NamedTuple):
    """At most `lanes_a_chunk` lanes in their units, and where each begins; ``low``, its low height (B,), for a spot."""

    batch: SmallBatch
    units: LaneUnits
    start: SurfaceLanes
    low: np.ndarray | None


def ready_lanes(model: SmallModel, stack: SmallStack) -> ReadyLanes:
    """The lanes of a stack, ready to be fitted."""
    batch, units = in_units(model, stack.points, stack.heights, stack.weights, stack.min_widths, stack.rule)
    if stack.start is not None:
        return ReadyLanes(batch, units, surfaces_in_units(stack.start, units), None)
    low = low_heights(batch.heights, batch.weights > 0)
    return ReadyLanes(batch, units, spot_start(model, batch, low), low)


def fitted_lanes(
    model: SmallModel, lanes: ReadyLanes, settings: LaneSettings, *, dtype: np.dtype, with_errors: bool = False
) -> SmallFits:
    """The fits of lanes, in the user's units; ``params`` stay in those of the lanes."""
    with np.errstate(over="ignore"):  # what single precision does not hold ends its lane as NON_FINITE
        start = packed(model, lanes.start, lanes.batch.floor).astype(dtype)
    fits = fit_chunk(model, lanes.batch, start, settings, with_errors=with_errors)
    return in_users_units(model, lanes.batch, lanes.units, fits)


def fitted_stack(
    model: SmallModel, stack: SmallStack, settings: LaneSettings, *, dtype: np.dtype, with_errors: bool = False
) -> Iterator[tuple[slice, SmallFits]]:
    """Lanes and their fits, chunk by chunk as they end, on all cores; ``params`` stay in the units of the lanes.

    A lane is left to the general solver where its status is no success. No lane changes a bit of another.
    """
    if stack.start is None and model.n_components != 1:
        raise ValueError(f"`start` is needed for more than one component, got None for {model.n_components}")

    def task(lanes: slice) -> SmallFits:
        ready = ready_lanes(model, stack.some(lanes))
        return fitted_lanes(model, ready, settings, dtype=dtype, with_errors=with_errors)

    return chunk_by_chunk(len(stack.heights), task)


def fit_stack(
    model: SmallModel, stack: SmallStack, settings: LaneSettings, *, dtype: np.dtype, with_errors: bool = False
) -> SmallFits:
    """All of `fitted_stack`, in the order of the lanes."""
    parts = sorted(
        fitted_stack(model, stack, settings, dtype=dtype, with_errors=with_errors), key=lambda part: part[0].start
    )
    joined: SmallFits = jax.tree.map(lambda *arrays: np.concatenate(arrays), *[fits for _, fits in parts])
    return joined
