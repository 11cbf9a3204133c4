"""States of growth and search as NumPy arrays, and their way to the parameters on the device and back.

A state holds the components in use alone. The problem may have room for more, so that growing compiles nothing: idle
components are padded with zeros and masked by their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._base.precision import near_device, precision
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .._starts import STARTS, StartRequest


class State(NamedTuple):
    """Blocks (K, p) of the components in use and what they share, ``border`` (s + b,), with their cost."""

    cost: float
    blocks: np.ndarray
    border: np.ndarray

    @property
    def size(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True, eq=False)
class Packing:
    """Converts between surfaces, states and parameters (P,) of one problem, in the units of the fit."""

    prepared: Prepared
    request: StartRequest

    @property
    def parameterization(self) -> Parameterization:
        return self.prepared.problem.parameterization

    @cached_property
    def even_start(self) -> GaussianSurface:
        """An even lattice of components over the background at its start."""
        return replace(STARTS["grid"](self.request), background=self.parameterization.background)

    def problem(self, count: int) -> SurfaceProblem:
        """The problem with ``count`` components in use."""
        dtype = np.dtype(self.parameterization.floor.dtype)
        active = replace(self.parameterization, n_active=near_device(count, dtype))
        return replace(self.prepared.problem, parameterization=active)

    def planned(self, state: State, with_normal: bool = False) -> tuple[SurfaceProblem, Any]:
        """The problem at a state, with a plan for the tiled engine that serves for residuals, or normal matrices too,
        and the state's parameters (P,).
        """
        problem, params = self.problem(state.size), self.pack(state.blocks, state.border)
        if self.prepared.planner is not None:
            problem = self.prepared.planner.for_run(with_normal)(problem, params, params)
        return problem, params

    def pack(self, blocks: np.ndarray, border: np.ndarray) -> Any:
        """Parameters (P,) of blocks (K, p) and a border, idle components padded with zeros."""
        parts = self.parameterization
        room = np.zeros((parts.n_components - len(blocks), parts.layout.block_size))
        return self._projected(np.concatenate([blocks.ravel(), room.ravel(), border]))

    def unpack(self, cost: float, params: np.ndarray, count: int) -> State:
        """The state of the first ``count`` components of parameters (P,)."""
        flat, layout = np.asarray(params, float), self.parameterization.layout
        return State(cost if np.isfinite(cost) else np.inf, layout.blocks(flat)[:count], flat[layout.n_own :])

    def even_params(self) -> Any:
        """Parameters (P,) of `even_start`."""
        parts = self.prepared.host.parameterization
        return self._projected(parts.pack(replace(self.even_start, background=parts.background)))

    def params(self, surface: GaussianSurface) -> Any:
        """Parameters (P,) of a surface in the units of the fit, over the background at its start."""
        parts = self.prepared.host.parameterization
        return self._projected(parts.pack(replace(surface, background=parts.background)))

    def blocks(self, surface: GaussianSurface) -> np.ndarray:
        """Blocks (n, p) of components in the units of the fit; those of tied components lack the shape."""
        parts = self.prepared.host.parameterization
        enough = replace(parts, n_components=surface.n_components)
        packed = enough.pack(replace(surface, background=parts.background))
        return np.asarray(enough.layout.blocks(packed), float)

    def surface(self, state: State) -> GaussianSurface:
        """The components in the units of the fit, as NumPy arrays, without background."""
        parts = self.prepared.host.parameterization.components(np.asarray(self.pack(state.blocks, state.border)))
        amplitudes, centers, factors = (np.asarray(a[: state.size], float) for a in parts[:3])
        periods = self.prepared.host.parameterization.periods
        return GaussianSurface(amplitudes, centers, factors @ factors.swapaxes(1, 2), periods=periods)

    def physical(self, state: State) -> GaussianSurface:
        """The surface in the user's units."""
        with precision(self.parameterization.floor.dtype):
            surface = self.prepared.surface(self.pack(state.blocks, state.border))
        return replace(surface.component(slice(state.size)), background=surface.background)

    def empty_state(self) -> State:
        """The state without components, whose cost is not known: the background at its start, a shape for all as on an
        even lattice, or held.
        """
        parts = self.prepared.host.parameterization
        if parts.layout.n_shared:
            border = np.asarray(self.even_params())[parts.layout.n_own :]
        else:
            border = np.asarray(parts.background.vector(), parts.floor.dtype)
        return State(np.inf, np.zeros((0, parts.layout.block_size)), border.astype(float))

    def padded(self, state: State) -> State:
        """The state with as many components as were asked for; the missing ones have next to no height."""
        missing = self.request.n_components - state.size
        if missing <= 0:
            return state
        low = replace(self.even_start, amplitudes=np.zeros(self.request.n_components))
        return state._replace(blocks=np.concatenate([state.blocks, self.blocks(low)[:missing]]))

    def _projected(self, params: np.ndarray) -> Any:
        """Parameters (P,) moved onto the limits that they exceed."""
        dtype = self.parameterization.floor.dtype
        return np.asarray(self.prepared.host.projected(params.astype(dtype)), dtype)
