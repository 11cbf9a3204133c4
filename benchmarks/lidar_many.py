"""The suite `lidar_many`: 500 lidar waveforms of different lengths and numbers of components in one call of `fit_many`.

Published Gaussians are the reference: each published set is a least-squares minimum. The same waveforms with further
noise fill up to 500; their reference is scipy's minimum from the published values.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

import surfacefit as sf

from .maps import DATA_FOLDER
from .options import Options
from .table import Table
from .timed import timed

# Waveforms in one call, and as the smallest case.
N_WAVEFORMS, N_QUICK = 500, 40
# Of them so many are fitted with a number of components to be chosen; and one by one by their number of components,
# 40 in all: fits of many components are rare but take most of the time.
N_SAMPLE, LOOPED = 40, {1: 12, 2: 12, 3: 8, 4: 4, 5: 4}
# Standard deviation of the noise added to repeated waveforms; the published fits leave about 20.
NOISE = 5.0
# Relative excess over the reference's residual sum of squares that counts as none.
AS_LOW = 1e-6
# How far a given start is from the published values, as a relative deviation.
START_RANGE = (0.95, 1.05)
# Options of every fit: the published model has no constant, and widths may be small.
OPTIONS: dict[str, Any] = {"background": None, "min_width": 0.1, "progress": False}
# Columns of the table with their widths in characters.
COLUMNS = {
    "start": 22,
    "first s": 7,
    "ms a waveform": 13,
    "CPU ms": 7,
    "ms a fit": 8,
    "CPU ms ": 7,
    "times faster": 12,
    "by CPU": 6,
    "published": 10,
    "noisy": 10,
    "looped": 8,
}


class Waveforms(NamedTuple):
    """Heights, published values (K, 3) as amplitude, centre and width, and the residual sum of squares to reach."""

    heights: list[np.ndarray]
    coords: list[list[np.ndarray]]
    published: list[np.ndarray]
    counts: np.ndarray
    least: np.ndarray
    n_real: int


def run(options: Options) -> str:
    """The table of `fit_many` beside a loop, and how often the published number is chosen."""
    if not DATA_FOLDER.is_dir():
        return f"no folder {DATA_FOLDER.name} with real surfaces beside the repository: nothing measured"
    waves = _waveforms(N_QUICK if options.quick else N_WAVEFORMS)
    some = _looped(waves.counts)
    table = Table(COLUMNS)
    table.row(_row("own", waves, some, None))
    table.row(_row("own, init='growth'", waves, some, "growth"))
    table.row(_row("published within 5 %", waves, some, _starts(waves)))
    chosen = [f"- {_chosen(name, auto, waves, options.quick)}" for name, auto in _choices()]
    print("\n".join(chosen))
    return "\n\n".join([_introduction(waves, len(some)), "\n".join(table.lines), "\n".join(chosen)])


def _introduction(waves: Waveforms, n_looped: int) -> str:
    lengths = [len(one) for one in waves.heights]
    counts = ", ".join(f"{n} of K = {k}" for k, n in sorted(Counter(waves.counts.tolist()).items()))
    return (
        f"{len(lengths)} waveforms of {min(lengths)} to {max(lengths)} samples ({counts}) as a list in one call of"
        f" `fit_many`, beside a loop of `fit` on {n_looped} of them, the time of a fit weighted by how many have its K."
        f" From its own start `fit` searches longer than `fit_many`; init='growth' is for the batch alone. The last"
        f" three columns: a residual sum of squares of at most the reference's times 1 + {AS_LOW:.0e}."
    )


def _row(name: str, waves: Waveforms, some: np.ndarray, starts: list[sf.GaussianSurface] | str | None) -> list[str]:
    whole: dict[str, Any] = {} if starts is None else {"init": starts}
    begun = time.perf_counter()
    _batch(waves, whole)
    first = time.perf_counter() - begun
    batch, wall, cpu = timed(lambda: _batch(waves, whole))
    each = [{"init": starts[n]} if isinstance(starts, list) else {} for n in some]
    _loop(waves, some, each)
    loop = _loop(waves, some, each)
    low = batch.chi2 <= waves.least * (1 + AS_LOW)
    loop_low = [2 * one.cost <= waves.least[n] * (1 + AS_LOW) for n, (one, _, _) in zip(some, loop, strict=True)]
    loop_wall, loop_cpu = (_weighted(waves.counts, some, [one[i] for one in loop]) for i in (1, 2))
    wall, cpu = wall / len(low), cpu / len(low)
    return [
        name,
        f"{first:.1f}",
        f"{1e3 * wall:.2f}",
        f"{1e3 * cpu:.2f}",
        f"{1e3 * loop_wall:.1f}",
        f"{1e3 * loop_cpu:.1f}",
        f"{loop_wall / wall:.1f}",
        f"{loop_cpu / cpu:.1f}",
        f"{low[: waves.n_real].sum()} of {waves.n_real}",
        f"{low[waves.n_real :].sum()} of {len(low) - waves.n_real}",
        f"{sum(loop_low)} of {len(loop_low)}",
    ]


def _batch(waves: Waveforms, given: dict[str, Any]) -> sf.BatchResult:
    return sf.fit_many(waves.heights, waves.counts, coords=waves.coords, **given, **OPTIONS)


def _loop(waves: Waveforms, some: np.ndarray, given: list[dict[str, Any]]) -> list[tuple[sf.FitResult, float, float]]:
    """Each fit with its seconds by the wall and of CPU."""

    def alone(n: int, own: dict[str, Any]) -> sf.FitResult:
        return sf.fit(waves.heights[n], int(waves.counts[n]), coords=waves.coords[n], **own, **OPTIONS)

    return [timed(partial(alone, n, own)) for n, own in zip(some, given, strict=True)]


def _looped(counts: np.ndarray) -> np.ndarray:
    """Waveforms of the loop: of each number of components some, evenly over those that have it."""
    having = [(np.flatnonzero(counts == k), most) for k, most in LOOPED.items()]
    return np.concatenate(
        [every[np.linspace(0, len(every) - 1, min(most, len(every))).astype(int)] for every, most in having]
    )


def _weighted(counts: np.ndarray, some: np.ndarray, seconds: list[float]) -> float:
    """The mean over all waveforms, each taken to need the mean of its number of components."""
    of_some = counts[some]
    return float(np.mean([np.mean(np.array(seconds)[of_some == k]) for k in counts]))


def _choices() -> list[tuple[str, Any]]:
    return [('"auto"', "auto"), ("AutoComponents(tolerance=0.05)", sf.AutoComponents(tolerance=0.05))]


def _chosen(name: str, auto: Any, waves: Waveforms, quick: bool) -> str:
    """How often the published number is chosen for published waveforms."""
    some = np.linspace(0, waves.n_real - 1, 8 if quick else N_SAMPLE).astype(int)
    heights, coords = [waves.heights[n] for n in some], [waves.coords[n] for n in some]
    batch, wall, cpu = timed(lambda: sf.fit_many(heights, auto, coords=coords, **OPTIONS))
    excess = Counter((batch.n_components - waves.counts[some]).tolist())
    table = ", ".join(f"{more:+d}: {excess[more]}" for more in sorted(excess))
    lower = int(np.count_nonzero(batch.chi2 <= waves.least[some] * (1 + AS_LOW)))
    return (
        f"n_components={name} on {len(some)} published waveforms: the published number in {excess[0]}; found less"
        f" published, how often: {table}; residual sum at most the published one in {lower};"
        f" {wall / len(some):.2f} s and {cpu / len(some):.2f} CPU s a waveform, compiling included"
    )


def _waveforms(total: int) -> Waveforms:
    """All published waveforms in their order, or the first of them, then the same with noise."""
    numbers = np.genfromtxt(DATA_FOLDER / "lidar_gaussians_published_odd.csv", delimiter=",", names=True)
    sums = np.genfromtxt(DATA_FOLDER / "lidar_published_rss_odd.csv", delimiter=",", names=True)
    with np.load(DATA_FOLDER / "lidar_waveforms_odd.npz") as members:
        by_name = {int(n): row[np.isfinite(row)] for n, row in zip(members["waveform"], members["z"], strict=True)}
    values = np.stack([numbers["A"], numbers["u"], numbers["sigma"]], axis=1)
    heights = [by_name[int(name)].astype(float) for name in sums["waveform"]]
    published = [values[numbers["waveform"] == name] for name in sums["waveform"]]
    n_real, least, rng = min(total, len(heights)), list(sums["rss"]), np.random.default_rng(0)
    for n in range(total - n_real):
        source = n % n_real
        heights.append(heights[source] + NOISE * rng.normal(size=len(heights[source])))
        published.append(published[source])
        least.append(_scipy_minimum(heights[-1], published[-1]))
    heights, published = heights[:total], published[:total]
    counts = np.array([len(rows) for rows in published])
    return Waveforms(heights, [[_places(one)] for one in heights], published, counts, np.array(least[:total]), n_real)


def _scipy_minimum(heights: np.ndarray, published: np.ndarray) -> float:
    """The residual sum of squares where scipy ends from the published values."""
    places = _places(heights)[:, None]

    def residuals(flat: np.ndarray) -> np.ndarray:
        amplitudes, centers, widths = flat.reshape(-1, 3).T
        return np.asarray((amplitudes * np.exp(-0.5 * ((places - centers) / widths) ** 2)).sum(axis=1) - heights)

    found = least_squares(residuals, published.ravel(), x_scale="jac", ftol=1e-12, xtol=1e-12, gtol=1e-12)
    return float(2 * found.cost)


def _starts(waves: Waveforms) -> list[sf.GaussianSurface]:
    """The published values, each off by up to 5 %."""
    rng = np.random.default_rng(0)
    moved = [rows * rng.uniform(*START_RANGE, rows.shape) for rows in waves.published]
    return [sf.GaussianSurface(a, u[:, None], (s**2)[:, None, None]) for a, u, s in (rows.T for rows in moved)]


def _places(heights: np.ndarray) -> np.ndarray:
    """Coordinates of the samples, which the published centres count from one."""
    return np.arange(1.0, len(heights) + 1)
