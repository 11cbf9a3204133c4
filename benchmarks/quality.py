"""The suite `quality`: how good an optimum a fit finds without a guess on real maps, and how long it takes."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import surfacefit as sf

from . import maps, recovery
from .options import Options

# Real surfaces with published answers, beside the repository; what is not there is skipped.
DATA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"
# Of surfacefit's searches: the median of three.
SEEDS = (0, 1, 2)
# Seconds of the long search, and the limit of a fit on large maps.
LONG_SECONDS = 60.0
# Numbers of components for which the best cosine coefficients are on file.
YARDSTICK_COMPONENTS = (25, 50, 100)
# Settings of `amplitudes` that are compared.
AMPLITUDES = ("positive", "signed")


def run(options: Options) -> str:
    """All figures as a list; the real surfaces need their folder beside the repository."""
    lines = []
    for line in _lines(options):
        print(f"- {line}", flush=True)
        lines.append(f"- {line}")
    return "\n".join(lines)


def _lines(options: Options) -> Iterator[str]:
    yield from volcano(options.quick)
    yield from recovery.random_maps(10 if options.quick else recovery.MAPS)
    if DATA_FOLDER.is_dir():
        yield radio()
        if not options.quick:
            yield from jacksboro()
            yield from recovery.hundred(DATA_FOLDER)
            yield lidar()
            yield from against_cosines()


def volcano(quick: bool) -> Iterator[str]:
    """K = 8, 16, 32 from `init="auto"`, three seeds, warm; then a long search."""
    heights = maps.volcano().heights
    for count in (8,) if quick else (8, 16, 32):
        sf.fit(heights, count, background=None)
        fits = [_timed(heights, count, background=None, seed=seed) for seed in SEEDS]
        rmse = ", ".join(f"{fit.rmse:.4f} m in {seconds:.1f} s" for fit, seconds in fits)
        median = statistics.median(fit.rmse for fit, _ in fits)
        line = f"volcano K = {count}, auto: {rmse}; median {median:.4f}"
        if not quick:
            long, _ = _timed(heights, count, background=None, search=LONG_SECONDS)
            line += (
                f"; with {LONG_SECONDS:.0f} s of search {long.rmse:.4f}, {100 * (1 - long.rmse / median):.1f} % lower"
            )
        yield line


def jacksboro() -> Iterator[str]:
    """K = 256 and 1024 within a minute, compiled before; half a second is left for what follows the last step."""
    heights = np.asarray(sf.example_map("jacksboro"), float)
    heights -= heights.min()
    for count in (256, 1024):
        sf.fit(heights, count, background=None, max_time=LONG_SECONDS - 0.5)
        fit, seconds = _timed(heights, count, background=None, max_time=LONG_SECONDS - 0.5)
        yield f"Jacksboro K = {count}, auto, at most {LONG_SECONDS:.0f} s: {fit.rmse:.2f} m in {seconds:.1f} s"


def radio() -> str:
    """K = 48 without a background; the catalogue's 48 Gaussians leave 7.54e-4."""
    image = np.load(DATA_FOLDER / "radio_pybdsf_129.npz")["z"].astype(float)
    cells = []
    for amplitudes in AMPLITUDES:
        fit, seconds = _timed(image, 48, background=None, amplitudes=amplitudes)
        cells.append(f"{amplitudes} {fit.rmse:.3e} Jy/beam in {seconds:.1f} s with compilation")
    return f"radio image K = 48, auto, no background: {', '.join(cells)} (catalogue 7.54e-4)"


def lidar() -> str:
    """Each waveform with the published K, from its own start."""
    waves = np.load(DATA_FOLDER / "lidar_waveforms_odd.npz")
    published = np.genfromtxt(DATA_FOLDER / "lidar_published_rss_odd.csv", delimiter=",", names=True)
    ratios, begun = [], time.perf_counter()
    for heights, name in zip(waves["z"], waves["waveform"], strict=True):
        entry = published[published["waveform"] == name]
        if len(entry) == 1:
            x = np.arange(1.0, len(heights) + 1)
            fit = sf.fit(heights, int(entry["n_gauss"][0]), coords=x, background=None, min_width=0.1)
            ratios.append(2 * fit.cost / float(entry["rss"][0]))
    share, worst, seconds = 100 * np.mean(np.array(ratios) <= 1.01), max(ratios), time.perf_counter() - begun
    return (
        f"lidar, own start: {share:.1f} % of {len(ratios)} at most 1 % above the published residual sum;"
        f" worst {worst:.3f}; {seconds:.0f} s"
    )


def against_cosines() -> Iterator[str]:
    """Relative RMS of fits and of as many cosine coefficients, a line a map.

    The background is constant, amplitudes positive and signed.
    """
    with (DATA_FOLDER / "yardstick_dct.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (DATA_FOLDER / row["file"]).exists()]
    won = dict.fromkeys((*AMPLITUDES, "maps"), 0)
    total = 0
    for row in rows:
        heights = np.load(DATA_FOLDER / row["file"])["z"].astype(float)
        if heights.ndim < 2:
            continue
        cells, of_map = [], []
        for count in (n for n in YARDSTICK_COMPONENTS if 10 * n <= heights.size):
            theirs = float(row[f"relrms_K{count}"])
            fits = {sign: _timed(heights, count, amplitudes=sign, max_time=LONG_SECONDS) for sign in AMPLITUDES}
            ours = {sign: fit.rmse / np.nanstd(heights) for sign, (fit, _) in fits.items()}
            for sign in AMPLITUDES:
                won[sign] += ours[sign] <= theirs
            of_map.append(min(ours.values()) <= theirs)
            spent = sum(seconds for _, seconds in fits.values())
            figures = ", ".join(f"{sign} {ours[sign]:.4f}" for sign in AMPLITUDES)
            cells.append(f"K = {count} {figures}, cosines {theirs:.4f} ({spent:.0f} s)")
        won["maps"] += all(of_map)
        total += len(of_map)
        yield f"{row['file']}: " + "; ".join(cells)
    yield (
        f"at or below the cosines: positive {won['positive']}, signed {won['signed']} of {total} fits;"
        f" at every K on {won['maps']} of {len(rows)} maps"
    )


def _timed(heights: np.ndarray, count: int, **options: Any) -> tuple[sf.FitResult, float]:
    begun = time.perf_counter()
    fit = sf.fit(heights, count, progress=False, **options)
    return fit, time.perf_counter() - begun
