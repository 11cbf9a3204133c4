"""Very many very small fits: cut-outs of noisy spots, as many a second as the machine allows, beside scipy's minima.

All that a user waits for is timed: units, a start made from each cut-out, steps, and surfaces in the user's units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

import surfacefit as sf
from surfacefit._base.status import STATUS
from surfacefit._small_fits.chunks import SmallFits
from surfacefit._small_fits.gaussians import SmallModel
from surfacefit._small_fits.levenberg_marquardt import LaneSettings
from surfacefit._small_fits.stacks import SmallStack, fit_stack
from surfacefit._small_fits.surfaces import SurfaceLanes
from surfacefit._small_fits.units import MisfitRule

from .table import Table
from .timed import timed

# Cut-outs of a case, and of its quick form; those among them that scipy fits too; runs, of which the fastest counts.
N_FITS, N_QUICK, N_COMPARED, REPEATS = 200_000, 10_000, 1000, 5
# Photons at the top of a spot and behind it, and the standard deviation of noise where it is not that of counts.
PHOTONS, BACKGROUND, NOISE = 500.0, 100.0, 25.0
# Least width of a spot in pixels.
LEAST_WIDTH = 0.25
COLUMNS = {
    "case": 38,
    "fits/s": 8,
    "fits/CPU s": 10,
    "first s": 7,
    "ended %": 7,
    "steps": 5,
    "median of scipy/sigma": 21,
    "most/sigma": 10,
}


@dataclass(frozen=True)
class Case:
    """Square cut-outs of one spot each."""

    side: int
    covariance_type: str
    loss: str
    with_errors: bool
    public: bool = False

    @property
    def name(self) -> str:
        errors, public = ", errors" if self.with_errors else "", "fit_many, " if self.public else ""
        return f"{public}{self.side} x {self.side}, {self.covariance_type}, {self.loss}{errors}"


CASES = (
    Case(5, "spherical", "linear", False, public=True),
    Case(5, "spherical", "linear", False),
    Case(7, "full", "linear", True),
    Case(7, "full", "poisson", True),
)
SETTINGS = LaneSettings(max_steps=10, ftol=1e-4)


def run_all(quick: bool) -> str:
    """A row a case."""
    table = Table(COLUMNS)
    for case in CASES:
        table.row(_row(case, N_QUICK if quick else N_FITS))
    return "\n".join(table.lines)


def _row(case: Case, count: int) -> list[str]:
    model, stack = SmallModel(1, 2, case.covariance_type, "signed"), _cutouts(case, count)

    def run() -> SmallFits:
        if case.public:
            return _by_fit_many(case, stack)
        return fit_stack(model, stack, SETTINGS, dtype=np.dtype(np.float32), with_errors=case.with_errors)

    fits, first, _ = timed(run)
    times = [timed(run)[1:] for _ in range(REPEATS)]
    successes = [int(code) for code, entry in STATUS.items() if entry.success]
    ended = np.isin(fits.status, successes)
    away = np.array([_away(case, stack, fits, lane) for lane in np.flatnonzero(ended)[:N_COMPARED]])
    return [
        case.name,
        f"{count / min(wall for wall, _ in times):.0f}",
        f"{count / min(cpu for _, cpu in times):.0f}",
        f"{first:.1f}",
        f"{100 * ended.mean():.2f}",
        f"{fits.steps.mean():.1f}",
        f"{np.median(away):.1e}",
        f"{away.max():.1e}",
    ]


def _by_fit_many(case: Case, stack: SmallStack) -> SmallFits:
    """The same fits by the public function."""
    solver = sf.LevenbergMarquardt(max_steps=SETTINGS.max_steps, ftol=SETTINGS.ftol)
    maps = stack.heights.reshape(-1, case.side, case.side)
    batch = sf.fit_many(
        maps, 1, covariance_type=case.covariance_type, amplitudes="signed", solver=solver, progress=False
    )
    surfaces = SurfaceLanes(batch.amplitudes, batch.centers, batch.covariances, batch.background[:, 0])
    return SmallFits(None, batch.cost, batch.status, batch.steps, surfaces, None)


def _cutouts(case: Case, count: int) -> SmallStack:
    """Spots about a pixel wide, within half a pixel of the middle."""
    rng, middle = np.random.default_rng(0), (case.side - 1) / 2
    points = np.stack(np.indices((case.side, case.side)), axis=-1).reshape(-1, 2).astype(float)
    widths = rng.uniform(0.9, 1.3, (count, 2, 1))
    if case.covariance_type == "spherical":
        widths[:, 1] = widths[:, 0]
    lower = rng.uniform(-0.4, 0.4, (count, 1)) if case.covariance_type == "full" else 0.0
    centers = middle + rng.uniform(-0.5, 0.5, (count, 2, 1))
    u = (points[:, 0] - centers[:, 0]) / widths[:, 0]
    v = (points[:, 1] - centers[:, 1] - lower * u) / widths[:, 1]
    heights = PHOTONS * rng.uniform(0.8, 1.2, (count, 1)) * np.exp(-0.5 * (u**2 + v**2))
    heights += BACKGROUND * rng.uniform(0.8, 1.2, (count, 1))
    counted = case.loss == "poisson"
    heights = (rng.poisson(heights) if counted else heights + NOISE * rng.normal(size=heights.shape)).astype(np.float32)
    return SmallStack(points, heights, np.ones_like(heights), np.full(2, LEAST_WIDTH), MisfitRule(case.loss))


def _away(case: Case, stack: SmallStack, fits: SmallFits, lane: int) -> float:
    """The largest distance from scipy's minimum of one lane, in scipy's standard errors."""
    surface, heights = fits.surfaces, stack.heights[lane].astype(float)
    factor = np.linalg.cholesky(surface.covariances[lane, 0].astype(float))
    widths = [factor[0, 0]] if case.covariance_type == "spherical" else [factor[0, 0], factor[1, 1], factor[1, 0]]
    found = np.array([surface.amplitudes[lane, 0], *surface.centers[lane, 0], *widths, surface.background[lane]], float)

    def residuals(params: np.ndarray) -> np.ndarray:
        a, x, y, *shape, background = params
        first, second, lower = (shape[0], shape[0], 0.0) if len(shape) == 1 else shape
        u = (stack.points[:, 0] - x) / first
        v = (stack.points[:, 1] - y - lower * u) / second
        rates = a * np.exp(-0.5 * (u**2 + v**2)) + background
        if case.loss == "linear":
            return rates - heights
        rates = np.maximum(rates, 1e-9)
        logs = np.log(rates / np.where(heights > 0, heights, rates))
        deviance = 2 * (rates - heights - heights * logs)
        return np.sign(rates - heights) * np.sqrt(np.maximum(deviance, 0))

    best = least_squares(residuals, found, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac")
    variance = 1.0 if case.loss == "poisson" else 2 * best.cost / (len(heights) - len(found))
    errors = np.sqrt(variance * np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    return float(np.max(np.abs(found - best.x) / errors))
