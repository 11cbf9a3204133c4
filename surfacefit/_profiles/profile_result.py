"""What a fit of profiles gives: the sources with their errors, and the fit of tied Gaussians behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._model.surface import GaussianSurface
from .._results.result import FitResult
from .expansion import Expansion
from .shapes import Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SourceErrors(NamedTuple):
    """Standard errors of the numbers of `ProfileResult` with the same names and shapes."""

    amplitudes: np.ndarray
    centers: np.ndarray
    scale_lengths: np.ndarray
    fwhm: np.ndarray
    volumes: np.ndarray


@dataclass(frozen=True, eq=False)
class ProfileResult:
    r"""K sources of one profile, f(x) = b(x) + sum_k A_k f(r_k), r_k^2 = (x - c_k)^T S_k^-1 (x - c_k).

    Attributes
    ----------
    profile : the profile f.
    fit : the `FitResult` of the Gaussians that stand for the sources: statistics, residuals, pictures, files.
    expansion : how sources stand in these Gaussians.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.arange(-30.0, 31.0)
    >>> line = 5 / (1 + ((x - 2) / 3) ** 2)
    >>> result = sf.fit_profiles(line, 1, sf.Lorentzian(), coords=x, background=None)
    >>> np.round(result.amplitudes, 2), np.round(result.fwhm, 2)
    (array([5.]), array([[6.]]))
    """

    profile: Profile
    fit: FitResult
    expansion: Expansion

    def __len__(self) -> int:
        """Number of sources K."""
        return int(self.fit.surface.n_components // self.expansion.size)

    @property
    def mixture_error(self) -> float:
        """The largest misfit of a source's Gaussians to the profile in its range, in units of f(r) + f(1)."""
        return self.expansion.mixture.error

    @property
    def surface(self) -> GaussianSurface:
        """The sum of Gaussians with its background, callable at any points."""
        return self.fit.surface

    @property
    def amplitudes(self) -> np.ndarray:
        """(K,) heights A_k, in the units of the heights: at the centre, of `Sersic` at its effective radius."""
        return np.asarray(self.fit.surface.amplitudes)[self._references] * self.expansion.amplitude_unit()

    @property
    def centers(self) -> np.ndarray:
        """(K, d), in the units of the coordinates."""
        return np.asarray(self.fit.surface.centers)[self._references]

    @property
    def scales(self) -> np.ndarray:
        """(K, d, d) matrices S_k, in squared units of the coordinates."""
        return np.asarray(self.fit.surface.covariances)[self._references] * self.expansion.scale_unit() ** 2

    @property
    def scale_lengths(self) -> np.ndarray:
        """(K, d) scale lengths along the principal axes, the largest first, in the units of the coordinates."""
        return np.asarray(self.fit.surface.principal_widths)[self._references] * self.expansion.scale_unit()

    @property
    def fwhm(self) -> np.ndarray:
        """(K, d) full widths at half of the height at the centre, the largest first, in units of the coordinates."""
        return 2 * self.profile.half_radius * self.scale_lengths

    @property
    def volumes(self) -> np.ndarray:
        """(K,) integrals of the mixtures of the sources over all space: fluxes, or areas of lines."""
        unit = self.expansion.volume_unit(self.fit.surface.n_dim)
        return np.asarray(self.fit.surface.volumes)[self._references] * unit

    @property
    def standard_errors(self) -> SourceErrors:
        """Standard errors, as `FitResult.standard_errors`."""
        return self.errors()

    def errors(self, method: str = "hessian") -> SourceErrors:
        """Standard errors by a method of `FitResult.uncertainty`."""
        of_all, which = self.fit.uncertainty(method), self._references
        length = self.expansion.scale_unit()
        lengths = np.asarray(of_all.principal_widths)[which] * length
        return SourceErrors(
            amplitudes=np.asarray(of_all.amplitudes)[which] * self.expansion.amplitude_unit(),
            centers=np.asarray(of_all.centers)[which],
            scale_lengths=lengths,
            fwhm=2 * self.profile.half_radius * lengths,
            volumes=np.asarray(of_all.volumes)[which] * self.expansion.volume_unit(self.fit.surface.n_dim),
        )

    def summary(self, errors: str = "hessian") -> str:
        """The sources as a table with standard errors, and how good the fit is."""
        told = self.errors(errors)
        head = (
            f"{len(self)} x {self.profile!r} by {self.expansion.size} Gaussians each"
            f" (to {self.mixture_error:.1e}), RMSE {self.fit.rmse:.4g}, {self.fit.status.name}"
        )
        rows = [head]
        for k in range(len(self)):
            numbers = [("amplitude", self.amplitudes[k], told.amplitudes[k])]
            numbers += [("center", c, e) for c, e in zip(self.centers[k], told.centers[k], strict=True)]
            numbers += [("FWHM", w, e) for w, e in zip(self.fwhm[k], told.fwhm[k], strict=True)]
            numbers += [("volume", self.volumes[k], told.volumes[k])]
            rows.append(f"{k:>4}  " + "  ".join(f"{name} {value:.6g} ± {error:.2g}" for name, value, error in numbers))
        return "\n".join(rows)

    def __repr__(self) -> str:
        return self.summary().splitlines()[0]

    def plot(self) -> Figure:
        """The data, the fit and the residuals; needs matplotlib: ``pip install surfacefit[plot]``."""
        return self.fit.plot(ellipses=False) if self.fit.surface.n_dim == 2 else self.fit.plot()

    @property
    def _references(self) -> np.ndarray:
        return self.expansion.references(len(self))
