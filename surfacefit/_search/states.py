"""States of growth and search as NumPy arrays, and their way to the parameters on the device and back.

A state holds the components in use alone. The problem may have room for more, so that growing compiles nothing: idle
components are padded with zeros and masked by their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.precision import precision
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface, map_components
from .._problem.prepared import Prepared, components
from .._problem.problem import SurfaceProblem
from .._starts import STARTS, StartRequest

# Components: surfaces are packed in arrays of 8, 16, 32, ... components, so that a handful of programs serves all.
MIN_PACKED_COMPONENTS = 8


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
        dtype = self.parameterization.floor.dtype
        active = replace(self.parameterization, n_active=jnp.asarray(float(count), dtype))
        return replace(self.prepared.problem, parameterization=active)

    def planned(self, state: State) -> tuple[SurfaceProblem, Array]:
        """The problem at a state, with a plan for the tiled engine, and the state's parameters (P,)."""
        problem, params = self.problem(state.size), self.pack(state.blocks, state.border)
        if self.prepared.planner is not None:
            problem = self.prepared.planner(problem, params, params)
        return problem, params

    def pack(self, blocks: np.ndarray, border: np.ndarray) -> Array:
        """Parameters (P,) of blocks (K, p) and a border, idle components padded with zeros."""
        parts = self.parameterization
        room = np.zeros((parts.n_components - len(blocks), parts.layout.block_size))
        return self._projected(np.concatenate([blocks.ravel(), room.ravel(), border]))

    def unpack(self, cost: float, params: np.ndarray, count: int) -> State:
        """The state of the first ``count`` components of parameters (P,)."""
        flat, layout = np.asarray(params, float), self.parameterization.layout
        return State(cost if np.isfinite(cost) else np.inf, layout.blocks(flat)[:count], flat[layout.n_own :])

    def even_params(self) -> Array:
        """Parameters (P,) of `even_start`."""
        params: Array = _pack(self.parameterization, self.even_start)
        return params

    def params(self, surface: GaussianSurface) -> Array:
        """Parameters (P,) of a surface in the units of the fit, over the background at its start."""
        params = _pack(self.parameterization, replace(surface, background=self.parameterization.background))
        return self._projected(np.asarray(params))

    def _projected(self, params: np.ndarray) -> Array:
        """Parameters (P,) on the device, moved onto the limits that they exceed; a box does that on the host."""
        problem, dtype = self.prepared.problem, self.parameterization.floor.dtype
        if problem.width_limits is not None:
            return problem.projected(jnp.asarray(params, dtype))
        inside = params.astype(dtype)
        return jnp.asarray(inside if self._sides is None else np.clip(inside, *self._sides))

    @cached_property
    def _sides(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The limits (P,) of the box, if there is one."""
        box = self.prepared.problem.box
        return None if box is None else box.sides(self.parameterization)

    def blocks(self, surface: GaussianSurface) -> np.ndarray:
        """Blocks (n, p) of components in the units of the fit; those of tied components lack the shape."""
        count, parts = surface.n_components, self.parameterization
        room = max(MIN_PACKED_COMPONENTS, 1 << (count - 1).bit_length())
        filled = map_components(surface, lambda a: np.concatenate([a, np.repeat(a[-1:], room - count, axis=0)]))
        filled = replace(filled, background=parts.background)
        roomy = replace(parts, n_components=room)
        blocks: np.ndarray = roomy.layout.blocks(np.asarray(_pack(roomy, filled), float))
        return blocks[:count]

    def surface(self, state: State) -> GaussianSurface:
        """The components in the units of the fit, as NumPy arrays, without background."""
        parts = components(self.parameterization, self.pack(state.blocks, state.border))
        amplitudes, centers, factors = (np.asarray(a[: state.size], float) for a in jax.device_get(parts[:3]))
        return GaussianSurface(amplitudes, centers, factors @ factors.swapaxes(1, 2))

    def physical(self, state: State) -> GaussianSurface:
        """The surface in the user's units."""
        with precision(self.parameterization.floor.dtype):
            surface = self.prepared.surface(self.pack(state.blocks, state.border))
        return replace(surface.component(slice(state.size)), background=surface.background)

    def padded(self, state: State) -> State:
        """The state with as many components as were asked for; the missing ones have next to no height."""
        missing = self.request.n_components - state.size
        if missing <= 0:
            return state
        low = replace(self.even_start, amplitudes=np.zeros(self.request.n_components))
        return state._replace(blocks=np.concatenate([state.blocks, self.blocks(low)[:missing]]))


_pack = quick_jit(Parameterization.pack)
