"""Fits of sources that are no Gaussians: each a fixed mixture of concentric Gaussians with one set of parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .._base.checks import count, positive_number
from .._constraints.bounds import Bounds
from .._fit.fit import fit
from .._model.surface import GaussianSurface
from .expansion import Expansion
from .mixtures import mixture_of
from .profile_result import ProfileResult
from .shapes import Profile

# Floor of the widths of a mixture's Gaussians, in sampling distances: those of a spike are far narrower than a pixel.
NARROWEST_WIDTH = 1e-4
# Options of `fit` that a fit of profiles sets itself, or cannot follow.
OWN_OPTIONS = (
    "n_components",
    "tie",
    "fixed",
    "search",
    "reset",
    "shape",
    "tied",
    "beam",
    "periods",
    "min_width",
    "prior",
    "amplitudes",
)
# Shapes that sources can have of their own.
OWN_SHAPES = ("full", "diag", "spherical")
# Limits that stand beside sources; those of other numbers belong to single Gaussians.
LIMITED = ("centers", "background")


def fit_profiles(
    heights: Any,
    n_sources: int,
    profile: Profile,
    *,
    init: GaussianSurface | str = "auto",
    error: float = 1e-5,
    **options: Any,
) -> ProfileResult:
    r"""Fit a sum of sources that share a profile, such as `Moffat`, `Lorentzian` or `Sersic`, to a surface,

    .. math:: f(x) = b(x) + \sum_k A_k f(r_k), \qquad r_k^2 = (x - c_k)^T S_k^{-1} (x - c_k).

    Each source is a mixture of concentric Gaussians with fixed ratios of heights and widths, found by non-negative
    least squares, so that all engines, errors and closed forms of `fit` serve it as they are.

    Parameters
    ----------
    heights : as in `fit`.
    n_sources : number of sources K.
    profile : `Moffat`, `Lorentzian`, `PseudoVoigt`, `Sersic` or `Exponential`; its shape is fixed.
    init : a `GaussianSurface` of K components with the FWHM and the heights of the sources, or where such components
        start: then they are fitted first.
    error : largest misfit of the mixture in the profile's `range`, in units of f(r) + f(1): more Gaussians for less.
        1e-5 takes 8 to 21.
    **options : those of `fit`: ``coords``, ``sigma``, ``mask``, ``background``, ``solver``, ``max_time`` and others.

    Returns
    -------
    A `ProfileResult` with amplitudes, centres, scale lengths, FWHM and volumes of the sources and their errors.

    Raises
    ------
    ValueError, TypeError : as `fit`, and for an option that profiles cannot follow.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.indices((40, 40))
    >>> star = 9.0 * (1 + ((x - 20.3) ** 2 + (y - 18.6) ** 2) / 4.0**2) ** -3.0
    >>> result = sf.fit_profiles(star + 1.0, 1, sf.Moffat(3.0))
    >>> np.round(result.scale_lengths[0], 2)
    array([4., 4.])
    """
    if not isinstance(profile, Profile):
        raise TypeError(f"`profile` must be a profile like Moffat(2.5) or Lorentzian(), got {profile!r}")
    number = count("n_sources", n_sources)
    _check_options(options)
    expansion = Expansion(profile, mixture_of(profile, positive_number("error", error)))
    start = init if isinstance(init, GaussianSurface) else fit(heights, number, init=init, **options).surface
    if start.n_components != number:
        raise ValueError(f"`init` must have n_sources={number} components, got {start.n_components}")
    surface = expansion.surface(expansion.of_gaussians(start), start.background)
    result = fit(
        heights,
        surface.n_components,
        init=surface,
        tie=expansion.tie(number) or None,
        min_width=NARROWEST_WIDTH,
        **options,
    )
    return ProfileResult(profile, result, expansion)


def _check_options(options: dict[str, Any]) -> None:
    """ValueError for options that a source of several Gaussians cannot follow."""
    for name in OWN_OPTIONS:
        if name in options:
            raise ValueError(f"`{name}` is no option of fits of profiles: leave it out")
    if (shapes := options.get("covariance_type", "full")) not in OWN_SHAPES:
        raise ValueError(
            f"`covariance_type` of fits of profiles must be one of {', '.join(OWN_SHAPES)}, got {shapes!r}"
        )
    if not isinstance(bounds := options.get("bounds"), Bounds):
        return
    for one in fields(bounds):
        if one.name not in LIMITED and getattr(bounds, one.name) is not None:
            raise ValueError(
                f"`bounds` of fits of profiles limit {' and '.join(LIMITED)}, got limits of {one.name}: leave them out"
            )
