"""Fits of a stack of small maps, from heights as they come to surfaces, errors and statuses in the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import jax
import numpy as np

from .chunks import SmallFits, chunk_by_chunk, fit_chunk
from .gaussians import SmallModel
from .levenberg_marquardt import LaneSettings
from .spots import spot_start
from .surfaces import SurfaceLanes, packed
from .units import MisfitRule, in_units, in_users_units, surfaces_in_units


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


def fitted_lanes(
    model: SmallModel, stack: SmallStack, settings: LaneSettings, *, dtype: np.dtype, with_errors: bool = False
) -> SmallFits:
    """The fits of at most `lanes_a_chunk` lanes; ``params`` stay in the units of the lanes."""
    batch, units = in_units(model, stack.points, stack.heights, stack.weights, stack.min_widths, stack.rule)
    given = spot_start(model, batch) if stack.start is None else surfaces_in_units(stack.start, units)
    with np.errstate(over="ignore"):  # what single precision does not hold ends its lane as NON_FINITE
        start = packed(model, given, batch.floor).astype(dtype)
    fits = fit_chunk(model, batch, start, settings, with_errors=with_errors)
    return in_users_units(model, batch, units, fits)


def fitted_stack(
    model: SmallModel, stack: SmallStack, settings: LaneSettings, *, dtype: np.dtype, with_errors: bool = False
) -> Iterator[tuple[slice, SmallFits]]:
    """Lanes and their fits, chunk by chunk as they end, on all cores; ``params`` stay in the units of the lanes.

    A lane is left to the general solver where its status is no success. No lane changes a bit of another.
    """
    if stack.start is None and model.n_components != 1:
        raise ValueError(f"`start` is needed for more than one component, got None for {model.n_components}")

    def task(lanes: slice) -> SmallFits:
        return fitted_lanes(model, stack.some(lanes), settings, dtype=dtype, with_errors=with_errors)

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
