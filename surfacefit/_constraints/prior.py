"""A prior on a surface, for fits by maximum a posteriori: what is known of shapes, amplitudes, centres, background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._base.checks import moderate, moderate_number, real_array
from .mixture_regularization import prior_scale


@dataclass(frozen=True, eq=False)
class SurfacePrior:
    r"""A prior for `fit`: inverse Wishart on each covariance, half-normal on each amplitude, normal on centres and on
    the background; the fit then is MAP.

    Minimises the weighted squares / 2 minus log p, with

    .. math:: \log p = -\sum_k \Bigl(\tfrac{\nu+d+1}{2} \log|\Sigma_k| + \tfrac12 \mathrm{tr}(\Psi \Sigma_k^{-1})
              + \tfrac{a_k^2}{2\tau^2} + \sum_i \tfrac{(c_{ki}-\mu_{ki})^2}{2\delta_{ki}^2}\Bigr)
              - \sum_j \tfrac{(b_j-\beta_j)^2}{2\epsilon_j^2} + \text{const},

    so errors must be known: it needs ``sigma`` with ``absolute_sigma=True``.

    Parameters
    ----------
    scale : Psi, in squared units of the coordinates: a positive number (times the identity), or symmetric positive
        definite (d, d). The mode is Psi / (nu + d + 1). None (default): nothing is said of covariances.
    degrees_of_freedom : nu > d - 1. None (default): d + 2.
    amplitude : tau, in units of the heights. None (default): nothing is said of amplitudes. Signed amplitudes get a
        normal.
    centers : (mu, delta), means (K, d) and standard deviations of the centres, in units of the coordinates; deviations
        are a number, (d,), or (K, d), infinite where nothing is known. Components are those of a start, ``init``, whose
        order the result keeps. Along a periodic axis the nearest image counts. None (default): nothing is said.
    background : (beta, epsilon), means and standard deviations of the background's numbers: of a constant its value, of
        a plane its value in the middle of the data and its slopes (1 + d,), of a function its parameters. None
        (default): nothing is said.

    A tied covariance counts once. Source of the form: Fraley & Raftery, J. Classification 24 (2007) 155.

    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> prior = sf.SurfacePrior(scale=6.0)
    >>> spike = np.where(x == 0, 1.0, 0.0)
    >>> options = {"coords": x, "background": None, "sigma": 0.3, "absolute_sigma": True}
    >>> narrow, wide = (sf.fit(spike, 1, prior=p, **options).surface.principal_widths[0, 0] for p in (None, prior))
    >>> bool(wide > 5 * narrow)
    True
    """

    scale: Any = None
    degrees_of_freedom: float | None = None
    amplitude: float | None = None
    centers: tuple[Any, Any] | None = None
    background: tuple[Any, Any] | None = None

    def without(self, k: int) -> SurfacePrior:
        """The prior of all components but number ``k``."""
        if self.centers is None:
            return self
        return replace(self, centers=tuple(np.delete(side, k, axis=0) for side in self.centers))


def checked_prior(
    prior: Any, n_dim: int, absolute_sigma: bool, count: int | None = None, n_background: int = 0
) -> SurfacePrior | None:
    """The option ``prior``, with plain numbers, Psi as a matrix, and means and deviations of the ``count`` components
    of a start, None without one, and of the background's numbers.
    """
    if prior is None:
        return None
    if not isinstance(prior, SurfacePrior):
        raise TypeError(f"`prior` must be None or a surfacefit.SurfacePrior(...), got {prior!r}")
    if all(said is None for said in (prior.scale, prior.amplitude, prior.centers, prior.background)):
        raise ValueError(
            "`prior` says nothing: give it `scale` (of the covariances), `amplitude`, `centers` or `background`"
        )
    if prior.scale is None and prior.degrees_of_freedom is not None:
        raise ValueError("`prior.degrees_of_freedom` belongs to `prior.scale`: give that, too")
    if not absolute_sigma:
        raise ValueError("`prior` is weighed against known errors: give `sigma`, and absolute_sigma=True")
    freedom, amplitude = prior.degrees_of_freedom, prior.amplitude
    if freedom is not None and moderate_number("prior.degrees_of_freedom", freedom) <= n_dim - 1:
        raise ValueError(
            f"`prior.degrees_of_freedom` must exceed d - 1 = {n_dim - 1}, got {freedom:g}: None means d + 2"
        )
    return SurfacePrior(
        None if prior.scale is None else prior_scale(prior.scale, n_dim),
        None if freedom is None else float(freedom),
        None if amplitude is None else moderate_number("prior.amplitude", amplitude),
        _checked_centers(prior.centers, count, n_dim),
        _checked_background(prior.background, n_background),
    )


def _checked_centers(given: Any, count: int | None, n_dim: int) -> tuple[np.ndarray, np.ndarray] | None:
    if given is None:
        return None
    if count is None:
        raise ValueError(
            "`prior.centers` speak of components by their place in a start: give init=GaussianSurface(...), and no"
            " `search`"
        )
    means, deviations = _pair("prior.centers", given)
    means = means[:, None] if n_dim == 1 and means.ndim == 1 else means
    if means.shape != (count, n_dim):
        raise ValueError(f"`prior.centers` must have means of shape {(count, n_dim)}, got {means.shape}")
    if deviations.shape not in ((), (n_dim,), (count, n_dim)):
        raise ValueError(
            f"`prior.centers` must have deviations that are a number or of shape {(n_dim,)} or {(count, n_dim)}, got"
            f" {deviations.shape}"
        )
    return means, np.broadcast_to(deviations, means.shape).copy()


def _checked_background(given: Any, n_background: int) -> tuple[np.ndarray, np.ndarray] | None:
    if given is None:
        return None
    means, deviations = _pair("prior.background", given)
    if not n_background:
        raise ValueError("`prior.background` needs a background, got background=None: leave one out")
    if means.size != n_background or deviations.size not in (1, n_background):
        raise ValueError(
            f"`prior.background` must have {n_background} means, one for each number of the background, and as many"
            f" deviations or one, got {means.size} and {deviations.size}"
        )
    return means.ravel(), np.broadcast_to(deviations.ravel(), n_background).copy()


def _pair(name: str, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means, finite, and standard deviations, positive and perhaps infinite."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"`{name}` must be means and standard deviations, (means, deviations), got {given!r}")
    means, deviations = (np.asarray(real_array(name, side), float) for side in given)
    moderate(name, means)
    if not (deviations > 0).all():
        raise ValueError(f"`{name}` must have positive deviations, infinite where nothing is known, got {deviations}")
    moderate(name, deviations[np.isfinite(deviations)])
    return means, deviations
