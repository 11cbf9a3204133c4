"""How a fitted surface changes with the heights that it was fitted to, in the user's units and the shape of the data.

`Implicit` attaches derivatives to the minimum of the problem behind a result; here they are given units, and places in
the user's arrays. A height that was not used changes nothing: its derivatives are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from .._base.checks import one_of, real_array
from .._base.compile import Program, plain_jit, quick_jit
from .._base.precision import precision
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .._problem.problem import SurfaceProblem
from .._statistics.whole_covariance import COMPILED_FUNCTIONS, physical_surface, written_in_jax
from .fitted_minimum import FittedMinimum, fitted_minimum
from .implicit import HESSIANS, Implicit, attached
from .influence import LeftOut, left_out, leverage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult

# Numbers whose derivatives one program computes: fewer are filled up, so that any number of them compiles once.
NUMBERS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Derivatives of a fitted surface by the heights; `FitResult.sensitivity` makes it.

    By the implicit function theorem: dp = -H^-1 dg, with the gradient g of the cost at the minimum and its derivative H
    by the parameters p, which is exact unless ``hessian="gauss-newton"`` was asked for.

    surface : the surface at the minimum, to which the derivatives belong.
    step : relative length of the last Newton step towards it; above about 1e-6 the minimum was not reached, and the
        derivatives are as far off. Infinite where no minimum is nearby: then derivatives are NaN.
    undetermined : (K,) components of which a number is not determined by the data, or that are nowhere higher than
        1.5e-8 of the heights' spread: a centre there would move by 1e8 for a height, where `uncertainty` gives a large
        error. Derivatives of numbers that depend on such are NaN.

    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> z = np.exp(-0.5 * x**2) + 0.01 * np.random.default_rng(0).normal(size=81)
    >>> sensitivity = sf.fit(z, 1, coords=x, background=None).sensitivity()
    >>> pull = sensitivity.of(lambda surface: surface.centers[0, 0])
    >>> pull.shape, bool(pull[50] > 0 > pull[30])
    ((81,), True)
    >>> round(float(sensitivity.leverage().sum()), 2)
    3.0
    """

    _at: FittedMinimum

    @property
    def surface(self) -> GaussianSurface:
        """The surface at the minimum, to which the derivatives belong."""
        return self._at.surface

    @property
    def step(self) -> float:
        """Relative length of the last Newton step towards the minimum; above about 1e-6 it was not reached."""
        return float(self._at.minimum.step)

    @property
    def undetermined(self) -> np.ndarray:
        """Components (K,) of which a number is not determined by the data."""
        return self._at.undetermined

    def of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        """Derivatives of what a JAX function returns for the surface by every height, in the structure of its answer.

        ``function`` is given a `GaussianSurface` of JAX arrays in the user's units, and must use jax.numpy and return
        real floating-point numbers, or TypeError is raised. For a number the derivatives have the shape of the heights,
        for an array (...) the shape ``(..., *heights.shape)``. They are 0 at heights that were not used, and NaN for
        a number that depends on what the data do not determine.
        """
        if not callable(function):
            raise TypeError(f"`function` must be a function of a `GaussianSurface`, got {function!r}")
        with written_in_jax(), precision(np.dtype(np.float64)):
            example = jax.eval_shape(
                lambda problem, scaling, params: function(
                    physical_surface(problem, scaling, self._at.result.n_components, params)
                ),
                *self._where,
            )
            for leaf in jax.tree.leaves(example):
                if not jnp.issubdtype(leaf.dtype, jnp.floating):
                    raise TypeError(f"`function` must return real floating-point numbers, got {leaf.dtype.name}")
            slopes = _slopes_of(function, self._at.result.n_components)(*self._where)
        rows = iter(self._pulled(np.asarray(slopes)))
        return jax.tree.map(
            lambda leaf: np.array([next(rows) for _ in range(leaf.size)]).reshape(
                *leaf.shape, *self._at.result.data.heights.shape
            ),
            example,
        )

    def jvp(self, changes: Any) -> GaussianSurface:
        """Change of the surface's numbers, to first order, for changes of the heights.

        changes : in the shape of the heights, in their units; those of heights that were not used play no part.

        Gives the changes in the structure of the surface: amplitudes (K,), centers (K, d), covariances (K, d, d) and
        background. Raises ValueError for another shape, and for what is not finite.
        """
        data, array = self._at.result.data, real_array("changes", changes)
        if array.shape != data.heights.shape:
            raise ValueError(f"`changes` must have the shape of the heights {data.heights.shape}, got {array.shape}")
        array = data.turned(array)
        if not np.isfinite(array[data.used]).all():
            raise ValueError("`changes` must be finite where heights were used: give 0 where nothing changes")
        inner = np.zeros(len(self._at.problem.heights))
        inner[self._at.prepared.by_point(np.arange(len(inner)))] = self._at.prepared.scaling.height_differences(
            array[data.used]
        )
        with precision(np.dtype(np.float64)):
            moved = _pushed(self._at.adjoint, self._at.result.n_components, *self._where, jnp.asarray(inner))
        moved = jax.tree.map(np.asarray, moved)
        return moved if self.surface.background is not None else replace(moved, background=None)

    def vjp(self, slopes: GaussianSurface) -> np.ndarray:
        """Derivatives, by every height, of a number with these derivatives by the surface's own numbers.

        slopes : a `GaussianSurface` of derivatives by amplitudes (K,), centers (K, d), covariances (K, d, d) and
            background; a background of None stands for zeros.

        The answer has the shape of the heights; 0 at heights that were not used.
        """
        if not isinstance(slopes, GaussianSurface):
            raise TypeError(f"`slopes` must be a `GaussianSurface` of derivatives, got {type(slopes).__name__}")
        with precision(np.dtype(np.float64)):
            given = [np.asarray(a, float) for a in (slopes.amplitudes, slopes.centers, slopes.covariances)]
            own = (self.surface.amplitudes, self.surface.centers, self.surface.covariances)
            for name, one, other in zip(("amplitudes", "centers", "covariances"), given, own, strict=True):
                if one.shape != other.shape:
                    raise ValueError(f"`slopes.{name}` must have shape {other.shape}, got {one.shape}")
            rest = np.zeros(0) if slopes.background is None else ravel_pytree(slopes.background)[0]
            back = _slopes_from(self._at.result.n_components, *self._where, *given, jnp.asarray(rest, float))
        return self._pulled(np.asarray(back)[None])[0]

    def leverage(self) -> np.ndarray:
        """How much the fitted height at each place follows the height there: d f(x_j) / d z_j, in the shape of the
        data.

        The diagonal of the hat matrix, for which residuals and the loss count as they are. 0 where a point was not
        used; the sum is the number of parameters that the data determine, where residuals are small. Raises ValueError
        above 5000 parameters.
        """
        return leverage(self._at)

    def left_out(self, blocks: Any) -> LeftOut:
        """What the fit would say at blocks of points if each block were left out of it, by one Newton step.

        blocks : an integer, for blocks of so many samples a side; or integers in the shape of the heights, which name
            the block of each point, with negative ones for points that stay.

        For a model that is linear in its parameters one step is exact; here it is good as long as a block does not
        decide a component alone. Raises ValueError above 5000 parameters.
        """
        return left_out(self._at, blocks)

    def plot(self, function: Callable[[GaussianSurface], Any] | None = None) -> Figure:
        """The map of the derivatives of one number by every height, or (None) of `leverage`, as a matplotlib Figure.

        For one and two dimensions. Needs matplotlib: ``pip install surfacefit[plot]``. Raises ValueError for more
        dimensions, and for a function that gives more than one number.
        """
        values = self.leverage() if function is None else self.of(function)
        from .._plots.influence import plot_influence

        return plot_influence(self._at, values, function is None)

    @property
    def _where(self) -> tuple[SurfaceProblem, Scaling, np.ndarray]:
        return self._at.problem, self._at.prepared.scaling, self._at.params

    def _pulled(self, slopes: np.ndarray) -> np.ndarray:
        """Derivatives (M, *shape) by the heights of numbers with derivatives (M, P) by the parameters."""
        data, found = self._at.result.data, np.zeros((len(slopes), *self._at.result.data.heights.shape))
        with precision(np.dtype(np.float64)):
            for first in range(0, len(slopes), NUMBERS_AT_ONCE):
                some = slopes[first : first + NUMBERS_AT_ONCE]
                filled = np.pad(some, [(0, (1 if len(slopes) == 1 else NUMBERS_AT_ONCE) - len(some)), (0, 0)])
                rows = np.asarray(_pulled(self._at.adjoint, self._at.problem, self._at.params, jnp.asarray(filled)))
                for number, row in enumerate(rows[: len(some)]):
                    values = self._at.prepared.by_point(row) / self._at.prepared.scaling.height_scale
                    found[first + number][data.used] = values
        return data.turned(found)

    def __repr__(self) -> str:
        lost = int(self.undetermined.sum())
        return (
            f"<Sensitivity: {self._at.adjoint.hessian}, {self._at.result.n_components} components"
            f"{f', {lost} undetermined' if lost else ''}, last step {self.step:.1g}>"
        )


def sensitivity(result: FitResult, hessian: str) -> Sensitivity:
    """See `FitResult.sensitivity`."""
    if result.settings.sampling != "points":
        raise ValueError("`sensitivity` is of heights at points, this fit has sampling='integrated': fit points")
    adjoint = Implicit(hessian=one_of("hessian", hessian, list(HESSIANS)))
    with precision(np.dtype(np.float64)):
        return Sensitivity(fitted_minimum(result, adjoint))


def pulled_heights(adjoint: Implicit, problem: SurfaceProblem, params: Array, slopes: Array) -> Array:
    """Derivatives (M, N) by the heights, in the units of the problem, of numbers with derivatives (M, P)."""

    def minimum(heights: Array) -> Array:
        return attached(adjoint, replace(problem, heights=heights), params)[0]

    _, pull = jax.vjp(minimum, jnp.asarray(problem.heights))
    found: Array = jax.lax.map(lambda row: pull(row)[0], slopes)
    return found


def pushed_heights(
    adjoint: Implicit, count: int, problem: SurfaceProblem, scaling: Scaling, params: Array, changes: Array
) -> GaussianSurface:
    """Changes of the surface in the user's units for changes (N,) of the heights in those of the problem."""

    def surface(heights: Array) -> GaussianSurface:
        moved = replace(problem, heights=heights)
        return physical_surface(moved, scaling, count, attached(adjoint, moved, params)[0])

    return jax.jvp(surface, (jnp.asarray(problem.heights),), (changes,))[1]


def slopes_from(
    count: int,
    problem: SurfaceProblem,
    scaling: Scaling,
    params: Array,
    amplitudes: Array,
    centers: Array,
    covariances: Array,
    background: Array,
) -> Array:
    """Derivatives (P,) by the parameters of a number with these by the surface's own numbers."""

    def number(p: Array) -> Array:
        surface = physical_surface(problem, scaling, count, p)
        rest = ravel_pytree(surface.background)[0].astype(p.dtype)
        pairs = [(surface.amplitudes, amplitudes), (surface.centers, centers), (surface.covariances, covariances)]
        total = sum((jnp.vdot(a, b, precision="highest") for a, b in pairs), jnp.zeros((), p.dtype))
        return total + (jnp.vdot(rest, background, precision="highest") if background.size else 0.0)

    return jax.grad(number)(jnp.asarray(params))


_pulled = quick_jit(pulled_heights, static_argnums=(0,))
_pushed = quick_jit(pushed_heights, static_argnums=(0, 1))
_slopes_from = quick_jit(slopes_from, static_argnums=(0,))


@lru_cache(maxsize=COMPILED_FUNCTIONS)
def _slopes_of(function: Callable[..., Any], count: int) -> Program:
    """The derivatives (M, P) of a function's numbers, as a program that goes where the function is forgotten."""

    def slopes(problem: SurfaceProblem, scaling: Scaling, params: Array) -> Array:
        return jax.jacrev(lambda p: ravel_pytree(function(physical_surface(problem, scaling, count, p)))[0])(params)

    return plain_jit(slopes)
