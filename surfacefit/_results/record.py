"""What a fit found, as a record of arrays and numbers, and the quantities that follow from it in a line or two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._base.status import LIMIT_STATUSES, STATUS, Status
from .._constraints.box import fixed_masks
from .._data.coverage import Coverage, Shapes, shares_over_data, without_data
from .._data.data import HEAVY_SHARE, SurfaceData, n_heavy
from .._data.frames import looks_like_frames
from .._data.noise import robust_deviation
from .._engines.pixel_nodes import mean_heights
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import NoBackground
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import Parameterization
from .._model.scaling import root_mean_square
from .._model.surface import GaussianSurface
from .._problem.model_spec import ModelOptions
from .._ties.kept import note_of_ties
from .criteria import ComponentPath

# Parameters up to which the whole normal matrix is inverted, which takes 8 P^2 bytes (here 200 MB) for each array.
# Above, only diagonal blocks of the inverse are computed.
MAX_EXACT_PARAMETERS = 5000

# Of `min_width`: a width this little above the floor counts as at it. Fits end within rounding or a last step of it.
FLOOR_TOLERANCE = 0.01

# Samples: a component narrower than this is on one or two samples alone, which do not fix its three numbers along an
# axis. At a width of half a sample the second neighbour has 3e-4 of the height.
UNRESOLVED_SAMPLES = 0.5

# Of the points: if fewer carry all the weight, or fewer than there are parameters, the message says so. Points that are
# given a large sigma instead of a mask are fewer than the others.
FEW_POINTS_SHARE = 0.05

# Standard deviations below the median residual from which a point lies in a pit, and the part of the residual sum of
# squares in pits from which the message says so: of normal noise 2 % lie there.
FAR_DEVIATIONS, PIT_SHARE = 3.0, 0.5
# R2 from which pits are too small to speak of.
MOST_R2_WITH_PITS = 0.99

# Of the heights' root mean square: an RMSE below counts as an exact fit of data without variation.
EXACT_RMSE = 1e-6

# Units in the last place of the heights' root mean square: a spread below is rounding, and the data are constant.
CONSTANT_ROUNDING_UNITS = 8


@dataclass(frozen=True)
class Timings:
    """Seconds of a fit by the clock: ``start`` on data, growth and search, ``run`` on the solver's steps.

    ``compile`` holds the seconds of either in which something was compiled, also beside other work; the three add up to
    ``total``. Imports before a fit are not among them, nor errors, files and plots after it.
    """

    start: float
    compile: float
    run: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Settings(ModelOptions):
    """What was fitted, and with what; the options of `fit` as they were resolved.

    solver, engine, dtype : names.
    n_parameters : free numbers of the fit.
    constraints : bounds, and what was fixed.
    covariance_type, amplitudes, min_width, prior, loss, f_scale, ... : as given to `fit`.
    """

    solver: str
    dtype: str
    n_parameters: int
    engine: str


@dataclass(frozen=True, eq=False)
class FitRecord:
    """The fields of a `FitResult`; its docstring says what they hold."""

    surface: GaussianSurface
    data: SurfaceData
    cost: float
    status: Status
    steps: int
    history: dict[str, np.ndarray]
    timings: Timings
    settings: Settings
    path: ComponentPath | None = None
    penalty: float = 0.0
    starts: np.ndarray | None = None
    resets: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.resets is None:
            object.__setattr__(self, "resets", np.zeros(self.surface.n_components, int))

    @property
    def whole(self) -> Any:
        """What is known of a map on disk, of which ``data`` are averages; None where they are what was fitted."""
        return None

    @property
    def misfits(self) -> np.ndarray:
        """Heights minus fit in the order of ``data.heights``; NaN where a point was not used."""
        return np.where(self.data.used, self.data.heights - self.fitted, np.nan)

    @cached_property
    def fitted(self) -> np.ndarray:
        """Heights of the fitted surface in the order of ``data.heights``: means over pixels where the fit had these.

        Not to be written to.
        """
        nodes = self.settings.nodes(self.data.spacing)
        return mean_heights(self.surface, self.data.all_points, nodes).reshape(self.data.heights.shape)


@dataclass(frozen=True, eq=False)
class FitNumbers(FitRecord):
    """What follows from the fields of a `FitResult` directly."""

    @property
    def success(self) -> bool:
        """Whether the fit converged."""
        return STATUS[self.status].success

    @property
    def message(self) -> str:
        """Why the fit ended, and what to do next.

        The advice is for fits that did not converge, for numbers of components that were chosen, for rules of `tie`
        that limits keep from holding, for fits in which few points carry all the weight, and for pits under components
        that may only add.
        """
        entry = STATUS[self.status]
        ended = f"{entry.message}. {entry.advice}" if entry.advice else entry.message
        chosen = "" if self.path is None or self.status in LIMIT_STATUSES else self.path.note
        for note in (chosen, self._tie_note, self._weight_note, self._pit_note, self._frames_note):
            ended = f"{ended.rstrip('.')}. {note}" if note else ended
        return ended

    @cached_property
    def _tie_note(self) -> str:
        background = NoBackground() if self.surface.background is None else self.surface.background
        constraints, count, n_dim = self.settings.constraints, self.n_components, self.data.n_dim
        if not constraints.ties:
            return ""
        kind, amplitude = COVARIANCE_TYPES[self.settings.covariance_type], AMPLITUDE_TYPES[self.settings.amplitudes]
        parts = Parameterization(np.ones(n_dim), background, float(count), kind, count, amplitude)
        return note_of_ties(constraints.ties, fixed_masks(constraints.fixed, parts), self.surface, parts)

    @cached_property
    def _weight_note(self) -> str:
        heavy, n_points = n_heavy(self.data), self.n_points
        if heavy >= max(min(self.n_parameters, n_points / 2), FEW_POINTS_SHARE * n_points):
            return ""
        return (
            f"{heavy} of {n_points} points carry {HEAVY_SHARE:.1%} of the weight 1 / sigma^2, and the fit hangs on"
            " these alone. Give `sigma` a floor, or for counts loss='poisson'."
        )

    @cached_property
    def _pit_note(self) -> str:
        if self.settings.amplitudes != "positive" or not self.r2 < MOST_R2_WITH_PITS:
            return ""
        residuals = self.misfits[self.data.used].astype(float)
        residuals = residuals / np.abs(residuals).max()
        far = residuals < np.median(residuals) - FAR_DEVIATIONS * robust_deviation(residuals)
        if float(np.sum(residuals[far] ** 2)) < PIT_SHARE * float(np.sum(residuals**2)):
            return ""
        return (
            "Most of the misfit is far below the surface, while components may only add: amplitudes='signed' lets them"
            " be pits; mask what is no part of the surface."
        )

    @cached_property
    def _frames_note(self) -> str:
        if self.data.axes is None or not looks_like_frames(self.data.heights, self.data.used):
            return ""
        return (
            f"Neighbours along the first axis are far less alike than along the others, and all {self.data.n_dim} axes"
            " were fitted as one volume: for frames use `fit_many`."
        )

    @property
    def n_components(self) -> int:
        """Number K of Gaussians."""
        return self.surface.n_components

    @property
    def n_points(self) -> int:
        """Points used."""
        return self.data.n_used

    @property
    def n_masked(self) -> int:
        """Points left out by the mask."""
        return self.data.n_masked

    @property
    def n_nan(self) -> int:
        """Points left out because their height or sigma is NaN, or their sigma infinite."""
        return self.data.n_nan

    @property
    def n_parameters(self) -> int:
        """Free numbers of the fit: of components and background, without what is fixed."""
        return self.settings.n_parameters

    def predict(self, points: Any = None) -> Any:
        """Heights of the fitted surface, background included.

        points : (..., d) coordinates; the heights have shape (...). None (default): the points of the data, and the
            heights come as the data came: the same shape, and the same kind of array. Masked and NaN places are filled
            in.
        """
        if points is not None:
            return np.asarray(self.surface(points))
        return self.data.as_given(self.fitted.copy(), "model")

    @property
    def residuals(self) -> Any:
        """Heights minus fit, as the data came: the same shape and kind of array; NaN where a point was not used."""
        return self.data.as_given(self.misfits, "residual")

    @cached_property
    def rmse(self) -> float:
        """Root mean square of the residuals over the points used, not weighted."""
        return root_mean_square(self.misfits[self.data.used])

    @cached_property
    def r2(self) -> float:
        """1 - sum(residuals^2) / sum((z - mean z)^2); for data without variation 1 if they are met, else 0."""
        heights = self.data.used_heights.astype(float)
        spread, size = root_mean_square(heights - heights.mean()), root_mean_square(heights)
        if spread <= CONSTANT_ROUNDING_UNITS * float(np.finfo(float).eps) * size:
            return 1.0 if self.rmse <= EXACT_RMSE * size else 0.0
        return 1 - (self.rmse / spread) ** 2

    def _own_widths(self, beam: np.ndarray) -> np.ndarray:
        """The smallest own width (K,) of each component in units of the beam; infinite for point sources."""
        if self.settings.constraints.shape is not None:
            return np.full(self.n_components, np.inf)
        inverse = np.linalg.inv(np.linalg.cholesky(beam))
        seen = np.linalg.eigvalsh(inverse @ np.asarray(self.surface.covariances, float) @ inverse.T)[:, 0]
        return np.asarray(np.sqrt(np.maximum(seen - 1, 0)))

    @cached_property
    def at_floor(self) -> np.ndarray:
        """Which components (K,) are as narrow as ``min_width`` allows: not resolved by the sampling, or noise.

        True where the smallest principal width, with every axis in units of its sampling distance, exceeds
        ``min_width`` by less than a hundredth. It may also be below: the fit bounds the pivots of the Cholesky factor,
        and a slanted component may be narrower than those. Behind a ``beam``: an own width below a hundredth of it.
        """
        beam = self.settings.beam
        if beam is not None:
            return self._own_widths(beam) < FLOOR_TOLERANCE
        return np.sqrt(self._shapes.variances[:, 0]) < (1 + FLOOR_TOLERANCE) * self.settings.min_width

    @cached_property
    def unresolved(self) -> np.ndarray:
        """Which components (K,) are narrower than half a sampling distance in some direction.

        Samples do not tell the width and the height of such a component apart: of one between two samples only the sum
        of its heights there is known.
        """
        return np.sqrt(self._shapes.variances[:, 0]) < UNRESOLVED_SAMPLES

    @cached_property
    def volume_shares(self) -> np.ndarray:
        """Share (K,) of each component's volume that lies over the data, to about 1 %.

        ``volume_shares * surface.volumes`` are the volumes over the data. A place is over the data if it is in the box
        of the used points, half a sample around included, and no farther from one of them than 1.5 samples or the
        component's smallest width.
        """
        return shares_over_data(self._coverage, self._shapes)

    @cached_property
    def without_data(self) -> np.ndarray:
        """Which components (K,) are centred within the box of the data, but where there are none.

        There is then no used point within half a width of the centre, or 1.5 samples: it stands in a hole.
        """
        return without_data(self._coverage, self._shapes)

    @cached_property
    def _coverage(self) -> Coverage:
        return Coverage(self.data, self.settings.periods)

    @cached_property
    def _shapes(self) -> Shapes:
        surface = self.surface
        return Shapes.of(self.data, np.asarray(surface.centers, float), np.asarray(surface.covariances, float))
