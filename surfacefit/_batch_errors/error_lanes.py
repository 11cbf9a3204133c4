"""The fits of a batch in groups of one form, each as arrays of problems and of the parameters where they ended.

Maps with the same gaps at common points that differ in heights, weights and place alone are made as arrays; of all
others each has a setup of its own. Everything is in double precision and in the units of a fit, as single fits are
linearised (`_statistics/linearization.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from .._base.checks import MOST_MAGNITUDE
from .._engines.engines import Dense, EngineChoice
from .._many.alike import are_plain, units_of
from .._many.map_numbers import MapEnds
from .._many.stack import MapStack, shifts_of
from .._model.background import BackgroundModel, ConstantBackground, NoBackground
from .._model.scaling import Scaling
from .._model.units import to_internal
from .._problem.model_spec import ModelOptions, ModelSpec
from .._problem.prepared import Prepared, fixed_parameters, used_parameters
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup
from .._statistics.constrained_directions import CLEAR_OF_LIMITS
from .lane_covariances import MOST_VALUES, Masks

# Maps with the same gaps from which they are made as arrays: fewer join others of one form.
LEAST_ALIKE = 4


@dataclass(frozen=True, eq=False)
class ErrorLanes:
    """B fits of one form with ``count`` components each: the maps' numbers ``flats`` (B,), their ``problems`` (leaves
    (B, ...)), parameters (B, P), scaling (leaves (B, ...)), and a weighted residual ``residual_units`` (B,) in the
    user's units for one of one; ``backgrounds`` of each in the units of the fit, None where all are numbers.
    """

    flats: np.ndarray
    count: int
    first: Prepared
    masks: Masks
    problems: SurfaceProblem
    params: np.ndarray
    scaling: Scaling
    residual_units: np.ndarray
    backgrounds: Sequence[BackgroundModel] | None


def chunks_of(stack: MapStack, ends: MapEnds, flats: np.ndarray) -> Iterator[np.ndarray]:
    """Maps of as many components each, some at a time."""
    for count in np.unique(ends.n_components[flats]):
        some = flats[ends.n_components[flats] == count]
        at_once = max(1, MOST_VALUES // (stack.maps[int(some[0])].size * max(1, int(count))))
        yield from (some[first : first + at_once] for first in range(0, len(some), at_once))


def error_lanes(stack: MapStack, ends: MapEnds, flats: np.ndarray, alike_alone: bool = False) -> Iterator[ErrorLanes]:
    """The fits of some maps with as many components each, in groups of one form; those near a limit of widths, where
    more has to be known than arrays tell, are left out, with ``alike_alone`` all that need a setup of their own.
    """
    count = int(ends.n_components[flats[0]])
    alike = np.zeros(len(flats), bool)
    if _may_be_alike(stack, ends):
        heights, used, weights = stack.block(flats)
        for rows in _with_the_same_gaps(used, 1 if alike_alone else LEAST_ALIKE):
            own_heights, own_weights = (array[rows][:, used[rows[0]]] for array in (heights, weights))
            plain = are_plain(own_heights) & _are_moderate(own_weights)
            alike[rows] = plain
            if plain.any():
                yield _alike(stack, ends, flats[rows[plain]], count, own_heights[plain], own_weights[plain])
    forms: dict[Any, list[tuple[int, Prepared, np.ndarray]]] = {}
    for flat in map(int, [] if alike_alone else flats[~alike]):
        prepared = _prepared(stack, ends, flat, count)
        parts = prepared.host.parameterization
        surface = ends.surface(flat, ends.model)
        params = parts.pack(to_internal(surface, prepared.scaling))
        limits = prepared.host.width_limits
        if limits is None or not limits.are_near(parts, params, CLEAR_OF_LIMITS):
            leaves, structure = jax.tree.flatten(prepared.problem)
            kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
            forms.setdefault((structure, kinds), []).append((flat, prepared, params))
    for members in forms.values():
        yield _stacked(members, count)


def _with_the_same_gaps(used: np.ndarray, least: int) -> Iterator[np.ndarray]:
    """Rows of ``used`` (B, N) that are equal, where there are so many."""
    _, which = np.unique(np.packbits(used, axis=1), axis=0, return_inverse=True)
    which = which.ravel()
    ends = np.cumsum(np.bincount(which))
    yield from (rows for rows in np.split(np.argsort(which, kind="stable"), ends[:-1]) if len(rows) >= least)


def _are_moderate(weights: np.ndarray) -> np.ndarray:
    """Which maps (B,) have weights (B, N) whose squares are numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(((weights >= 1 / MOST_MAGNITUDE) & (weights <= MOST_MAGNITUDE)).all(axis=1))


def _may_be_alike(stack: MapStack, ends: MapEnds) -> bool:
    options = ends.options
    assert options is not None
    return (
        isinstance(stack.maps, np.ndarray)
        and (stack.shares_points or shifts_of(stack) is not None)
        and isinstance(ends.model, ConstantBackground | NoBackground)
        and _is_plain(options)
    )


def _is_plain(options: ModelOptions) -> bool:
    """Whether nothing of the problem depends on the heights but they themselves."""
    plain = options.loss == "linear" and options.prior is None and not options.constraints
    return plain and options.covariance_type != "tied"


def _prepared(stack: MapStack, ends: MapEnds, flat: int, count: int) -> Prepared:
    assert ends.options is not None
    held = ends.model.with_vector(np.array(ends.surfaces.background[flat]))
    options = ends.options.by_name()
    if not count:
        options |= {"constraints": ends.options.constraints.of_background, "prior": None}
    model = ModelSpec(n_components=count, background=None if isinstance(held, NoBackground) else held, **options)
    return problem_setup(stack.data(flat), model, np.dtype(np.float64), EngineChoice(Dense(), float("inf")))


def _masks(prepared: Prepared) -> Masks:
    return Masks(used_parameters(prepared), fixed_parameters(prepared))


def _stacked(members: list[tuple[int, Prepared, np.ndarray]], count: int) -> ErrorLanes:
    flats, prepared, params = zip(*members, strict=True)
    first = prepared[0]
    plain = isinstance(first.problem.parameterization.background, ConstantBackground | NoBackground)
    return ErrorLanes(
        flats=np.array(flats),
        count=count,
        first=first,
        masks=_masks(first),
        problems=jax.tree.map(lambda *leaves: np.stack(leaves), *(one.problem for one in prepared)),
        params=np.stack(params),
        scaling=jax.tree.map(lambda *leaves: np.stack(leaves), *(one.scaling for one in prepared)),
        residual_units=np.array([one.residual_unit for one in prepared]),
        backgrounds=None if plain else [one.host.parameterization.background for one in prepared],
    )


def _alike(
    stack: MapStack, ends: MapEnds, flats: np.ndarray, count: int, heights: np.ndarray, weights: np.ndarray
) -> ErrorLanes:
    """Those of maps with heights and weights (B, N), at the points that are used, otherwise like the first one."""
    first, n = _prepared(stack, ends, int(flats[0]), count), len(flats)
    shift, scale = units_of(heights) if first.background.shifts_heights else (np.zeros(n), _root_mean_squares(heights))
    own, shifts = first.scaling, shifts_of(stack)
    moved = np.zeros((n, stack.n_dim)) if shifts is None else shifts[flats] - shifts[flats[0]]
    scaling = Scaling(own.point_shift + moved, np.broadcast_to(own.point_scale, moved.shape), shift, scale)
    weight_units = np.ones(n) if stack.sigmas.is_none else _root_mean_squares(weights)
    spare = len(first.problem.heights) - heights.shape[1]
    none: Any = None
    inner: Any = np.pad((heights - shift[:, None]) / scale[:, None], [(0, 0), (0, spare)], mode="edge")
    problem: SurfaceProblem = jax.tree.map(
        lambda leaf: np.broadcast_to(leaf, (n, *np.shape(leaf))), replace(first.problem, heights=none, weights=none)
    )
    own_weights: Any = np.pad(weights / weight_units[:, None], [(0, 0), (0, spare)])
    problem = replace(problem, heights=inner, weights=own_weights)
    return ErrorLanes(
        flats=flats,
        count=count,
        first=first,
        masks=_masks(first),
        problems=problem,
        params=_packed(first, ends, flats, scaling),
        scaling=scaling,
        residual_units=scale * weight_units,
        backgrounds=None,
    )


def _packed(first: Prepared, ends: MapEnds, flats: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Parameters (B, P) of the surfaces of maps like the first one."""
    parts, n, numbers = first.host.parameterization, len(flats), ends.surfaces
    row, there = flats[:, None], columns_of(ends, flats)
    amplitudes, centers = numbers.amplitudes[row, there], numbers.centers[row, there]
    units = scaling.point_scale[:, None, :, None] * scaling.point_scale[:, None, None, :]
    alpha = parts.amplitude.free(amplitudes / scaling.height_scale[:, None])
    inner = (centers - scaling.point_shift[:, None]) / scaling.point_scale[:, None]
    shapes = parts.covariance.parameters(numbers.covariances[row, there] / units, parts.floor)
    blocks = np.concatenate([alpha[..., None], inner, shapes], axis=2).reshape(n, -1)
    room = np.zeros((n, parts.layout.n_own - blocks.shape[1]))
    levels = (numbers.background[flats] - scaling.height_shift[:, None]) / scaling.height_scale[:, None]
    return np.concatenate([blocks, room, levels], axis=1)


def columns_of(ends: MapEnds, flats: np.ndarray) -> np.ndarray:
    """Where the components (B, K) of maps with as many each stand in the arrays of all."""
    count = int(ends.n_components[flats[0]])
    return np.argsort(np.isnan(ends.surfaces.amplitudes[flats]), axis=1, kind="stable")[:, :count]


def _root_mean_squares(values: np.ndarray) -> np.ndarray:
    largest = np.abs(values).max(axis=1)
    return np.asarray(largest * np.sqrt(np.mean((values / largest[:, None]) ** 2, axis=1)))
