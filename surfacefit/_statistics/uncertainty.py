r"""Errors of a fit, and of whatever follows from it.

With J the derivatives of the weighted residuals at the solution and N = J^T J (for a loss other than least squares J^T
W J with its second derivatives W), the covariance of the parameters is

- "hessian": s^2 N^+, with s^2 = 1 for known errors (absolute sigmas, counts) and 2 cost / (n - P) otherwise, as
`scipy.optimize.curve_fit`;
- "sandwich": N^+ (sum_j psi_j^2 J_j^T J_j) N^+ n / (n - P), with psi_j the derivative of the cost of a point: for
errors that differ in an
  unknown way (White, Econometrica 48 (1980) 817; MacKinnon & White's HC1), and for robust losses (Huber 1967);
- "correlated": N^+ (J^T R J) N^+ with the noise's covariance R as the residuals show it, see `_data/noise`.

A number y(p) has the variance y' C y'^T (delta method). Directions that the data do not determine, the null space of N,
and those that a limit holds are left out of the inverse, and every number that they move has an infinite error; what is
fixed has none. A limit of widths keeps the widths that meet it from being known, not the other ones, nor the angle
between unlike ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.precision import precision
from .._constraints.box import bound_tolerance
from .._data.noise import Grid, correlated_noise
from .._model.background import background_model
from .._model.surface import GaussianSurface, with_last_axis
from .._problem.loss_views import information_jacobian, score_jacobian
from .._problem.prepared import fixed_parameters, used_parameters
from .._problem.problem import SurfaceProblem
from .component_errors import ComponentErrors
from .constrained_directions import ConstrainedDirections, constrained_directions
from .covariances import Root, WholeCovariance, inverse_root
from .linearization import linearized_at
from .local_covariances import local_errors

if TYPE_CHECKING:
    from .._results.result import FitResult

METHODS = ("hessian", "sandwich", "correlated")
MOST_PARAMETERS = 5000
MOST_ENTRIES = 3e8
PRINCIPAL_WIDTHS, FWHM, ORIENTATION, VOLUMES = (
    attrgetter(name) for name in ("principal_widths", "fwhm", "orientation", "volumes")
)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Standard errors of the numbers of a fit, under the names that a `GaussianSurface` has for them; made by
    `FitResult.uncertainty`.

    method : "hessian", "sandwich" or "correlated", as asked for.
    exact : whether the whole normal matrix was inverted. Else, for very many components, its diagonal blocks were, by
        nested dissection, with every component cut off at 5 of its widths, which changes nearly all errors by less than
        five per cent (99.9 % of them at 10,000 components).
    correlation_length : for "correlated", the lag in samples within which noise was found to be correlated; else 0.

    >>> import jax.numpy as jnp, numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> z = np.exp(-0.5 * x**2) + 0.01 * np.random.default_rng(0).normal(size=81)
    >>> errors = sf.fit(z, 1, coords=x, background=None).uncertainty()
    >>> errors.fwhm.shape, bool(errors.volumes[0] < 0.05)
    ((1, 1), True)
    >>> ratio = errors.of(lambda surface: surface.amplitudes[0] / jnp.sqrt(surface.covariances[0, 0, 0]))
    >>> bool(0 < ratio < 0.05)
    True
    """

    method: str
    exact: bool
    correlation_length: float
    _covariance: WholeCovariance | ComponentErrors

    @cached_property
    def surface(self) -> GaussianSurface:
        """Errors of amplitudes, centres, covariances and background, in the structure of the fitted surface."""
        return self._components.surface()

    @property
    def amplitudes(self) -> np.ndarray:
        """(K,)."""
        return np.asarray(self.surface.amplitudes)

    @property
    def centers(self) -> np.ndarray:
        """(K, d)."""
        return np.asarray(self.surface.centers)

    @property
    def covariances(self) -> np.ndarray:
        """(K, d, d)."""
        return np.asarray(self.surface.covariances)

    @property
    def background(self) -> Any:
        """Of the background's free numbers, in its structure."""
        return self.surface.background

    @cached_property
    def principal_widths(self) -> np.ndarray:
        """(K, d), larger width first."""
        return self._components.by_component(PRINCIPAL_WIDTHS)

    @cached_property
    def fwhm(self) -> np.ndarray:
        """(K, d) along the principal axes."""
        return self._components.by_component(FWHM)

    @cached_property
    def orientation(self) -> np.ndarray:
        """(K,) in radians, in 2-D; infinite for a round component."""
        if self.centers.shape[1] != 2:
            raise ValueError(f"`orientation` is an angle in 2-D; this surface has {self.centers.shape[1]} dimensions")
        return self._components.by_component(ORIENTATION)

    @cached_property
    def volumes(self) -> np.ndarray:
        """(K,)."""
        return self._components.by_component(VOLUMES)

    def of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        """Errors of what a JAX function makes of the surface, in the structure of its answer (delta method: first
        order).

        ``function`` is given a `GaussianSurface` of JAX arrays in the user's units. Needs ``exact``.
        """
        return self._whole("of").of(function)

    def band(self, points: Any) -> np.ndarray:
        """Standard error (...) of the surface itself at points (..., d). Needs ``exact``."""
        whole = self._whole("band")
        positions = with_last_axis(np.asarray(points, np.float64), whole.prepared.data.n_dim)
        return whole.band(positions.reshape(-1, positions.shape[-1])).reshape(positions.shape[:-1])

    @cached_property
    def names(self) -> list[str]:
        """What stands in the rows of ``matrix``: amplitudes, centres, lower triangles of covariances, background."""
        k, d = self.centers.shape
        lower = [(i, j) for i in range(d) for j in range(i + 1)]
        names = [f"amplitudes[{n}]" for n in range(k)] + [f"centers[{n}, {i}]" for n in range(k) for i in range(d)]
        names += [f"covariances[{n}, {i}, {j}]" for n in range(k) for i, j in lower]
        return names + [f"background[{n}]" for n in range(np.size(background_model(self.background).vector()))]

    @cached_property
    def matrix(self) -> np.ndarray:
        """Covariance matrix (M, M) of the numbers in ``names``; infinite on the diagonal where undetermined. Needs
        ``exact``.
        """
        return self._whole("matrix").matrix(_numbers)

    @cached_property
    def correlation(self) -> np.ndarray:
        """Correlation matrix (M, M) of the numbers in ``names``; 0 beside those that have no error."""
        sizes = np.sqrt(np.diag(self.matrix))
        known = np.isfinite(sizes) & (sizes > 0)
        safe = np.where(known, sizes, 1.0)
        inner = np.where(known[:, None] & known[None, :], self.matrix, 0.0) / np.outer(safe, safe)
        return np.where(np.eye(len(safe), dtype=bool), 1.0, inner)

    @property
    def _components(self) -> ComponentErrors:
        return self._covariance.components if isinstance(self._covariance, WholeCovariance) else self._covariance

    def _whole(self, name: str) -> WholeCovariance:
        if isinstance(self._covariance, WholeCovariance):
            return self._covariance
        raise ValueError(
            f"`{name}` needs the whole normal matrix, of at most {MOST_PARAMETERS} parameters: fit an excerpt"
        )

    def __repr__(self) -> str:
        how = "exact" if self.exact else "by nested dissection"
        return f"<Uncertainty: {self.method}, {how}, {len(self.amplitudes)} components>"


def uncertainty(result: FitResult, method: str) -> Uncertainty:
    """See `FitResult.uncertainty`."""
    if result.n_parameters > MOST_PARAMETERS:
        return _by_dissection(result, method)
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        problem = prepared.fixing(params)
        normal, gradient, square = (np.asarray(a) for a in normal_matrices(problem, params))
        axes = constrained_directions(problem, params, gradient, bound_tolerance(result.settings.dtype))
        used, unit, correlation_length = used_parameters(prepared), misfit(result) / prepared.cost_unit, 0.0
        inverse = inverse_root(normal, constraint_normals(axes), used, _undetermined(axes))
        if not np.isfinite(unit):  # as many parameters as points: nothing is known of the noise
            inverse, unit = Root(np.zeros((len(used), 0)), np.eye(len(used))[:, used]), 1.0
        if method == "sandwich":
            free = max(result.n_points - result.n_parameters, 1)
            inverse, unit = inverse.around(square), result.n_points / free
        if method == "correlated":
            rows = _grid_rows(result, problem, params)
            residuals = np.asarray(_residuals(problem, params))[: len(rows)]
            noise = correlated_noise(Grid(result.data.used), residuals, inverse.basis(rows))
            inverse, unit, correlation_length = (
                inverse.around(rows.T @ Grid(result.data.used).convolved(noise.kernel, rows)),
                1.0,
                noise.correlation_length,
            )
        whole = WholeCovariance(prepared, params, inverse, unit, fixed_parameters(prepared))
        return Uncertainty(method, True, correlation_length, whole)


def effective_parameters(result: FitResult) -> float:
    """tr(N_data N^-1): of the free numbers, how many the data determine."""
    whole = result.uncertainty()._whole("effective_parameters")
    with precision(np.dtype(np.float64)):
        normal = np.asarray(normal_matrices(replace(whole.prepared.problem, penalty=None), whole.params)[0])
    root = whole.root.root
    return float(np.einsum("pr,pq,qr->", root, normal, root, optimize=True))


def _by_dissection(result: FitResult, method: str) -> Uncertainty:
    if method != "hessian":
        raise ValueError(
            f"`method`={method!r} needs the whole normal matrix, of at most {MOST_PARAMETERS} parameters: fit an"
            f" excerpt"
        )
    with precision(np.dtype(np.float64)):
        return Uncertainty(method, False, 0.0, local_errors(result, misfit(result)))


def misfit(result: FitResult) -> float:
    """s^2, the variance of a weighted residual in the user's units."""
    if result.data.absolute_sigma or result.settings.loss == "poisson":
        return 1.0
    free = result.n_points - result.n_parameters
    return 2 * result.cost / free if free > 0 else float("inf")


def constraint_normals(axes: ConstrainedDirections) -> np.ndarray:
    """Orthonormal vectors (P, q) along which limits hold the parameters."""
    count, size, _ = axes.own.shape
    end, (rows, columns) = count * size, np.nonzero(axes.constrained[: count * size].reshape(count, size))
    own, border = (
        np.zeros((len(axes.constrained), len(rows))),
        np.zeros((len(axes.constrained), len(axes.constrained) - end)),
    )
    index = rows * size + np.arange(size)[:, None]
    own[index, np.arange(len(rows))] = axes.own[rows, :, columns].T
    border[end:] = axes.border
    return np.concatenate([own, border[:, axes.constrained[end:]]], axis=1)


def _undetermined(axes: ConstrainedDirections) -> np.ndarray:
    """Changes (P, q) that limits keep the data from telling."""
    count, size, m = axes.undetermined.shape
    own, border = (
        np.zeros((len(axes.constrained), count * m)),
        np.zeros((len(axes.constrained), axes.border_undetermined.shape[1])),
    )
    index = np.arange(count * size).reshape(count, size, 1)
    own[index, np.arange(count * m).reshape(count, 1, m)] = axes.undetermined
    border[count * size :] = axes.border_undetermined
    together = np.concatenate([np.eye(len(axes.constrained))[:, axes.at_box], own, border], axis=1)
    return together[:, np.linalg.norm(together, axis=0) > 0.5]


def _grid_rows(result: FitResult, problem: SurfaceProblem, params: Array) -> np.ndarray:
    """Rows (N, P) of the Jacobian at the used points of a grid."""
    if result.data.axes is None:
        raise ValueError("`method`='correlated' needs the lags of a grid: for scattered points use 'sandwich'")
    if result.settings.loss != "linear":
        raise ValueError(
            f"`method`='correlated' is for loss='linear', this fit has {result.settings.loss!r}: use 'sandwich'"
        )
    if result.n_points * result.n_parameters > MOST_ENTRIES:
        raise ValueError(
            f"`method`='correlated' takes the whole Jacobian, {result.n_points} x {result.n_parameters}: fit an excerpt"
        )
    return np.asarray(_rows(replace(problem, penalty=None), params))[: result.n_points]


def normals(problem: SurfaceProblem, params: Array) -> tuple[Array, Array, Array]:
    """N (P, P), the gradient (P,), and sum_j psi_j^2 J_j^T J_j (P, P) of the data."""
    residuals, jacobian = problem.linearize(params)
    information = information_jacobian(problem, params)
    return (
        information.normal(residuals)[0].as_matrix(),
        jacobian.rmv(residuals),
        score_jacobian(problem, params).normal(residuals)[0].as_matrix(),
    )


def jacobian_rows(problem: SurfaceProblem, params: Array) -> Array:
    return problem.linearize(params)[1].as_matrix()


def _numbers(surface: GaussianSurface) -> Array:
    lower = np.tril_indices(surface.centers.shape[1])
    triangles = surface.covariances[:, lower[0], lower[1]]
    background = background_model(surface.background).vector().astype(surface.amplitudes.dtype)
    return jnp.concatenate([surface.amplitudes, surface.centers.ravel(), triangles.ravel(), background])


normal_matrices, _rows = quick_jit(normals), quick_jit(jacobian_rows)
_residuals = quick_jit(SurfaceProblem.residuals)
