"""Backgrounds b(x) under the components: none, a constant, a plane, or a function of the user's.

Each is a pytree that is called with points (..., d) and returns heights (...): of NumPy, in float64, unless the points
or its own numbers are JAX arrays, and then of JAX, in the precision of the points. ``vector`` gives its free numbers,
``with_vector`` replaces them, and ``to_internal`` and ``to_physical`` change units by the scaling

    x = point_shift + point_scale * x_internal,     z = height_shift + height_scale * z_internal.

``shifts_heights`` says whether the background absorbs a constant that is subtracted from all heights. Without a
background nothing does, and the heights are only scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import finite, moderate, one_of, real_array
from .._base.devices import namespace
from .._base.precision import precision
from .scaling import Scaling

# Quantile of the heights at which a background starts under components that only add to it: low, but not the lowest
# point, which noise makes.
LOW_QUANTILE = 0.1
# Quantile of the heights at which a background starts where components have either sign: their middle.
MIDDLE_QUANTILE = 0.5
# Least extent of an axis, in its units, that a slope is divided by: an axis with a single coordinate has none.
LEAST_EXTENT = 1e-300

Background = Any
"""None or one of the classes below."""


class BackgroundModel(Protocol):
    """The contract of a background; see the module."""

    shifts_heights: bool

    @property
    def n_parameters(self) -> int:
        """Number m of free numbers."""
        ...

    def __call__(self, points: Any) -> Any:
        """Heights (...) at points (..., d)."""
        ...

    def vector(self) -> Any:
        """The free numbers (m,)."""
        ...

    def with_vector(self, vector: Any) -> BackgroundModel:
        """The background with other free numbers (m,)."""
        ...

    def to_internal(self, scaling: Scaling) -> BackgroundModel:
        """The background in the units of a fit, from the user's."""
        ...

    def to_physical(self, scaling: Scaling) -> BackgroundModel:
        """The background in the user's units, from those of a fit."""
        ...


def background_model(background: Background) -> BackgroundModel:
    """The background model of what a surface holds: None, a number (a constant), or one of the classes here."""
    if background is None:
        return NoBackground()
    if isinstance(background, NoBackground | ConstantBackground | PlaneBackground | FunctionBackground):
        return background
    return ConstantBackground(background)


def checked_background(name: str, background: Background, n_dim: int) -> BackgroundModel:
    """The model of a background given by a user, of float64 arrays in the right shapes."""
    model, shapes = background_model(background), {"value": (), "slopes": (n_dim,), "origin": (n_dim,)}
    numbers = {}
    for field_name in ("value", "slopes", "origin", "parameters"):
        if hasattr(model, field_name):
            whole = f"{name}.{field_name}"
            array = moderate(whole, np.asarray(real_array(whole, getattr(model, field_name)), np.float64))
            shape = shapes.get(field_name, (array.size,))
            if array.shape != shape:
                raise ValueError(f"`{whole}` must have shape {shape}, got {array.shape}")
            numbers[field_name] = array
    return replace(model, **numbers) if numbers else model  # type: ignore[type-var]


def background_start(
    option: Any, points: np.ndarray, heights: np.ndarray, level: float, weights: np.ndarray | None = None
) -> BackgroundModel:
    """The model that the option ``background`` asks for, with its start in the units of points (N, d), heights (N,).

    A constant or a plane starts at the quantile ``level`` of the heights, 0 to 1, each of which counts as the square of
    its weight 1 / sigma (N,).
    """
    if option is None:
        return NoBackground()
    if isinstance(option, FunctionBackground):
        return _function_start(option.function, option.parameters, points)
    if isinstance(option, ConstantBackground | PlaneBackground):
        return checked_background("background", option, points.shape[1])
    if isinstance(option, tuple) and len(option) == 2 and callable(option[0]):
        return _function_start(*option, points)
    if callable(option):
        raise TypeError("`background` as a function needs its start too: give `background=(function, start)`")
    origin = (points.min(axis=0) + points.max(axis=0)) / 2
    if isinstance(option, int | float | np.number) and not isinstance(option, bool):
        return ConstantBackground(float(moderate("background", np.asarray(option, float))))
    if not isinstance(option, str):
        raise TypeError(
            f"`background` must be None, 'constant', 'plane', a number, a background object or (function, start), got"
            f" {option!r}"
        )
    if one_of("background", option, ["constant", "plane"]) == "constant":
        return ConstantBackground(_quantile(heights, level, weights))
    extent = np.maximum(np.ptp(points, axis=0), LEAST_EXTENT)
    columns = np.column_stack([np.ones(len(points)), (points - origin) / extent])
    value, *slopes = np.linalg.lstsq(columns, heights, rcond=None)[0]
    rest = _quantile(heights - columns @ np.array([value, *slopes]), level, weights)
    return PlaneBackground(value + rest, np.array(slopes) / extent, origin)


def _quantile(values: np.ndarray, level: float, weights: np.ndarray | None) -> Any:
    """The quantile of values (N,), of which the n-th counts weights[n]^2 times."""
    if weights is None or np.ptp(weights) == 0:
        return np.quantile(values, level)
    order = np.argsort(values)
    counts = (weights[order] / weights.max()) ** 2
    reached = np.cumsum(counts) - counts / 2
    return np.interp(level * counts.sum(), reached, values[order])


def floating(points: Any, *numbers: Any) -> Any:
    """Points as floating-point numbers: of JAX if they or one of the ``numbers`` are, else of NumPy in float64."""
    if namespace(points, *numbers) is np:
        return np.asarray(points, np.float64)
    array = jnp.asarray(points)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def with_last_axis(points: Any, n_dim: int) -> Any:
    """Points (..., d); for d = 1 plain positions (...) will do."""
    if n_dim == 1 and (points.ndim == 0 or points.shape[-1] != 1):
        points = points[..., None]
    if points.ndim == 0 or points.shape[-1] != n_dim:
        raise ValueError(
            f"`points` must have a last axis of length {n_dim} (one coordinate a dimension), got shape {points.shape}"
        )
    return points


def continued(asked: BackgroundModel, given: Background, n_dim: int) -> BackgroundModel:
    """The background that was asked for, starting from the numbers of the given one if it is of the same kind."""
    model = checked_background("init.background", given, n_dim)
    if type(model) is not type(asked) or np.shape(model.vector()) != np.shape(asked.vector()):
        return asked
    return asked.with_vector(model.vector()) if isinstance(asked, FunctionBackground) else model


def _function_start(function: Callable[..., Any], start: Any, points: np.ndarray) -> FunctionBackground:
    parameters = np.atleast_1d(finite("background[1]", np.asarray(real_array("background[1]", start), np.float64)))
    model = FunctionBackground(function, parameters)
    some = points[: min(len(points), 3)]
    heights = np.asarray(function(jnp.asarray(parameters), jnp.asarray(some)))
    if heights.shape != some.shape[:-1]:
        raise ValueError(
            f"`background` must map parameters and points (N, d) to heights (N,), got shape {heights.shape} for"
            f" {some.shape}"
        )
    try:
        jax.eval_shape(function, jnp.asarray(parameters), jnp.asarray(some))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise TypeError(
            "`background` must be a function that JAX can trace, but it asks for the values of its arguments, by NumPy,"
            f" `float` or `if`: write it with `jax.numpy` (JAX says: {str(error).splitlines()[0]})"
        ) from None
    return model


@register_dataclass
@dataclass(frozen=True, eq=False)
class NoBackground:
    """b(x) = 0."""

    shifts_heights = False
    n_parameters = 0

    def __call__(self, points: Any) -> Any:
        points = floating(points)
        return namespace(points).zeros(points.shape[:-1], points.dtype)

    def vector(self) -> Any:
        return np.zeros(0)

    def with_vector(self, vector: Any) -> NoBackground:
        return self

    def to_internal(self, scaling: Scaling) -> NoBackground:
        return self

    def to_physical(self, scaling: Scaling) -> NoBackground:
        return self


@register_dataclass
@dataclass(frozen=True, eq=False)
class ConstantBackground(BackgroundModel):
    """A constant background, b(x) = value.

    ``value`` is in the units of the heights. `surfacefit.fit` makes one for ``background="constant"``; given as
    ``background=ConstantBackground(value)``, or in a start, ``value`` is where the fit begins.

    >>> import numpy as np, surfacefit as sf
    >>> float(sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]], sf.ConstantBackground(3.0))(0.0))
    4.0
    """

    value: Any
    shifts_heights = True
    n_parameters = 1

    def __call__(self, points: Any) -> Any:
        points = floating(points, self.value)
        return namespace(points).full(points.shape[:-1], self.value, points.dtype)

    def vector(self) -> Any:
        return namespace(self.value).asarray(self.value)[None]

    def with_vector(self, vector: Any) -> ConstantBackground:
        return ConstantBackground(vector[0])

    def to_internal(self, scaling: Scaling) -> ConstantBackground:
        return ConstantBackground((self.value - scaling.height_shift) / scaling.height_scale)

    def to_physical(self, scaling: Scaling) -> ConstantBackground:
        return ConstantBackground(self.value * scaling.height_scale + scaling.height_shift)


@register_dataclass
@dataclass(frozen=True, eq=False)
class PlaneBackground(BackgroundModel):
    """A plane as background, b(x) = value + slopes . (x - origin).

    ``value`` is in the units of the heights, ``slopes`` (d,) in heights per coordinate; ``origin`` (d,) is not
    fitted: `surfacefit.fit` puts it in the middle of the data, where value and slopes are least correlated and
    coordinates of millions cost no digits.

    >>> import numpy as np, surfacefit as sf
    >>> plane = sf.PlaneBackground(3.0, np.array([2.0]), np.array([10.0]))
    >>> float(sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]], plane)(12.0))
    7.0
    """

    value: Any
    slopes: Any
    origin: Any
    shifts_heights = True

    @property
    def n_parameters(self) -> int:
        """Free numbers: the value and the slopes."""
        return 1 + int(np.size(self.slopes))

    def __call__(self, points: Any) -> Any:
        points = floating(points, self.value, self.slopes, self.origin)
        xp, points = namespace(points), with_last_axis(points, np.size(self.slopes))
        value, slopes, origin = (xp.asarray(a, points.dtype) for a in (self.value, self.slopes, self.origin))
        return value + xp.sum((points - origin) * slopes, axis=-1)

    def vector(self) -> Any:
        xp = namespace(self.value, self.slopes)
        return xp.concatenate([xp.asarray(self.value)[None], xp.asarray(self.slopes)])

    def with_vector(self, vector: Any) -> PlaneBackground:
        return replace(self, value=vector[0], slopes=vector[1:])

    def to_internal(self, scaling: Scaling) -> PlaneBackground:
        return PlaneBackground(
            (self.value - scaling.height_shift) / scaling.height_scale,
            self.slopes * scaling.point_scale / scaling.height_scale,
            (self.origin - scaling.point_shift) / scaling.point_scale,
        )

    def to_physical(self, scaling: Scaling) -> PlaneBackground:
        return PlaneBackground(
            self.value * scaling.height_scale + scaling.height_shift,
            self.slopes * scaling.height_scale / scaling.point_scale,
            self.origin * scaling.point_scale + scaling.point_shift,
        )


@register_dataclass
@dataclass(frozen=True, eq=False)
class FunctionBackground(BackgroundModel):
    """A user's background, b(x) = function(parameters, x).

    ``function`` is a JAX function of parameters (m,) and points (..., d) that gives heights (...); it always sees the
    user's own units. ``parameters`` (m,) are fitted together with the components. `surfacefit.fit` makes one of
    ``background=(function, start)``. (``scaling`` is set inside a fit only.)

    >>> import jax.numpy as jnp, numpy as np, surfacefit as sf
    >>> decay = sf.FunctionBackground(lambda q, x: q[0] * jnp.exp(-q[1] * x[..., 0]), np.array([2.0, 0.5]))
    >>> float(sf.GaussianSurface([1.0], [[9.0]], [[[0.01]]], decay)(0.0))
    2.0
    """

    function: Callable[[Array, Array], Array] = field(metadata={"static": True})
    parameters: Any
    scaling: Any = None
    shifts_heights = True

    @property
    def n_parameters(self) -> int:
        """Free numbers: the parameters (m,)."""
        return int(np.size(self.parameters))

    def __call__(self, points: Any) -> Any:
        points = floating(points, *jax.tree.leaves(self))
        if isinstance(points, jax.Array):
            return self._heights(points)
        with precision(np.dtype(np.float64)):
            return np.asarray(self._heights(jnp.asarray(points)))

    def _heights(self, points: Array) -> Array:
        parameters = jnp.asarray(self.parameters, points.dtype)
        if self.scaling is None:
            return self.function(parameters, points)
        scaling = jax.tree.map(lambda a: jnp.asarray(a, points.dtype), self.scaling)
        heights = self.function(parameters, points * scaling.point_scale + scaling.point_shift)
        return (heights - scaling.height_shift) / scaling.height_scale

    def vector(self) -> Any:
        return namespace(self.parameters).asarray(self.parameters)

    def with_vector(self, vector: Any) -> FunctionBackground:
        return replace(self, parameters=vector)

    def to_internal(self, scaling: Scaling) -> FunctionBackground:
        return replace(self, scaling=scaling)

    def to_physical(self, scaling: Scaling) -> FunctionBackground:
        return replace(self, scaling=None)
