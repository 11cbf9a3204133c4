"""Very many very small fits: cut-outs of noisy spots, as many a second as the machine allows, beside scipy's minima."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from surfacefit._losses import loss_of
from surfacefit._small_fits.chunks import SmallBatch, SmallFits, fit_small
from surfacefit._small_fits.gaussians import SmallModel
from surfacefit._small_fits.levenberg_marquardt import LaneSettings
from surfacefit._small_fits.surfaces import SurfaceLanes, packed

from .table import Table

# Cut-outs of a case, and of its quick form; those among them that scipy fits too; runs, of which the fastest counts.
N_FITS, N_QUICK, N_COMPARED, REPEATS = 200_000, 10_000, 1000, 5
# Spots of the movie: photons a unit of height, noise in units of height, relative to spots of about 5 over 1.
PHOTONS, NOISE = 100.0, 0.25
# Least width in units of half the cut-out's side.
FLOOR = 1e-3
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

    @property
    def name(self) -> str:
        errors = ", errors" if self.with_errors else ""
        return f"{self.side} x {self.side}, {self.covariance_type}, {self.loss}{errors}"


CASES = (
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
    model, batch, start = _cutouts(case, count)

    def run() -> SmallFits:
        return fit_small(model, batch, start, SETTINGS, with_errors=case.with_errors)

    first, _ = _timed(run)
    times = [_timed(run) for _ in range(REPEATS)]
    fits = run()
    away = np.array([_away(case, batch, fits, lane) for lane in range(N_COMPARED)])
    return [
        case.name,
        f"{count / min(wall for wall, _ in times):.0f}",
        f"{count / min(cpu for _, cpu in times):.0f}",
        f"{first:.1f}",
        f"{100 * np.mean(np.isin(fits.status, (1, 5))):.2f}",
        f"{fits.steps.mean():.1f}",
        f"{np.median(away):.1e}",
        f"{away.max():.1e}",
    ]


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the wall and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _cutouts(case: Case, count: int) -> tuple[SmallModel, SmallBatch, np.ndarray]:
    """Spots within half a pixel of the middle; each starts there, as wide as the mean spot, at the data's extremes."""
    rng, half = np.random.default_rng(0), (case.side - 1) / 2
    axis = (np.arange(case.side) - half) / half
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    factors = np.zeros((count, 2, 2))
    factors[:, 0, 0] = rng.uniform(0.9, 1.3, count) / half
    factors[:, 1, 1] = factors[:, 0, 0] if case.covariance_type == "spherical" else rng.uniform(0.9, 1.3, count) / half
    if case.covariance_type == "full":
        factors[:, 1, 0] = rng.uniform(-0.4, 0.4, count) / half
    truth = np.column_stack([rng.uniform(4, 6, count), rng.uniform(-0.5, 0.5, (count, 2)) / half])
    heights = np.array(truth[:, :1])
    u = (points[:, 0] - truth[:, 1:2]) / factors[:, 0, :1]
    v = (points[:, 1] - truth[:, 2:3] - factors[:, 1, :1] * u) / factors[:, 1, 1:]
    heights = heights * np.exp(-0.5 * (u**2 + v**2)) + rng.uniform(0.8, 1.2, (count, 1))
    poisson = case.loss == "poisson"
    heights = rng.poisson(PHOTONS * heights) / PHOTONS if poisson else heights + NOISE * rng.normal(size=heights.shape)
    loss = loss_of(case.loss, 1.0, PHOTONS * float(heights.mean()))
    loss = loss.scaled(0.0, PHOTONS, 1.0) if poisson else loss
    model, floor = SmallModel(1, 2, case.covariance_type, "signed"), np.full(2, FLOOR)
    low, high = np.quantile(heights, 0.1, axis=1), heights.max(axis=1)
    start = SurfaceLanes(
        (high - low)[:, None],
        np.zeros((count, 1, 2)),
        np.broadcast_to(np.eye(2) * (1.1 / half) ** 2, (count, 1, 2, 2)),
        low,
    )
    single = heights.astype(np.float32)
    batch = SmallBatch(points, single, np.ones_like(single), floor, loss, 1.0 if poisson else None)
    return model, batch, packed(model, start, floor).astype(np.float32)


def _away(case: Case, batch: SmallBatch, fits: SmallFits, lane: int) -> float:
    """The largest distance from scipy's minimum of one lane, in scipy's standard errors."""
    surface, heights = fits.surfaces, batch.heights[lane].astype(float)
    factor = np.linalg.cholesky(surface.covariances[lane, 0].astype(float))
    widths = [factor[0, 0]] if case.covariance_type == "spherical" else [factor[0, 0], factor[1, 1], factor[1, 0]]
    found = np.array([surface.amplitudes[lane, 0], *surface.centers[lane, 0], *widths, surface.background[lane]], float)

    def residuals(params: np.ndarray) -> np.ndarray:
        a, x, y, *shape, background = params
        first, second, lower = (shape[0], shape[0], 0.0) if len(shape) == 1 else shape
        u = (batch.points[:, 0] - x) / first
        v = (batch.points[:, 1] - y - lower * u) / second
        rates = a * np.exp(-0.5 * (u**2 + v**2)) + background
        if case.loss == "linear":
            return rates - heights
        rates, counts = PHOTONS * np.maximum(rates, 1e-9), PHOTONS * heights
        logs = np.log(rates / np.where(counts > 0, counts, rates))
        deviance = 2 * (rates - counts - counts * logs)
        return np.sign(rates - counts) * np.sqrt(np.maximum(deviance, 0))

    best = least_squares(residuals, found, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac")
    variance = 1.0 if case.loss == "poisson" else 2 * best.cost / (len(heights) - len(found))
    errors = np.sqrt(variance * np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    return float(np.max(np.abs(found - best.x) / errors))
