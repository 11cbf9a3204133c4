"""The standard errors of a fit, under the names of its surface, and those of whatever follows from it.

A number y(p) of parameters with covariance C (`covariance_methods`) has the variance y' C y'^T, with y' the derivatives
of y: the delta method. Every number that moves with a direction which the data do not determine, or which a limit
holds, has an infinite error; what is fixed has none. A limit of widths makes the widths that meet it undetermined, but
not the others, nor the angle of a component whose widths differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.status import MAX_DISTANCE
from .._model.background import background_model, with_last_axis
from .._model.gaussian import FWHM_PER_WIDTH
from .._model.surface import GaussianSurface
from .._results.record import MAX_EXACT_PARAMETERS
from .component_errors import ComponentErrors
from .whole_covariance import WholeCovariance


@dataclass(frozen=True, eq=False)
class ComponentUncertainty:
    """Standard errors of the components and of the background, each on its own."""

    method: str
    exact: bool
    correlation_length: float
    distance: float
    _covariance: WholeCovariance | ComponentErrors

    @cached_property
    def surface(self) -> GaussianSurface:
        """Errors of amplitudes, centres, covariances and background, in the structure of the fitted surface."""
        return self._components.surface()

    @property
    def amplitudes(self) -> np.ndarray:
        """Errors (K,) of the amplitudes, in the units of the heights."""
        return np.asarray(self.surface.amplitudes)

    @property
    def centers(self) -> np.ndarray:
        """Errors (K, d) of the centres, in the units of the coordinates."""
        return np.asarray(self.surface.centers)

    @property
    def covariances(self) -> np.ndarray:
        """Errors (K, d, d) of the entries of the covariances, in squared units of the coordinates."""
        return np.asarray(self.surface.covariances)

    @property
    def background(self) -> Any:
        """Errors of the background's free numbers, in its structure; None without a background."""
        return self.surface.background

    @cached_property
    def principal_widths(self) -> np.ndarray:
        """Errors (K, d) of the principal widths, the larger width first, in the units of the coordinates."""
        return self._components.by_component(self._components.slopes.principal_widths)

    @property
    def fwhm(self) -> np.ndarray:
        """Errors (K, d) of the full widths at half maximum along the principal axes."""
        return FWHM_PER_WIDTH * self.principal_widths

    @cached_property
    def orientation(self) -> np.ndarray:
        """Errors (K,) of the angles in radians, in 2-D only; infinite for a round component, which has no angle."""
        if self.centers.shape[1] != 2:
            raise ValueError(f"`orientation` is an angle in 2-D; this surface has {self.centers.shape[1]} dimensions")
        return self._components.by_component(self._components.slopes.orientation)

    @cached_property
    def volumes(self) -> np.ndarray:
        """Errors (K,) of the volumes, in units of heights times coordinates to the power d."""
        return self._components.by_component(self._components.slopes.volumes)

    def mapped(self, maps: np.ndarray) -> ComponentUncertainty:
        """Errors of the components under linear maps (K, q, d) of the coordinates around each centre, by the same
        names: on the sky, for example, where ``orientation`` is from the second of two coordinates to the first.
        """
        found = self._components
        mapped = replace(found, slopes=found.slopes.mapped(np.asarray(maps, float)))
        return ComponentUncertainty(self.method, self.exact, self.correlation_length, self.distance, mapped)

    @property
    def _components(self) -> ComponentErrors:
        return self._covariance.components if isinstance(self._covariance, WholeCovariance) else self._covariance


@dataclass(frozen=True, eq=False)
class Uncertainty(ComponentUncertainty):
    """Standard errors of the numbers of a fit, under the names that a `GaussianSurface` has for them.

    `FitResult.uncertainty` makes it. The error of a number y is sqrt(y' C y'^T), with C the covariance of the free
    parameters and y' the derivatives of y (delta method, first order). All errors are in the user's units. An error is
    infinite where the data do not determine the number or a limit holds it, and zero where it is fixed.

    method : "hessian", "sandwich" or "correlated", as asked for.
    exact : whether the whole normal matrix was inverted. Otherwise, for very many components, its diagonal blocks were
        inverted by nested dissection, with every component cut off at 5 of its widths. That changes nearly all errors
        by less than five per cent (99.9 % of them at 10,000 components), and ``of``, ``band``, ``matrix`` and
        ``correlation`` raise ValueError.
    correlation_length : for "correlated" the distance, in samples, within which noise was found to be correlated;
        otherwise 0.
    distance : how far the minimum is, in standard errors of all parameters together: d = sqrt(g^T N^-1 g) / s over what
        no limit holds, with the gradient g of the cost, N = J^T J and the variance s^2 of a residual. The quadratic
        model still promises a fall of chi2 / s^2 by d^2, and no number of the surface would move by more than d of its
        independent errors. Above 0.3 the fit stopped short of its minimum by more than errors allow for; the summary
        says so. NaN where it is not known: above 5000 parameters, and where no noise is left to measure by.

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

    def of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        """Standard errors of what a JAX function returns for the surface, in the structure of its answer.

        ``function`` is given a `GaussianSurface` of JAX arrays in the user's units, and must use jax.numpy, or
        TypeError is raised. Needs ``exact``.
        """
        return self._whole("of").of(function)

    def band(self, points: Any = None) -> Any:
        """Standard errors (...) of the surface at points (..., d), in the units of the heights. Needs ``exact``.

        Without points, at those of the data, as the data came: an error map of the same shape and kind of array.

        Numbers that a limit holds count as known here, as fixed ones do: it is the band of the surface within its
        limits. Infinite only where the heights depend on what the data do not determine.
        """
        whole = self._whole("band")
        if points is None:
            data = whole.prepared.data
            return data.as_given(whole.band(data.all_points).reshape(data.heights.shape), "error")
        positions = with_last_axis(np.asarray(points, np.float64), whole.prepared.data.n_dim)
        return whole.band(positions.reshape(-1, positions.shape[-1])).reshape(positions.shape[:-1])

    @cached_property
    def names(self) -> list[str]:
        """Names (M,) of the rows of ``matrix``: amplitudes, centres, lower triangles of covariances, background."""
        k, d = self.centers.shape
        lower = [(i, j) for i in range(d) for j in range(i + 1)]
        names = [f"amplitudes[{n}]" for n in range(k)] + [f"centers[{n}, {i}]" for n in range(k) for i in range(d)]
        names += [f"covariances[{n}, {i}, {j}]" for n in range(k) for i, j in lower]
        return names + [f"background[{n}]" for n in range(background_model(self.background).n_parameters)]

    @cached_property
    def matrix(self) -> np.ndarray:
        """Covariance matrix (M, M) of the numbers in ``names``. Needs ``exact``.

        A number that is undetermined has infinity on the diagonal and zeros in the rest of its row and column.
        """
        return self._whole("matrix").matrix(_numbers)

    @cached_property
    def correlation(self) -> np.ndarray:
        """Correlation matrix (M, M) of the numbers in ``names``; 0 where a number has no finite error. Needs
        ``exact``.
        """
        return self._whole("correlation").correlation(_numbers)

    def _whole(self, name: str) -> WholeCovariance:
        if isinstance(self._covariance, WholeCovariance):
            return self._covariance
        raise ValueError(
            f"`{name}` needs the whole normal matrix, of at most {MAX_EXACT_PARAMETERS} parameters: fit a part of the"
            " data"
        )

    def __repr__(self) -> str:
        how = "exact" if self.exact else "by nested dissection"
        near = "" if not self.distance > MAX_DISTANCE else f", {self.distance:.2g} errors from the minimum"
        return f"<Uncertainty: {self.method}, {how}, {len(self.amplitudes)} components{near}>"


def _numbers(surface: GaussianSurface) -> Array:
    lower = np.tril_indices(surface.centers.shape[1])
    triangles = surface.covariances[:, lower[0], lower[1]]
    background = background_model(surface.background).vector().astype(surface.amplitudes.dtype)
    return jnp.concatenate([surface.amplitudes, surface.centers.ravel(), triangles.ravel(), background])
