"""Components at the peaks of the data above the states of many lanes at once, as `ResidualViews` finds them for one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._model.block_layout import ALPHA
from .._model.gaussian import profile
from .._model.surface import inverse_lower
from .._search.moves import HALF_AMPLITUDE, HALF_LOST_VARIANCE, HALF_OFFSET_WIDTHS
from .._search.residual_views import ROUNDS_PER_STATE
from .._starts import Peaks, Rasters, StartRequest, in_coordinates, padded_shape, peaks_of_maps
from .lane_stacks import LaneStack, States


class Blocks(NamedTuple):
    """Blocks (M, p) of components, and to which of some lanes each belongs (M,): those of a lane one after another, the
    highest first.
    """

    owners: np.ndarray
    blocks: np.ndarray


@dataclass(frozen=True, eq=False)
class _Rastered:
    """Lanes (b,) of a stack with rasters of one shape; of each point the cell in these and the weight w^2 (b or 1, N),
    zero for points without weight.
    """

    rows: np.ndarray
    rasters: Rasters
    cells: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, requests: list[StartRequest], n_places: int) -> _Rastered:
        """For lanes with requests of their own, or one that all share, and so many places for points."""
        shape = padded_shape(requests[0].raster.weights.shape)
        cells, squares = np.zeros((len(requests), n_places), int), np.zeros((len(requests), n_places))
        for n, request in enumerate(requests):
            own, raster = len(request.heights), request.raster
            places = np.arange(own) if raster.cells is None else raster.cells
            cells[n, :own] = np.ravel_multi_index(np.unravel_index(places, raster.weights.shape), shape)
            squares[n, :own] = request.squares
        return cls(rows, Rasters.of([one.raster for one in requests], shape), cells, squares)

    def gathered(self, members: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sums over cells (n, ...) of values (n, N), each times w^2, of some of the lanes."""
        shape = self.rasters.weights.shape[1:]
        size, own = int(np.prod(shape)), self.rasters.rows(members)
        at = self.cells[own] + size * np.arange(len(members))[:, None]
        sums = np.bincount(at.ravel(), (self.squares[own] * values).ravel(), size * len(members))
        return sums.reshape(len(members), *shape)


@dataclass(frozen=True, eq=False)
class StackPeaks:
    """The peaks above states of the lanes of a stack."""

    stack: LaneStack

    def blocks(self, rows: np.ndarray, states: States, counts: np.ndarray, n_rounds: int = ROUNDS_PER_STATE) -> Blocks:
        """Up to ``counts`` (n,) components at the peaks of the data above the states of lanes, by their ``rows`` (n,),
        found in about so many rounds; owners count in the rows.
        """
        if not self.stack.is_plain:
            return self._one_by_one(rows, states, counts)
        left, found = self.misfits(rows, states), []
        for group in self._rastered:
            some = np.flatnonzero(np.isin(rows, group.rows))
            if len(some):
                members = np.searchsorted(group.rows, rows[some])
                at_once = np.maximum(1, counts[some] // n_rounds)
                peaks = self._peaks(group, members, left[some], counts[some], at_once)
                found.append(peaks._replace(maps=some[peaks.maps]))
        peaks = Peaks(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
        return self._blocks_of(rows, peaks.some(np.argsort(peaks.maps, kind="stable")))

    def _one_by_one(self, rows: np.ndarray, states: States, counts: np.ndarray) -> Blocks:
        each = [
            self.stack.lane(int(row)).context.views.blocks_at_peaks(states.one(n), int(counts[n]))
            for n, row in enumerate(rows)
        ]
        return Blocks(np.repeat(np.arange(len(rows)), [len(one) for one in each]), np.concatenate(each))

    def _peaks(
        self, group: _Rastered, members: np.ndarray, left: np.ndarray, counts: np.ndarray, at_once: np.ndarray
    ) -> Peaks:
        """Peaks in the units of the fit; their ``maps`` count in the members."""
        rasters, signed = group.rasters.some(members), self.stack.first.prepared.model.signed
        return in_coordinates(rasters, peaks_of_maps(rasters, group.gathered(members, left), counts, at_once, signed))

    @cached_property
    def _rastered(self) -> list[_Rastered]:
        stack, n_places = self.stack, self.stack.heights.shape[1]
        if len(stack.problem.points) == 1 < len(stack):
            return [_Rastered.of(np.arange(len(stack)), [stack.first.context.request], n_places)]
        requests = [stack.lane(row).context.request for row in range(len(stack))]
        shapes: dict[tuple[int, ...], list[int]] = {}
        for row, request in enumerate(requests):
            shapes.setdefault(padded_shape(request.raster.weights.shape), []).append(row)
        return [_Rastered.of(np.array(some), [requests[row] for row in some], n_places) for some in shapes.values()]

    def misfits(self, rows: np.ndarray, states: States) -> np.ndarray:
        """Heights (n, N) above states without limits, in the units of the fit."""
        stack = self.stack
        left = stack.heights[rows] - states.borders.sum(axis=1)[:, None]
        points = stack.rows_of(np.asarray(stack.problem.points, float), rows)
        amplitudes, centers, factors = self._components(rows, states)
        inverse = inverse_lower(factors)
        with np.errstate(over="ignore", invalid="ignore"):  # far away a squared distance may be infinite
            for k in range(int(states.sizes.max(initial=0))):
                squares = _squared_distances(points, centers[:, k], inverse[:, k])
                left -= np.where(states.sizes > k, amplitudes[:, k], 0)[:, None] * profile(squares)
        return left

    def energies(self, rows: np.ndarray, states: States) -> np.ndarray:
        """Sums of squares (n, K) of the components of states, but for a common factor; infinite where there is none."""
        amplitudes, _, factors = self._components(rows, states)
        energies = amplitudes**2 * np.prod(np.diagonal(factors, axis1=-2, axis2=-1), axis=-1)
        return np.where(np.arange(energies.shape[1]) < states.sizes[:, None], energies, np.inf)

    def misfits_beneath(self, rows: np.ndarray, states: States) -> np.ndarray:
        """Mean squared misfits (n, K) over the components of states, without limits; -1 where there is none."""
        _, centers, factors = self._components(rows, states)
        inverse, squares = inverse_lower(factors), self.misfits(rows, states) ** 2
        points = self.stack.rows_of(np.asarray(self.stack.problem.points, float), rows)
        found = np.full(centers.shape[:2], -1.0)
        for k in range(int(states.sizes.max(initial=0))):
            with np.errstate(over="ignore", invalid="ignore"):
                weights = profile(_squared_distances(points, centers[:, k], inverse[:, k]))
            mean = (squares * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
            found[:, k] = np.where(states.sizes > k, mean, -1.0)
        return found

    def halved(self, rows: np.ndarray, states: States, which: np.ndarray) -> States:
        """States with two halves, along its major axis, in the place of one component (n,) of each."""
        lanes, parts = np.arange(len(rows)), self.stack.parts
        amplitudes, centers, factors = (one[lanes, which] for one in self._components(rows, states))
        values, axes = np.linalg.eigh(factors @ factors.swapaxes(-1, -2))
        offset = HALF_OFFSET_WIDTHS * np.sqrt(values[:, -1])[:, None] * axes[..., -1]
        lost = HALF_LOST_VARIANCE * values[:, -1, None, None] * axes[..., :, -1:] * axes[..., None, :, -1]
        shapes = parts.covariance.parameters(factors @ factors.swapaxes(-1, -2) - lost, self._floors(rows))
        free = parts.amplitude.free((HALF_AMPLITUDE * amplitudes).astype(parts.floor.dtype))[:, None]
        blocks = states.blocks.copy()
        for side, place in ((1, which), (-1, states.sizes)):
            blocks[lanes, place] = np.concatenate([free, centers + side * offset, shapes], axis=1)
        return states._replace(sizes=states.sizes + 1, blocks=blocks)

    def _components(self, rows: np.ndarray, states: States) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Amplitudes (n, K), centers (n, K, d) and Cholesky factors (n, K, d, d) of the room for components."""
        parts, layout = self.stack.parts, self.stack.parts.layout
        factors = parts.covariance.cholesky(states.blocks[..., layout.shapes], self._floors(rows)[:, None])
        return parts.amplitude.value(states.blocks[..., ALPHA]), states.blocks[..., layout.centers], factors

    def _floors(self, rows: np.ndarray) -> np.ndarray:
        return self.stack.rows_of(self.stack.floors.astype(float), rows)

    def _blocks_of(self, rows: np.ndarray, peaks: Peaks) -> Blocks:
        """Peaks as blocks, in the precision of the fit."""
        parts, dtype = self.stack.parts, self.stack.parts.floor.dtype
        shapes = parts.covariance.parameters(peaks.covariances, self._floors(rows[peaks.maps]))
        amplitudes = parts.amplitude.free(peaks.amplitudes.astype(dtype))
        columns = [amplitudes[:, None], peaks.centers, shapes]
        return Blocks(peaks.maps, np.concatenate([one.astype(dtype) for one in columns], axis=1).astype(float))


def _squared_distances(points: np.ndarray, centers: np.ndarray, inverse: np.ndarray) -> Any:
    """|L^-1 (x - c)|^2 (n, N) at points (n, N, d) for one component of each of n lanes."""
    offsets = [points[..., j] - centers[:, j, None] for j in range(points.shape[-1])]
    rows = [sum(inverse[:, i, j, None] * offsets[j] for j in range(i + 1)) for i in range(len(offsets))]
    return sum(row * row for row in rows)
