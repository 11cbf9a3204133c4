"""From checked data and a model to a problem on the device, with the units between them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._background import NoBackground, background_start, continued
from ._compile import quick_jit
from ._covariance import COVARIANCE_TYPES
from ._data import SurfaceData
from ._parameters import Parameterization
from ._problem import SurfaceProblem
from ._scaling import Scaling, scaling_of
from ._surface import GaussianSurface


@dataclass(frozen=True)
class Model:
    """What is fitted. ``background`` is the option as the user gave it, or a background itself."""

    n_components: int
    background: Any
    covariance_type: str
    min_width: float


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data and problem side by side. ``background`` is the start of the background, in the user's units."""

    data: SurfaceData
    model: Model
    scaling: Scaling
    problem: SurfaceProblem
    background: Any

    @cached_property
    def cost_unit(self) -> float:
        """Cost in the user's units for a cost of one in the problem's."""
        return float((self.scaling.height_scale * _weight_unit(self.data)) ** 2)

    def surface(self, params: Any) -> GaussianSurface:
        """The surface in the user's units, as NumPy arrays in float64."""
        with precision(np.dtype(params.dtype)):
            parts = _components(self.problem.parameterization, params)
        amplitudes, centers, factors, _, model = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parts)
        internal = GaussianSurface(amplitudes, centers, factors @ factors.swapaxes(1, 2), model)
        physical = self.scaling.surface_to_physical(internal)
        background = physical.background
        return replace(physical, background=None if isinstance(background, NoBackground) else background)


_components = quick_jit(Parameterization.components)


def prepare(data: SurfaceData, model: Model, dtype: np.dtype, init: Any = None) -> Prepared:
    """Checks that need data and model together, units of order one, and the arrays on the device."""
    heights = data.used_heights.astype(np.float64)
    background = background_start(model.background, data.used_points, heights)
    if isinstance(init, GaussianSurface):
        background = continued(background, init.background)
    scaling = scaling_of(data.used_points, heights, shift_heights=background.shifts_heights, isotropic=model.covariance_type == "spherical")
    parameterization = Parameterization(
        floor=jnp.asarray(model.min_width * data.spacing / scaling.point_scale, dtype),
        background=_on_device(background.to_internal(scaling), dtype),
        covariance=COVARIANCE_TYPES[model.covariance_type],
        n_components=model.n_components,
    )
    _check_enough_points(data, model, parameterization)
    spare = capacity(len(heights)) - len(heights)
    problem = SurfaceProblem(
        points=_on_device(_padded(scaling.points(data.used_points), spare), dtype),
        heights=_on_device(_padded(scaling.heights(heights), spare), dtype),
        weights=_on_device(np.pad(data.weights / _weight_unit(data), (0, spare)), dtype),
        parameterization=parameterization,
    )
    return Prepared(data, model, scaling, problem, background)


def precision(dtype: np.dtype) -> AbstractContextManager[Any]:
    """64-bit JAX for the block if float64 is asked for; the global setting stays as it is."""
    return jax.enable_x64(True) if dtype == np.float64 else nullcontext()


def _weight_unit(data: SurfaceData) -> float:
    """Root mean square of the weights 1 / sigma, which the problem's weights are divided by."""
    return float(np.sqrt(np.mean(data.weights**2)))


def capacity(n_points: int) -> int:
    """Points to make room for: a few sizes for small maps, so that the next one of about this size compiles nothing.

    Powers of two up to 512, then four sizes an octave up to 8192; above, running outweighs compiling.
    """
    if n_points > 8192:
        return n_points
    octave = 1 << max(5, (n_points - 1).bit_length())
    unit = octave if octave <= 512 else octave // 8
    return -(-n_points // unit) * unit


def _padded(array: np.ndarray, spare: int) -> np.ndarray:
    """With the last entry repeated, so that whatever is evaluated there is as finite as at the data."""
    return np.pad(array, [(0, spare)] + [(0, 0)] * (array.ndim - 1), mode="edge")


def _on_device(tree: Any, dtype: np.dtype) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def _check_enough_points(data: SurfaceData, model: Model, parameterization: Parameterization) -> None:
    n_parameters = parameterization.n_parameters
    if n_parameters <= data.n_used:
        return
    fixed = n_parameters - model.n_components * parameterization.block_size
    most = max(0, (data.n_used - fixed) // parameterization.block_size)
    way_out = f"at most n_components={most} fit this map" if most else "no component fits so few points"
    if model.covariance_type == "full" and data.n_dim > 1:
        way_out += "; covariance_type='spherical' or 'diag' needs fewer parameters"
    raise ValueError(
        f"`n_components`={model.n_components} means {n_parameters} parameters, more than the {data.n_used} points to fit: {way_out}"
    )
