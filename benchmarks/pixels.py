"""Stars narrower than a pixel: what fits of values and of means over pixels say of their flux, and photutils beside.

``python -m benchmarks.pixels`` simulates 1,000 stars of each width, as means over pixels with even noise of 1 % of the
flux, and prints how far the fluxes are from the truth in standard errors, of fits with ``sampling="points"`` and
``"integrated"``. Of the first 100 of each width it prints how far photutils' integrated model, fitted by astropy, is
from the latter. ``--count 100`` takes fewer stars.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import erf

import surfacefit as sf

# Pixels: widths of the stars, and pixels a side of their cut-outs.
WIDTHS, SIDE = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0), 15
# Of a flux: its standard error, where the width, the place and the background are known.
FLUX_NOISE = 0.01
# Pixels: below this width a star is one pixel to a matched filter, whose noise no longer falls with the width.
LEAST_FILTER = 0.4
# Stars of a width that photutils fits: some milliseconds each.
PHOTUTILS_STARS = 100
SEED = 0


class Stars:
    """So many stars of a width, a flux of 2 pi w^2 each, at random places within the middle pixel."""

    def __init__(self, width: float, count: int, side: int = SIDE, relative_noise: float = FLUX_NOISE):
        rng = np.random.default_rng((SEED, round(1000 * width)))
        self.width, self.axis = width, np.arange(side) - side // 2
        self.flux = 2 * np.pi * width**2
        self.centers = rng.uniform(-0.5, 0.5, (count, 2))
        self.noise = relative_noise * self.flux / (2 * np.sqrt(np.pi) * max(width, LEAST_FILTER))
        clean = np.array([np.outer(*(self.means(center) for center in both)) for both in self.centers])
        self.maps = clean + self.noise * rng.normal(size=clean.shape)

    def means(self, center: float) -> np.ndarray:
        """Means of a Gaussian of height one over the pixels of an axis, in closed form."""
        low, high = (erf((self.axis + side - center) / (np.sqrt(2) * self.width)) for side in (-0.5, 0.5))
        return np.asarray(np.sqrt(np.pi / 2) * self.width * (high - low))

    def fit(self, number: int, **options: Any) -> sf.FitResult:
        """The fit of one star, from the middle of the map and a width that is a third too large."""
        start = sf.GaussianSurface([1.0], np.zeros((1, 2)), [(1.3 * self.width) ** 2 * np.eye(2)], background=0.0)
        return sf.fit(
            self.maps[number],
            1,
            coords=(self.axis, self.axis),
            init=start,
            covariance_type="spherical",
            sigma=self.noise,
            absolute_sigma=True,
            progress=False,
            **options,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pixels", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="stars of a width")
    count = parser.parse_args().count
    for width in WIDTHS:
        for line in lines(width, count):
            print(line, flush=True)


def lines(width: float, count: int) -> Iterator[str]:
    """What stars of one width give."""
    stars = Stars(width, count)
    found = {}
    for sampling in ("points", "integrated"):
        found[sampling] = np.array([_flux(stars.fit(number, sampling=sampling)) for number in range(count)])
        flux, error = found[sampling].T
        pulls = (flux - stars.flux) / error
        yield (
            f"pixels, width {width:.1f}, {sampling:10}: flux bias {pulls.mean():+.3f} standard errors"
            f" (+-{pulls.std() / np.sqrt(count):.3f}), median {np.median(pulls):+.3f}, within one"
            f" {np.mean(np.abs(pulls) < 1):.3f}; median flux {100 * (np.median(flux) / stars.flux - 1):+.2f} %"
        )
    theirs = photutils_fluxes(stars, min(count, PHOTUTILS_STARS))
    flux, error = found["integrated"][: len(theirs)].T
    far = np.abs(flux - theirs) / error
    yield (
        f"pixels, width {width:.1f}, photutils : fluxes differ from ours by {np.median(far):.1e} standard errors in the"
        f" median, {far.max():.1e} at most"
    )


def _flux(result: sf.FitResult) -> tuple[float, float]:
    return float(result.surface.volumes[0]), float(result.standard_errors.volumes[0])


def photutils_fluxes(stars: Stars, count: int) -> np.ndarray:
    """Fluxes of stars by photutils' integrated model over a constant, with a free width, from the same start."""
    from astropy.modeling.fitting import TRFLSQFitter
    from astropy.modeling.models import Const2D
    from photutils.psf import CircularGaussianSigmaPRF

    rows, columns = np.meshgrid(stars.axis, stars.axis, indexing="ij")
    fluxes = []
    for heights in stars.maps[:count]:
        star = CircularGaussianSigmaPRF(flux=stars.flux, x_0=0, y_0=0, sigma=1.3 * stars.width)
        star.sigma.fixed = False
        weights = np.full(heights.shape, 1 / stars.noise)
        fitted = TRFLSQFitter()(star + Const2D(0.0), columns, rows, heights, weights=weights, acc=1e-12, maxiter=1000)
        fluxes.append(float(fitted.flux_0.value))
    return np.array(fluxes)


if __name__ == "__main__":
    main()
