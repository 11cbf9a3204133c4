r"""Own sizes of components that were seen through a beam, with errors, and upper limits where they are not resolved.

What is seen is Sigma = B + own, so that the own covariance is Sigma - B, with the errors of `own_errors`. With the
variance v along an own axis and its error s, the width sqrt(v) has the error s / (2 sqrt(v)) where v > 2 s. Upper
limits are those of `most_variances`, without the beam.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .._model.gaussian import FWHM_PER_WIDTH
from .._results.record import MAX_EXACT_PARAMETERS
from .own_errors import own_errors
from .upper_limits import most_variances

if TYPE_CHECKING:
    from .._results.result import FitResult

# Errors of an own variance that it must exceed to count as resolved, and that an upper limit lies above it. Nominally
# 97.7 % of true widths are below such limits; of simulated stars 95.5 to 98.6 %, of those far narrower than their limit
# all (`benchmarks.beams`).
LIMIT_ERRORS = 2.0


@dataclass(frozen=True, eq=False)
class DeconvolvedSizes:
    """Own sizes of K components in d dimensions, without the beam they were seen through.

    covariances : (K, d, d) own covariances, without negative variances, in squared units of the coordinates.
    covariance_errors : (K, d, d) standard errors of their entries.
    principal_widths : (K, d) own standard deviations along the own principal axes, the larger first.
    width_errors : (K, d) their standard errors; infinite where the width is not resolved.
    upper_limits : (K, d) widths above which the own width is with a chance of 2.3 %, by the ratio of likelihoods.
    resolved : (K, d) whether the variance exceeds two of its standard errors; quote ``upper_limits`` elsewhere.
    orientation : (K,) in 2-D, as of `GaussianSurface`: the angle of the own major axis; else empty.
    orientation_errors : (K,) its standard errors, infinite where the major width is not resolved; else empty.

    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:30, :40]
    >>> star = np.exp(-((y - 15) ** 2 + (x - 20) ** 2) / 18) + 0.01 * np.random.default_rng(0).normal(size=y.shape)
    >>> sizes = sf.fit(star, 1, covariance_type="spherical", beam=2.0).deconvolved
    >>> sizes.principal_widths.round(1), sizes.resolved
    (array([[2.2, 2.2]]), array([[ True,  True]]))
    """

    covariances: np.ndarray
    covariance_errors: np.ndarray
    principal_widths: np.ndarray
    width_errors: np.ndarray
    upper_limits: np.ndarray
    resolved: np.ndarray
    orientation: np.ndarray
    orientation_errors: np.ndarray

    @property
    def fwhm(self) -> np.ndarray:
        """Own full widths at half maximum (K, d) along the own principal axes."""
        return FWHM_PER_WIDTH * self.principal_widths

    @property
    def unresolved(self) -> np.ndarray:
        """Which components (K,) are resolved along none of their axes."""
        return np.asarray(~self.resolved.any(axis=1))


def deconvolved(result: FitResult, maps: np.ndarray | None = None) -> DeconvolvedSizes:
    """See `FitResult.deconvolved`; under linear maps (K, q, d) of the coordinates around each centre, if given."""
    beam = result.settings.beam
    if beam is None:
        raise ValueError("`deconvolved` needs a fit with a `beam`, this one had none: fit(..., beam=...)")
    if result.n_parameters > MAX_EXACT_PARAMETERS:
        raise ValueError(
            f"`deconvolved` needs the normal matrix of at most {MAX_EXACT_PARAMETERS} parameters: fit a part"
        )
    if maps is None:
        maps = np.broadcast_to(np.eye(len(beam)), (result.n_components, *beam.shape))
    if result.settings.constraints.shape is not None:
        return _of_points(*maps.shape[:2])
    errors = own_errors(result)
    own = replace(result.surface, covariances=np.asarray(result.surface.covariances, float) - beam)
    slopes = replace(errors.slopes, surface=own).mapped(maps)
    values, vectors = np.linalg.eigh(slopes.surface.covariances)
    values, axes = np.maximum(values[:, ::-1], 0), vectors.swapaxes(1, 2)[:, ::-1]
    along = errors.by_component(np.einsum("kai,kijm,kaj->kam", axes, slopes.covariances, axes, optimize=True))
    widths, resolved = np.sqrt(values), values > LIMIT_ERRORS * along
    through = np.einsum("kai,kij,kaj->ka", axes, maps @ beam @ maps.swapaxes(1, 2), axes)
    together = len(beam) if result.settings.covariance_type == "spherical" else 1
    most = most_variances(values + through, along, LIMIT_ERRORS, together) - through
    is_plane = axes.shape[1] == 2
    return DeconvolvedSizes(
        np.einsum("kai,ka,kaj->kij", axes, values, axes),
        errors.by_component(slopes.covariances),
        widths,
        np.where(resolved, along / (2 * np.where(resolved, widths, 1.0)), np.inf),
        np.sqrt(np.maximum(most, values)),
        resolved,
        slopes.surface.orientation if is_plane else np.zeros(0),
        np.where(resolved[:, 0], errors.by_component(slopes.orientation), np.inf) if is_plane else np.zeros(0),
    )


def _of_points(count: int, n_dim: int) -> DeconvolvedSizes:
    """Point sources, which have no size, without errors."""
    zero, shapes = np.zeros((count, n_dim)), np.zeros((count, n_dim, n_dim))
    angles = zero[:, 0] if n_dim == 2 else np.zeros(0)
    return DeconvolvedSizes(shapes, shapes, zero, zero, zero, zero > 0, angles, angles)
