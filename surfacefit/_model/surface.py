"""The model: a sum of scaled Gaussians over a background, in physical units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import finite, moderate, positive_number, real_array
from .._base.devices import namespace
from .._base.exchange import SurfaceExchange
from .._periodic.host_images import HostImages
from .._periodic.image_numbers import images_for, largest_share, most_images
from .._periodic.images import images_of, sum_over_images
from .._periodic.nearest import Periods, wrapped
from .background import background_model, with_last_axis
from .gaussian import GaussianNumbers, profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Asymmetry that a given covariance may have, in units of the widths of its axes: rounding of float32.
COVARIANCE_ASYMMETRY = 1e-6
# Values of single components at single points in one block of an evaluation: its few arrays of 1 MB stay in a
# processor's cache, at 4 to 9 ns a value; in blocks of 32 MB it took 18 to 23 ns.
BLOCK_ELEMENTS = 2**17
# Components times points above which only components that are not zero at a point are evaluated there. A compromise:
# the lists of which component reaches where take time of their own, which pays for large surfaces only.
MANY_ELEMENTS = 5e7
# Periods: widest component that is summed over its images. From one period on it is level to 1e-8.
MOST_PERIODS_WIDE = 10
# The arrays with a row for each component.
COMPONENT_ARRAYS = ("amplitudes", "centers", "covariances")


def whitened(points: Any, centers: Any, inverse_factors: Any) -> list[Any]:
    """u_k(x) = L_k^{-1} (x - c_k): points (N, d), centers (K, d), inverse factors (K, d, d) -> d arrays (K, N)."""
    return whitened_offsets(offsets_from(points, centers), inverse_factors)


def offsets_from(points: Any, centers: Any) -> list[Any]:
    """x - c_k: points (N, d), centers (K, d) -> d arrays (K, N)."""
    return [points[:, j] - centers[:, j, None] for j in range(points.shape[-1])]


def whitened_offsets(offsets: list[Any], inverse_factors: Any) -> list[Any]:
    """L_k^{-1} x for offsets x, d arrays (K, N), and inverse factors (K, d, d).

    The d x d products are unrolled: XLA fuses them into one pass, where batched solves take minutes on a CPU.
    """
    return [
        sum(
            (inverse_factors[:, i, j, None] * offsets[j] for j in range(1, i + 1)),
            inverse_factors[:, i, 0, None] * offsets[0],
        )
        for i in range(len(offsets))
    ]


def monomials(u: list[Array]) -> list[Array]:
    """1, u_i and u_i u_j (i >= j) for d arrays of one shape: the order of every array (..., q, ...) of moments."""
    return [jnp.ones_like(u[0]), *u, *(u[i] * u[j] for i in range(len(u)) for j in range(i + 1))]


def inverse_lower(factors: Any) -> Any:
    """Inverses of lower triangular (..., d, d) by unrolled forward substitution."""
    xp, n_dim = namespace(factors), factors.shape[-1]
    identity = np.eye(n_dim, dtype=factors.dtype)
    rows: list[Any] = []
    for i in range(n_dim):
        row = xp.broadcast_to(identity[i], factors[..., 0, :].shape)
        for j in range(i):
            row = row - factors[..., i, j, None] * rows[j]
        rows.append(row / factors[..., i, i, None])
    return xp.stack(rows, axis=-2)


def evaluate(surface: GaussianSurface, points: Array) -> Array:
    """Heights of a surface at points (..., d), as a pure JAX function: passes jit, vmap and grad."""
    points = jnp.asarray(points)
    amplitudes, centers, covariances = (
        jnp.asarray(a, points.dtype) for a in (surface.amplitudes, surface.centers, surface.covariances)
    )
    factors = jnp.linalg.cholesky(covariances)
    inverses = inverse_lower(factors)
    flat = points.reshape(-1, points.shape[-1])

    def profiles(offsets: list[Array]) -> Array:
        return jnp.asarray(profile(sum(u * u for u in whitened_offsets(offsets, inverses))))

    offsets = offsets_from(flat, centers)
    if surface.periods is None:
        values = profiles(offsets)
    else:
        most, amplitudes = _images_to_sum(surface, amplitudes, covariances)
        images = images_of(jnp, surface.periods, factors, jnp.ones(len(amplitudes), bool), most)
        values = sum_over_images(images, offsets, profiles, most)
    heights = jnp.einsum("k,kn->n", amplitudes, values, precision="highest")
    return (heights + background_model(surface.background)(flat)).reshape(points.shape[:-1])


def _images_to_sum(surface: GaussianSurface, amplitudes: Array, covariances: Array) -> tuple[int, Array]:
    """How many images on either side a surface needs, and its amplitudes (K,): where JAX traces the widths the images
    are those of a fit, and components that need more are NaN.
    """
    most = most_images(surface.n_dim)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((surface.covariances, surface.periods))):
        return max(most, images_for(widest_share(surface))), amplitudes
    limits = jnp.array([jnp.inf if p is None else largest_share(most) * p for p in surface.periods or ()])
    wide = jnp.any(jnp.diagonal(covariances, axis1=1, axis2=2) > limits**2, axis=1)
    return most, jnp.where(wide, jnp.nan, amplitudes)


def widest_share(surface: GaussianSurface) -> float:
    """The largest deviation along a periodic axis, in periods. ValueError for one that no sum of images is worth."""
    deviations = np.sqrt(np.diagonal(np.asarray(surface.covariances, float), axis1=1, axis2=2)).max(axis=0, initial=0)
    pairs = zip(deviations, surface.periods or (), strict=True)
    share = max((float(deviation / period) for deviation, period in pairs if period is not None), default=0.0)
    if share > MOST_PERIODS_WIDE:
        raise ValueError(
            f"`covariances` of a surface with periods must have deviations of at most {MOST_PERIODS_WIDE} periods, got"
            f" {share:g}: such a component is a constant, leave it to the background"
        )
    return share


@register_dataclass
@dataclass(frozen=True, eq=False)
class GaussianSurface(GaussianNumbers, SurfaceExchange):
    r"""A sum of scaled Gaussians with full covariances over a background,

    .. math:: f(x) = b(x) + \sum_k a_k \exp\bigl(-\tfrac12 (x - c_k)^T \Sigma_k^{-1} (x - c_k)\bigr).

    Parameters
    ----------
    amplitudes : (K,) peak heights a_k, in the units of the heights.
    centers : (K, d) centres c_k, in the units of the coordinates; columns in the order of the array's axes.
    covariances : (K, d, d) symmetric positive definite, in squared units of the coordinates.
    background : None, a number (constant), `ConstantBackground`, `PlaneBackground` or `FunctionBackground`.
    periods : a period for each axis after which the surface repeats, None for an open axis: each component is then the
        sum of its images at c_k + n P, those below 1e-12 of its height left out. None (default): no axis has one.

    A surface is a pytree of its arrays, so it goes through `jax.jit`, `jax.vmap` and `jax.grad`. Calling it
    with NumPy points gives NumPy heights in float64; with JAX points, or inside a transformation, it is a pure
    JAX function in the dtype of the points.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> hill = sf.GaussianSurface(amplitudes=[2.0], centers=[[0.0, 0.0]], covariances=[np.diag([4.0, 1.0])])
    >>> float(hill(np.array([0.0, 0.0])))
    2.0
    >>> hill.principal_widths
    array([[2., 1.]])
    """

    amplitudes: Any
    centers: Any
    covariances: Any
    background: Any = None
    periods: Periods | None = None

    def __call__(self, points: Any) -> Any:
        """Heights (...) at points (..., d); for d = 1 a plain array (...) of positions will do."""
        surface = map_components(self, _array_of_tracers)
        n_dim = _checked_dimension(surface)
        if namespace(*jax.tree.leaves((surface, points))) is jnp:
            return evaluate(surface, with_last_axis(jnp.asarray(points), n_dim))
        return _evaluate_numpy(surface, with_last_axis(_numbers(points), n_dim))

    def component(self, index: Any) -> GaussianSurface:
        """The component (or components) at ``index``, without the background."""
        index = np.atleast_1d(np.arange(self.n_components)[index])
        return replace(map_components(self, lambda array: np.asarray(array)[index]), background=None)

    def sorted(self) -> GaussianSurface:
        """The same surface with components in the order of falling volume, whatever its sign."""
        return replace(self.component(self.by_volume), background=self.background)

    @property
    def by_volume(self) -> np.ndarray:
        """Indices (K,) of the components in the order of falling volume, whatever its sign."""
        return np.argsort(-np.abs(self.volumes), kind="stable")

    def plot(self, extent: Any = None) -> Figure:
        """A picture without data, as a matplotlib Figure, for one to three dimensions.

        A curve with its components in 1-D, a map with the 1-sigma ellipse of each component in 2-D, in 3-D the highest
        value along each axis. ``extent`` (d, 2) is the lowest and highest coordinate along each axis; None (default):
        four widths around all components. Needs matplotlib: ``pip install surfacefit[plot]``.

        >>> import numpy as np, surfacefit as sf
        >>> figure = sf.GaussianSurface([2.0], [[0.0, 5.0]], [np.eye(2)]).plot([(-3, 3), (0, 9)])
        >>> figure.axes[0].get_xlim() == (0, 9)
        True
        """
        from .._plots.surface import plot_surface

        return plot_surface(self, extent)


def _array_of_tracers(array: Any) -> Any:
    """A list of numbers that JAX traces as an array, anything else as it is."""
    traced = isinstance(array, list | tuple) and any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(array))
    return jnp.asarray(array) if traced else array


def _checked_dimension(surface: GaussianSurface) -> int:
    """The dimension d of a surface, whose arrays must have shapes (K,), (K, d) and (K, d, d)."""
    amplitudes, centers, covariances = (np.shape(getattr(surface, name)) for name in COMPONENT_ARRAYS)
    if len(centers) != 2 or amplitudes != centers[:1] or covariances != (*centers, centers[1]):
        raise ValueError(
            "a surface must have `amplitudes` (K,), `centers` (K, d) and `covariances` (K, d, d), got shapes"
            f" {amplitudes}, {centers} and {covariances}"
        )
    if surface.periods is not None:
        _check_periods(surface.periods, centers[1])
    return int(centers[1])


def _check_periods(periods: Any, n_dim: int) -> None:
    """Refuses periods of a surface that are no positive lengths, one or None for each axis; those that JAX traces have
    no value to look at.
    """
    single = isinstance(periods, str | bytes) or not isinstance(periods, Sequence | np.ndarray)
    if single or len(periods) != n_dim:
        raise ValueError(
            f"`periods` of a surface must be one for each of its {n_dim} axes, None for an open one, got {periods!r}"
        )
    for period in periods:
        if period is not None and not isinstance(period, jax.core.Tracer):
            positive_number("periods", period)


def _numbers(points: Any) -> np.ndarray:
    return np.asarray(points if isinstance(points, np.ndarray) else real_array("points", points), np.float64)


def map_components(surface: GaussianSurface, function: Callable[[Any], Any]) -> GaussianSurface:
    """The surface with a function applied to each array that has a row for each component."""
    return replace(surface, **{name: function(getattr(surface, name)) for name in COMPONENT_ARRAYS})


def checked_surface(
    name: str, surface: GaussianSurface, n_components: int, n_dim: int, signed: bool
) -> GaussianSurface:
    """A surface given by a user, with arrays of the right shapes, amplitudes >= 0 unless signed, positive definite
    covariances.
    """
    arrays = [
        np.asarray(real_array(f"{name}.{field}", getattr(surface, field)), np.float64) for field in COMPONENT_ARRAYS
    ]
    shapes = [(n_components,), (n_components, n_dim), (n_components, n_dim, n_dim)]
    for field, array, shape in zip(COMPONENT_ARRAYS, arrays, shapes, strict=True):
        if array.shape != shape:
            raise ValueError(
                f"`{name}.{field}` must have shape {shape} for K={n_components} components in d={n_dim}, got"
                f" {array.shape}"
            )
        (finite if field == "covariances" else moderate)(f"{name}.{field}", array)  # covariances are squares already
    amplitudes, centers, covariances = arrays
    if not signed and (amplitudes < 0).any():
        raise ValueError(
            f"`{name}.amplitudes` must not be negative, got {amplitudes.min():g} at index {int(amplitudes.argmin())}:"
            " allow that by amplitudes='signed'"
        )
    bad = ~are_covariances(covariances)
    if bad.any():
        raise ValueError(
            f"`{name}.covariances` must be symmetric positive definite, got {covariances[bad][0].tolist()} at index"
            f" {int(bad.argmax())}"
        )
    return replace(surface, amplitudes=amplitudes, centers=centers, covariances=covariances)


def are_covariances(covariances: np.ndarray) -> np.ndarray:
    """Which matrices (K, d, d) are symmetric positive definite to rounding, whatever the units of the axes."""
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    widths = np.sqrt(np.where(variances > 0, variances, 1.0))
    correlations = covariances / widths[:, :, None] / widths[:, None, :]
    asymmetry = np.abs(correlations - correlations.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
    positive = (variances > 0).all(axis=1) & (np.linalg.eigvalsh(correlations)[:, 0] > 0)
    return np.asarray(positive & (asymmetry <= COVARIANCE_ASYMMETRY))


def _evaluate_numpy(surface: GaussianSurface, points: np.ndarray) -> np.ndarray:
    """In float64, in blocks of points so that memory stays bounded, and where there is much, only what is not zero."""
    flat = points.reshape(-1, points.shape[-1])
    heights = np.array(background_model(surface.background)(flat), np.float64)
    if surface.periods is not None:
        surface, flat, _ = unrolled(surface, flat)
    if len(flat) * surface.n_components > MANY_ELEMENTS and np.isfinite(flat).all():
        return (_evaluate_much(surface, flat) + heights).reshape(points.shape[:-1])
    amplitudes, centers, covariances = (np.asarray(getattr(surface, name), float) for name in COMPONENT_ARRAYS)
    heights += sum_on_host(flat, amplitudes, centers, inverse_lower(_factors(covariances)))
    return heights.reshape(points.shape[:-1])


def values_on_host(surface: GaussianSurface, points: np.ndarray) -> np.ndarray:
    """The value (K, N) of each component at points (N, d), by NumPy."""
    if surface.periods is not None:
        images, points, owners = unrolled(surface, points)
        return owners.summed(values_on_host(images, points), surface.n_components)
    amplitudes, centers, covariances = (np.asarray(getattr(surface, name), float) for name in COMPONENT_ARRAYS)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = sum(u * u for u in whitened(points, centers, inverse_lower(_factors(covariances))))
    return np.asarray(amplitudes[:, None] * profile(squares))


def sum_on_host(points: np.ndarray, amplitudes: np.ndarray, centers: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """sum_k a_k exp(-|L_k^-1 (x - c_k)|^2 / 2) at points (N, d), with inverse factors (K, d, d), by NumPy in blocks."""
    heights, size = np.zeros(len(points)), max(1, BLOCK_ELEMENTS // max(len(amplitudes), 1))
    with np.errstate(over="ignore", invalid="ignore"):  # far away a squared distance may be infinite
        for start in range(0, len(points), size):
            squares = sum(u * u for u in whitened(points[start : start + size], centers, inverses))
            heights[start : start + size] = amplitudes @ profile(squares)
    return heights


def unrolled(surface: GaussianSurface, points: np.ndarray) -> tuple[GaussianSurface, np.ndarray, HostImages]:
    """A surface without periods that has the same heights at points (N, d) moved into one period: its components are
    images of those of the surface, whose owners come with them.
    """
    assert surface.periods is not None
    widest_share(surface)
    finite = np.isfinite(points).all(axis=1)
    low = points[finite].min(axis=0) if finite.any() else np.zeros(points.shape[1])
    with np.errstate(invalid="ignore"):  # infinity is at no place of a period
        points = wrapped(points, low, surface.periods)
    high = points[finite].max(axis=0) if finite.any() else low
    covariances = np.asarray(surface.covariances, float)
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    images = HostImages.of(np.asarray(surface.centers, float), deviations, surface.periods, low, high)
    amplitudes = np.asarray(surface.amplitudes, float)[images.owners]
    plain = replace(
        surface,
        amplitudes=amplitudes,
        centers=images.centers,
        covariances=covariances[images.owners],
        periods=None,
    )
    return plain, points, images


def _evaluate_much(surface: GaussianSurface, flat: np.ndarray) -> np.ndarray:
    from .._problem.evaluation import tiled_heights

    return tiled_heights(surface, flat)


def _factors(covariances: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(covariances)[:, 0]
        raise ValueError(
            f"`covariances` must be positive definite, got {covariances[lowest.argmin()].tolist()} at index"
            f" {int(lowest.argmin())}"
        ) from None
