"""Frames of many Gaussians: one call of `fit_many` beside a loop of `fit` on some of them, in one run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import surfacefit as sf

from .table import Table
from .timed import timed

# Least distance of a centre from the border, and the range of widths, in pixels; that of heights, and their noise.
MARGIN, WIDTHS, HEIGHTS, NOISE = 2.0, (1.2, 2.5), (1.0, 3.0), 0.1
# How far a given start is from the truth: centres in pixels (deviation), heights and variances as factors.
START_SHIFT, START_HEIGHTS, START_VARIANCES = 0.5, (0.7, 1.3), (0.7, 1.4)
# Relative difference of an RMSE from that of `fit` that counts as none.
AS_GOOD = 1e-3
COLUMNS = {
    "case": 34,
    "frames": 6,
    "first s": 7,
    "ms a frame": 10,
    "CPU ms": 7,
    "looped": 6,
    "ms a fit": 8,
    "CPU ms ": 7,
    "times faster": 12,
    "by CPU": 6,
    "as good %": 9,
    "worst %": 7,
}


@dataclass(frozen=True)
class Case:
    """Square frames of so many Gaussians each; as many are looped over as a loop takes seconds for."""

    side: int
    n_components: int
    given: bool
    n_frames: int
    n_looped: int

    @property
    def name(self) -> str:
        start = "a start each" if self.given else 'init="auto"'
        return f"{self.side} x {self.side}, K = {self.n_components}, {start}"


CASES = (Case(64, 40, True, 500, 20), Case(32, 5, True, 5000, 100), Case(32, 5, False, 1000, 50))
QUICK = (Case(64, 40, True, 64, 6), Case(32, 5, True, 500, 20))


def run_all(quick: bool) -> str:
    """A row a case."""
    table = Table(COLUMNS)
    for case in QUICK if quick else CASES:
        table.row(_row(case))
    return "\n".join(table.lines)


def _row(case: Case) -> list[str]:
    frames, starts = frames_of(case)
    begun = time.perf_counter()
    _batch(case, frames[:64], starts[:64])
    first = time.perf_counter() - begun
    batch, wall, cpu = timed(lambda: _batch(case, frames, starts))
    _alone(case, frames[0], starts[0])
    some = range(case.n_looped)
    loop, loop_wall, loop_cpu = timed(lambda: [_alone(case, frames[n], starts[n]) for n in some])
    above = batch.rmse[: case.n_looped] / np.array([one.rmse for one in loop]) - 1
    each, alone = 1e3 / case.n_frames, 1e3 / case.n_looped
    return [
        case.name,
        str(case.n_frames),
        f"{first:.1f}",
        f"{wall * each:.2f}",
        f"{cpu * each:.2f}",
        str(case.n_looped),
        f"{loop_wall * alone:.1f}",
        f"{loop_cpu * alone:.1f}",
        f"{loop_wall * alone / (wall * each):.1f}",
        f"{loop_cpu * alone / (cpu * each):.1f}",
        f"{100 * np.mean(above <= AS_GOOD):.0f}",
        f"{100 * above.max():.2f}",
    ]


def _batch(case: Case, frames: np.ndarray, starts: list[sf.GaussianSurface]) -> Any:
    return sf.fit_many(frames, case.n_components, progress=False, **({"init": starts} if case.given else {}))


def _alone(case: Case, frame: np.ndarray, start: sf.GaussianSurface) -> Any:
    return sf.fit(frame, case.n_components, progress=False, **({"init": start} if case.given else {}))


def frames_of(case: Case) -> tuple[np.ndarray, list[sf.GaussianSurface]]:
    """Frames in single precision, and a start near the truth of each."""
    rng, count = np.random.default_rng(0), case.n_components
    points = np.stack(np.indices((case.side, case.side)), axis=-1).astype(float)
    frames, starts = [], []
    for _ in range(case.n_frames):
        truth = _surface(rng, case.side, count)
        frames.append((truth(points) + NOISE * rng.normal(size=points.shape[:2])).astype(np.float32))
        starts.append(
            sf.GaussianSurface(
                truth.amplitudes * rng.uniform(*START_HEIGHTS, count),
                truth.centers + START_SHIFT * rng.normal(size=(count, 2)),
                truth.covariances * rng.uniform(*START_VARIANCES, (count, 1, 1)),
                background=truth.background,
            )
        )
    return np.array(frames), starts


def _surface(rng: np.random.Generator, side: int, count: int) -> sf.GaussianSurface:
    widths, angle = rng.uniform(*WIDTHS, (count, 2)), rng.uniform(0, np.pi, count)
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(count, 2, 2)
    covariances = turned @ (widths[:, :, None] ** 2 * np.eye(2)) @ turned.swapaxes(1, 2)
    centers = rng.uniform(MARGIN, side - 1 - MARGIN, (count, 2))
    return sf.GaussianSurface(rng.uniform(*HEIGHTS, count), centers, covariances, background=1.0)
