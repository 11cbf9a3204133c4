r"""Radial profiles that are no Gaussians: how high a source stands at r scale lengths from its centre.

A source with amplitude A, centre c and scale matrix S has the height A f(r) at x, with

    r^2 = (x - c)^T S^-1 (x - c).

Each of these f is a mixture of Gaussians of all widths with positive weights, since it is completely monotone in r^2
(Schoenberg, Ann. Math. 39 (1938) 811). ``mixtures`` finds a few of them that are near enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from .._base.checks import moderate_number, not_negative, positive_number

# Sérsic index below which the profile is flatter at its centre than any sum of Gaussians: n = 1/2 is a Gaussian.
LEAST_SERSIC_INDEX = 0.5
# Sérsic index above which the profile is a spike on wings that no map shows.
LARGEST_SERSIC_INDEX = 8.0
# Exponents of a Moffat profile: below it has no end on any map, from the largest on it is a Gaussian to 1 %.
MOFFAT_EXPONENTS = (0.5, 100.0)


@dataclass(frozen=True)
class Profile:
    """The base of all profiles: a frozen record of what their shape depends on.

    A profile gives its height at r scale lengths from the centre (`height`), where that is half of the height at the
    centre (`half_radius`), and the range of r in which its mixture is near it (`range`).
    """

    def height(self, r: Any) -> np.ndarray:
        """f(r) at distances (...) in scale lengths."""
        raise NotImplementedError

    @property
    def half_radius(self) -> float:
        """r at which f is half of f(0), in scale lengths: half of the FWHM."""
        raise NotImplementedError

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest r for which the mixture keeps to its error."""
        raise NotImplementedError


@dataclass(frozen=True)
class Moffat(Profile):
    r"""A star seen through the atmosphere: f(r) = (1 + r^2)^-beta, of scale length alpha.

    beta : exponent, between 0.5 and 100, without unit: 2.5 to 4.8 for images of stars.

    Moffat, Astron. Astrophys. 3 (1969) 455. The FWHM is 2 alpha sqrt(2^(1 / beta) - 1).

    >>> import surfacefit as sf
    >>> round(sf.Moffat(3.0).half_radius, 4)
    0.5098
    """

    beta: float = 2.5

    def __post_init__(self) -> None:
        least, largest = MOFFAT_EXPONENTS
        object.__setattr__(self, "beta", moderate_number("beta", self.beta))
        if not least <= self.beta <= largest:
            raise ValueError(f"`beta` must be between {least:g} and {largest:g}, got {self.beta!r}")

    def height(self, r: Any) -> np.ndarray:
        return np.asarray((1 + np.square(r)) ** -self.beta)

    @property
    def half_radius(self) -> float:
        return float(np.sqrt(2 ** (1 / self.beta) - 1))

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, 50.0


@dataclass(frozen=True)
class Lorentzian(Profile):
    r"""A line broadened by its lifetime: f(r) = 1 / (1 + r^2), of the scale length gamma, half of the FWHM.

    It has no shape parameter. On a line the area of a source of amplitude A is pi A gamma; that of its mixture at
    an error of 1e-5, which ends beyond r = 100, is 0.43 % less.

    >>> import surfacefit as sf
    >>> float(sf.Lorentzian().height(1.0))
    0.5
    """

    def height(self, r: Any) -> np.ndarray:
        return np.asarray(1 / (1 + np.square(r)))

    @property
    def half_radius(self) -> float:
        return 1.0

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, 100.0


@dataclass(frozen=True)
class PseudoVoigt(Profile):
    r"""A Lorentzian and a Gaussian of one FWHM: f(r) = eta / (1 + r^2) + (1 - eta) 2^(-r^2), r in half of the FWHM.

    eta : part of the Lorentzian at the centre, between 0 and 1, without unit.

    Wertheim et al., Rev. Sci. Instrum. 45 (1974) 1369.

    >>> import surfacefit as sf
    >>> float(sf.PseudoVoigt(0.3).height(1.0))
    0.5
    """

    eta: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", not_negative("eta", self.eta))
        if not self.eta <= 1:
            raise ValueError(f"`eta` is a part and must be between 0 and 1, got {self.eta!r}")

    def height(self, r: Any) -> np.ndarray:
        square = np.square(r)
        return np.asarray(self.eta / (1 + square) + (1 - self.eta) * 2.0**-square)

    @property
    def half_radius(self) -> float:
        return 1.0

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, 100.0


@dataclass(frozen=True)
class Sersic(Profile):
    r"""A galaxy: f(r) = exp(-b_n (r^(1/n) - 1)), of the scale length r_e, inside of which half of a 2-D source's light
    lies.

    n : Sérsic index, between 0.5 and 8, without unit: 1 is an exponential disk, 4 de Vaucouleurs' profile.

    The amplitude is the height at r_e, as in `astropy.modeling.models.Sersic2D`. b_n is half of the median of a gamma
    distribution: P(2 n, b_n) = 1/2. Sérsic, Atlas de Galaxias Australes (1968); Ciotti & Bertin, Astron. Astrophys. 352
    (1999) 447.

    >>> import surfacefit as sf
    >>> round(sf.Sersic(1.0).b, 4), float(sf.Sersic(4.0).height(1.0))
    (1.6783, 1.0)
    """

    n: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", positive_number("n", self.n))
        if not LEAST_SERSIC_INDEX <= self.n <= LARGEST_SERSIC_INDEX:
            raise ValueError(
                f"`n` must be between {LEAST_SERSIC_INDEX:g} and {LARGEST_SERSIC_INDEX:g}, got {self.n!r}: below,"
                " a profile is flatter at its centre than any sum of Gaussians, above, a spike that no map shows"
            )

    @property
    def b(self) -> float:
        """b_n."""
        return float(gammaincinv(2 * self.n, 0.5))

    def height(self, r: Any) -> np.ndarray:
        return np.asarray(np.exp(-self.b * (np.asarray(r, float) ** (1 / self.n) - 1)))

    @property
    def half_radius(self) -> float:
        return float((np.log(2) / self.b) ** self.n)

    @property
    def range(self) -> tuple[float, float]:
        return 0.02, 12.0


@dataclass(frozen=True)
class Exponential(Profile):
    r"""A disk: f(r) = exp(-r), of its scale length h in the units of the coordinates.

    It has no shape parameter; it is `Sersic(1)` with the amplitude at the centre, and r_e = 1.678 h. Freeman,
    Astrophys. J. 160 (1970) 811.

    >>> import surfacefit as sf
    >>> round(sf.Exponential().half_radius, 4)
    0.6931
    """

    def height(self, r: Any) -> np.ndarray:
        return np.asarray(np.exp(-np.asarray(r, float)))

    @property
    def half_radius(self) -> float:
        return float(np.log(2))

    @property
    def range(self) -> tuple[float, float]:
        return 0.02, 15.0
