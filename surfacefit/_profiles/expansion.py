"""Sources of a profile as components that are tied together: a surface to start from, and the option `tie` of `fit`.

Source k of a mixture of m Gaussians stands in the components k m to k m + m - 1, all about one centre. One of them, the
reference, is free; the others have its covariance times (s_j / s_ref)^2 and its amplitude times w_j / w_ref.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._model.surface import GaussianSurface
from .mixtures import Mixture
from .shapes import Profile

# Half of the FWHM of a Gaussian in its standard deviations, sqrt(2 log 2).
GAUSSIAN_HALF_RADIUS = float(np.sqrt(2 * np.log(2)))


@dataclass(frozen=True)
class Sources:
    """K sources: amplitudes (K,), centers (K, d), and scale matrices (K, d, d) in squared units of the coordinates."""

    amplitudes: np.ndarray
    centers: np.ndarray
    scales: np.ndarray

    def __len__(self) -> int:
        return len(self.amplitudes)


@dataclass(frozen=True, eq=False)
class Expansion:
    """Sources of a profile as Gaussians, and back."""

    profile: Profile
    mixture: Mixture

    @property
    def size(self) -> int:
        """Gaussians of a source."""
        return len(self.mixture)

    @property
    def reference(self) -> int:
        """The Gaussian of a source whose numbers are free: the one of the largest volume on a plane."""
        return int(np.argmax(self.mixture.weights * self.mixture.widths**2))

    def of_gaussians(self, surface: GaussianSurface) -> Sources:
        """Sources with the heights at the centre, or at the least r of the range, and with the FWHM of components."""
        ratio = GAUSSIAN_HALF_RADIUS / self.profile.half_radius
        top = float(self.profile.height(self.profile.range[0]))
        amplitudes, centers, covariances = (
            np.asarray(a, float) for a in (surface.amplitudes, surface.centers, surface.covariances)
        )
        return Sources(amplitudes / top, centers, covariances * ratio**2)

    def surface(self, sources: Sources, background: Any) -> GaussianSurface:
        """The K m components of sources."""
        weights, widths = self.mixture.weights, self.mixture.widths
        return GaussianSurface(
            amplitudes=(sources.amplitudes[:, None] * weights).ravel(),
            centers=np.repeat(sources.centers, self.size, axis=0),
            covariances=(sources.scales[:, None] * widths[:, None, None] ** 2).reshape(-1, *sources.scales.shape[1:]),
            background=background,
        )

    def tie(self, count: int) -> dict[str, Any]:
        """The option `tie` for so many sources."""
        tie: dict[str, Any] = {"centers": [list(range(k * self.size, (k + 1) * self.size)) for k in range(count)]}
        heights = self.mixture.weights / self.mixture.weights[self.reference]
        squares = (self.mixture.widths / self.mixture.widths[self.reference]) ** 2
        for k in range(count):
            one = k * self.size + self.reference
            for j in set(range(self.size)) - {self.reference}:
                other = k * self.size + j
                tie[f"amplitudes[{other}]"] = f"{float(heights[j])!r} * amplitudes[{one}]"
                tie[f"covariances[{other}]"] = f"{float(squares[j])!r} * covariances[{one}]"
        return tie if self.size > 1 else {}

    def references(self, count: int) -> np.ndarray:
        """Indices (K,) of the free components."""
        return np.arange(count) * self.size + self.reference

    def amplitude_unit(self) -> float:
        """Amplitude of a source whose reference has an amplitude of 1."""
        return float(1 / self.mixture.weights[self.reference])

    def scale_unit(self) -> float:
        """Scale length of a source whose reference has a width of 1."""
        return float(1 / self.mixture.widths[self.reference])

    def volume_unit(self, n_dim: int) -> float:
        """Volume of a source whose reference has a volume of 1."""
        parts = self.mixture.weights * self.mixture.widths**n_dim
        return float(parts.sum() / parts[self.reference])
