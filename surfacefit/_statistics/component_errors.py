r"""Standard errors of numbers that depend on one component each, from that component's block of the covariance.

The derivatives of these numbers by the component's parameters are in closed form. With the Cholesky factor L and the
units D of the coordinates Sigma = D L L^T D, so that dSigma = D (dL L^T + L dL^T) D. From it follow the derivatives of
all that depends on Sigma: for a principal width s_i along the unit vector v_i, ds_i = v_i^T dSigma v_i / (2 s_i); for
the volume V, dV / V = da / a + tr(Sigma^{-1} dSigma) / 2; and for the angle theta = atan2(2 Sigma_01, Sigma_11 -
Sigma_00) / 2 the derivative of the arctangent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from .._model.background import BackgroundModel
from .._model.block_layout import ALPHA
from .._model.gaussian import ROUND_ECCENTRICITY
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .covariance_root import UNDETERMINED_SHARE, unit_slopes


@dataclass(frozen=True, eq=False)
class ComponentSlopes:
    """Derivatives by the m parameters of a component's block and of the shape that all share.

    surface : the components, in the user's units.
    amplitudes (K, m), centers (K, d, m), covariances (K, d, d, m) : of the numbers of that name.
    background (b, b), background_zero : of the background's free numbers by its parameters, and one with all numbers
        zero.
    """

    surface: GaussianSurface
    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: np.ndarray
    background_zero: Any

    @cached_property
    def principal_widths(self) -> np.ndarray:
        """Of the principal widths (K, d, m), the larger width first."""
        axes, widths = self.surface.principal_axes, self.surface.principal_widths
        changes = np.einsum("kai,kijm,kaj->kam", axes, self.covariances, axes, optimize=True)
        return np.asarray(changes / (2 * np.maximum(widths, np.finfo(float).tiny)[:, :, None]))

    @cached_property
    def orientation(self) -> np.ndarray:
        """Of the angles (K, m) in 2-D; NaN for a round component, which has no angle."""
        shapes, slopes = self.surface.covariances, self.covariances
        along, across = shapes[:, 1, 1] - shapes[:, 0, 0], 2 * shapes[:, 0, 1]
        oriented = np.hypot(along, across) > ROUND_ECCENTRICITY * np.trace(shapes, axis1=1, axis2=2)
        square = np.where(oriented, along**2 + across**2, np.nan)[:, None]
        d_along, d_across = slopes[:, 1, 1] - slopes[:, 0, 0], 2 * slopes[:, 0, 1]
        return np.asarray(0.5 * (along[:, None] * d_across - across[:, None] * d_along) / square)

    @cached_property
    def volumes(self) -> np.ndarray:
        """Of the volumes (K, m)."""
        unit = self.surface.component(slice(None))
        profiles = replace(unit, amplitudes=np.ones(unit.n_components)).volumes[:, None]
        inverses = np.linalg.inv(self.surface.covariances)
        traces = np.einsum("kij,kjim->km", inverses, self.covariances, optimize=True)
        return np.asarray(profiles * (self.amplitudes + 0.5 * np.asarray(self.surface.amplitudes)[:, None] * traces))

    def mapped(self, maps: np.ndarray) -> ComponentSlopes:
        """Of the components under linear maps (K, q, d) of the coordinates around each centre."""
        turned = maps.swapaxes(1, 2)
        surface = replace(
            self.surface,
            centers=np.einsum("kqi,ki->kq", maps, self.surface.centers),
            covariances=maps @ self.surface.covariances @ turned,
        )
        covariances = np.einsum("kqi,kijm,krj->kqrm", maps, self.covariances, maps, optimize=True)
        centers = np.einsum("kqi,kim->kqm", maps, self.centers)
        return replace(self, surface=surface, centers=centers, covariances=covariances)


@dataclass(frozen=True, eq=False)
class ComponentErrors:
    """Covariances of each component's parameters, and of the background's, without those between components.

    slopes : derivatives of the numbers by these parameters.
    blocks : (K, m, m) for each component's block and the shape that all share.
    undetermined : (K, m, q) directions that the data do not determine, or that a limit holds.
    background, background_undetermined : (b, b) and (b, q), the same for the background.
    """

    slopes: ComponentSlopes
    blocks: np.ndarray
    undetermined: np.ndarray
    background: np.ndarray
    background_undetermined: np.ndarray

    def surface(self) -> GaussianSurface:
        """Standard errors of the surface's own numbers, in its structure and the user's units."""
        slopes = self.slopes
        amplitudes, centers, covariances = (
            self.by_component(number) for number in (slopes.amplitudes, slopes.centers, slopes.covariances)
        )
        return GaussianSurface(amplitudes, centers, covariances, self._background())

    def by_component(self, slopes: np.ndarray) -> np.ndarray:
        """Standard errors (K, ...) of numbers with derivatives (K, ..., m) by their own component's parameters."""
        flat = slopes.reshape(len(slopes), int(np.prod(slopes.shape[1:-1])), slopes.shape[-1])
        return errors_of(flat, self.blocks, self.undetermined).reshape(slopes.shape[:-1])

    def _background(self) -> Any:
        if not len(self.background):
            return None
        slopes = self.slopes.background
        errors = errors_of(slopes[None], self.background[None], self.background_undetermined[None])[0]
        return self.slopes.background_zero.with_vector(errors)


def errors_of(slopes: np.ndarray, covariances: np.ndarray, undetermined: np.ndarray) -> np.ndarray:
    """Standard errors (K, n) of numbers with slopes (K, n, m) by parameters of these covariances (K, m, m); infinite
    where the slopes meet undetermined directions (K, m, q).
    """
    sizes, units = unit_slopes(slopes)
    with np.errstate(over="ignore", invalid="ignore"):
        variances = np.einsum("knp,kpq,knq->kn", units, covariances, units, optimize=True)
    shares = np.linalg.norm(np.matmul(units, undetermined), axis=2)
    unknown = (shares > UNDETERMINED_SHARE) | ~np.isfinite(sizes) | ~np.isfinite(variances)
    return np.where(unknown, np.inf, sizes * np.sqrt(np.maximum(np.where(unknown, 0, variances), 0)))


def component_slopes(prepared: Prepared, params: np.ndarray, factor_slopes: np.ndarray) -> ComponentSlopes:
    """At parameters (P,), with the derivatives d tril(L) / d shape (K, T, s) of the Cholesky factors."""
    parts, count, scaling = prepared.host.parameterization, prepared.model.n_components, prepared.scaling
    layout, size = parts.layout, parts.layout.block_size + parts.layout.n_shared
    amplitudes, centers = np.zeros((count, size)), np.zeros((count, parts.n_dim, size))
    covariances = np.zeros((count, parts.n_dim, parts.n_dim, size))
    amplitudes[:, ALPHA] = scaling.height_scale * parts.amplitude.slope(layout.blocks(params)[:count, ALPHA])
    centers[:, :, layout.centers] = np.diag(scaling.point_scale)
    shapes = slice(layout.block_size, size) if layout.n_shared else layout.shapes
    covariances[..., shapes] = _covariance_slopes(parts, params, scaling, factor_slopes)[:count]
    background = parts.background.with_vector(layout.split(params)[2])
    return ComponentSlopes(
        prepared.surface(params), amplitudes, centers, covariances, *background_slopes(background, scaling)
    )


def _covariance_slopes(
    parts: Parameterization, params: np.ndarray, scaling: Scaling, factor_slopes: np.ndarray
) -> np.ndarray:
    """dSigma / d shape (K, d, d, s), in the user's units."""
    factors = parts.components(params).factors
    changes = np.zeros((*factors.shape, factor_slopes.shape[2]))
    changes[:, *np.tril_indices(parts.n_dim)] = factor_slopes
    half = np.einsum("kims,kjm->kijs", changes, factors, optimize=True)
    units = np.outer(scaling.point_scale, scaling.point_scale)[None, :, :, None]
    return np.asarray(units * (half + half.swapaxes(1, 2)))


def background_slopes(background: BackgroundModel, scaling: Scaling) -> tuple[np.ndarray, Any]:
    """Of the background's numbers (b, b) by its parameters, and the background in the user's units with all zero.

    Change of units is affine in the free numbers, so that without shifts of heights each unit vector gives a column.
    """
    linear = replace(scaling, height_shift=0.0)
    identity = np.eye(background.n_parameters)
    columns = [background.with_vector(unit).to_physical(linear).vector() for unit in identity]
    zero = jax.tree.map(np.zeros_like, background.to_physical(scaling))
    return np.array(columns).reshape(identity.shape).T, zero
