"""What growth and search read off the residuals of a state: costs, weights, and the peaks above it.

Residuals are computed on the device and read on the host, where the peak filters, windows and k-d trees of SciPy work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jax import Array

from .._base.compile import pass_jit
from .._base.devices import on_cpu
from .._losses import Linear, Loss
from .._model.surface import GaussianSurface, sum_on_host
from .._problem import loss_views
from .._problem.problem import SurfaceProblem
from .._starts import Peak, find_peaks
from .states import Packing, State

# Rounds in which the peaks of one state are found, each on what the rounds before leave. A compromise: a peak hides
# smaller ones near it until it is subtracted, and each round costs a filter over all scales.
ROUNDS_PER_STATE = 4
# Values of components at points up to which NumPy computes residuals: 6 ms, where XLA takes 2 ms and 0.5 s to compile.
HOST_VALUES = 400_000


@dataclass(frozen=True, eq=False)
class ResidualViews:
    """Costs, residuals and peaks of states; arrays (N,) are in the order of the data's points."""

    packing: Packing

    @cached_property
    def points(self) -> np.ndarray:
        """The data's points (N, d) in the units of the fit."""
        prepared = self.packing.prepared
        return prepared.by_point(prepared.problem.points).astype(float)

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights w (N,) of the points, 1 / sigma in the units of the fit."""
        prepared = self.packing.prepared
        return prepared.by_point(prepared.problem.weights).astype(float)

    @cached_property
    def heights(self) -> np.ndarray:
        """The heights (N,) in the units of the fit."""
        prepared = self.packing.prepared
        return prepared.by_point(prepared.problem.heights).astype(float)

    @cached_property
    def on_host(self) -> bool:
        """Whether residuals are computed by NumPy: plain ones of few values, for which a program would be compiled."""
        prepared = self.packing.prepared
        problem, room = prepared.problem, prepared.problem.parameterization.n_components
        plain = isinstance(problem.loss, Linear) and problem.penalty is None and prepared.planner is None
        plain = plain and prepared.model.sampling == "points"
        return plain and len(self.points) * room <= HOST_VALUES and on_cpu(problem)

    def with_cost(self, state: State) -> State:
        """The state with its cost on this problem, 1/2 sum of squares of residuals and penalty rows."""
        by_point = self.on_host or not state.size
        residuals = self.residuals(state) if by_point else self._all_residuals(state)
        return state._replace(cost=0.5 * float(residuals @ residuals))

    def background_only(self) -> State:
        """The state without components: the background at its start, a shape for all as on an even lattice, or held."""
        return self.with_cost(self.packing.empty_state())

    def state(self, params: Array) -> State:
        """The state of parameters (P,) that use all components asked for."""
        return self.with_cost(self.packing.unpack(np.inf, np.asarray(params), self.packing.request.n_components))

    def residuals(self, state: State) -> np.ndarray:
        """Residuals w (f - z) (N,), or what a loss makes of them."""
        if not state.size:
            return self._of_background(state, "residuals")
        if self.on_host:
            return self.weights * (self._model(state) - self.heights)
        return self.packing.prepared.by_point(self._all_residuals(state))

    def secant_weights(self, state: State) -> np.ndarray:
        """The weights (N,) of plain least squares that has the residuals of a state under the problem's loss."""
        prepared = self.packing.prepared
        if isinstance(prepared.problem.loss, Linear):
            return self.weights
        if not state.size:
            return self._of_background(state, "secants")
        return prepared.by_point(_secants(*self.packing.planned(state))).astype(float)

    def descent_weights(self, state: State) -> np.ndarray:
        """The weights (N,) of plain least squares that has the cost's derivative at a state without components: with f
        the model, z the heights and r the residuals of the loss, (r dr/df / (f - z))^(1/2).
        """
        if isinstance(self.packing.prepared.problem.loss, Linear):
            return self.weights
        return np.sqrt(self._of_background(state, "secants") * self._of_background(state, "slopes"))

    def misfit(self, state: State) -> float:
        """The weighted sum of squares in the user's units, whatever the loss."""
        weights = self.secant_weights(state)
        misfits = self.residuals(state) * self.weights / np.where(weights > 0, weights, 1)
        return float(misfits @ misfits) * self.packing.prepared.cost_unit

    def penalty(self, state: State) -> float:
        """What a prior adds to the cost of a state."""
        packing = self.packing
        if packing.prepared.problem.penalty is None or not state.size:
            return 0.0
        return float(penalty_cost(packing.problem(state.size), packing.pack(state.blocks, state.border)))

    def peaks(self, state: State, count: int) -> list[Peak]:
        """Up to ``count`` peaks of the data above a state, with weights bounded as those of a start are."""
        request, weights = self.packing.request, self.secant_weights(state)
        raster, shares = request.raster, request.squares / np.where(self.weights > 0, self.weights, np.inf) ** 2
        if weights is not self.weights:
            raster = replace(raster, weights=raster.gathered(shares * weights**2))
        sums = raster.gathered(-shares * weights * self.residuals(state))
        return find_peaks(raster, sums, count, max(1, count // ROUNDS_PER_STATE), request.signed)

    def blocks_at_peaks(self, state: State, count: int) -> np.ndarray:
        """Blocks (n, p) of up to ``count`` components at the peaks of the data above a state."""
        peaks = self.peaks(state, count)
        return self.packing.blocks(surface_of(peaks)) if peaks else state.blocks[:0]

    def _all_residuals(self, state: State) -> np.ndarray:
        """Those of the data in the problem's order, then those of a prior."""
        return np.asarray(_residuals(*self.packing.planned(state))).astype(float)

    def _model(self, state: State) -> np.ndarray:
        """The surface (N,) of a state at the points, by NumPy in double precision."""
        parts = self.packing.prepared.host.parameterization
        params = np.asarray(self.packing.pack(state.blocks, state.border), float)
        components = parts.components(params)
        amplitudes, centers, inverses = (
            np.asarray(array[: state.size], float)
            for array in (components.amplitudes, components.centers, components.inverse_factors)
        )
        if parts.periods is None:
            values = sum_on_host(self.points, amplitudes, centers, inverses)
        else:
            values = self.packing.surface(state)(self.points)
        return np.asarray(values + components.background(self.points), float)

    def _of_background(self, state: State, method: str) -> np.ndarray:
        """What a ``method`` of the loss says of the background alone (N,)."""
        loss, parts = self.packing.prepared.problem.loss, self.packing.prepared.host.parameterization
        values = parts.background.with_vector(state.border[parts.layout.background])(self.points)
        arrays = values, self.heights, self.weights
        said = getattr(loss, method)(*arrays) if isinstance(loss, Linear) else _said(method, loss, *arrays)
        return np.asarray(said, float)


def surface_of(peaks: list[Peak]) -> GaussianSurface:
    """Peaks as a surface."""
    amplitudes, centers, covariances = (np.array(column) for column in zip(*peaks, strict=True))
    return GaussianSurface(amplitudes, centers, covariances)


def residuals(problem: SurfaceProblem, params: Array) -> Array:
    return problem.residuals(params)


def said_by_loss(method: str, loss: Loss, model: Array, heights: Array, weights: Array) -> Array:
    said: Array = getattr(loss, method)(model, heights, weights)
    return said


_said = pass_jit(said_by_loss, static_argnums=(0,))
_residuals = pass_jit(residuals)
_secants = pass_jit(loss_views.secant_weights)
penalty_cost = pass_jit(loss_views.penalty_cost)
