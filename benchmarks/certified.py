"""The suite `certified`: distance from optima that others certified or published, and a volume from its own start."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

import surfacefit as sf

from .options import Options

# Real surfaces with published answers, beside the repository; what is not there is skipped.
DATA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def run(options: Options) -> str:
    """All figures as a list; needs the folder of real surfaces."""
    if not DATA_FOLDER.is_dir():
        return f"no folder {DATA_FOLDER.name} with real surfaces beside the repository: nothing measured"
    lines = [*nist(), *([] if options.quick else lidar()), *cryo_em()]
    section = "\n".join(f"- {line}" for line in lines)
    print(section)
    return section


def nist() -> list[str]:
    """Gauss1 and Gauss2 without their certified baselines, from both official starts."""
    entries = json.loads((DATA_FOLDER / "nist_certified.json").read_text())
    return [_nist(name, entries[name], start) for name in ("Gauss1", "Gauss2") for start in ("start1", "start2")]


def _nist(name: str, entry: dict[str, list[float]], start: str) -> str:
    rows = np.loadtxt(DATA_FOLDER / f"nist_{name}.csv", delimiter=",", skiprows=1)
    result = sf.fit(rows[:, 2], 2, coords=rows[:, 0], background=None, init=_nist_surface(entry[start]))
    surface = result.surface.component(np.argsort(result.surface.centers[:, 0]))
    found = np.concatenate([surface.amplitudes, surface.centers[:, 0], surface.principal_widths[:, 0]])
    b = entry["certified"]
    certified = np.array([b[2], b[5], b[3], b[6], b[4] / np.sqrt(2), b[7] / np.sqrt(2)])
    off = np.abs(found / certified - 1).max()
    rss = abs(2 * result.cost / entry["certified_rss"] - 1)  # type: ignore[operator]
    return (
        f"NIST {name} {start}: parameters within {off:.1e}, residual sum of squares within {rss:.1e} (relative),"
        f" {result.steps} steps"
    )


def _nist_surface(b: list[float]) -> sf.GaussianSurface:
    return sf.GaussianSurface([b[2], b[5]], [[b[3]], [b[6]]], [[[b[4] ** 2 / 2]], [[b[7] ** 2 / 2]]])


def lidar() -> list[str]:
    """Each waveform from its published values, perturbed by up to 5 %."""
    waves = np.load(DATA_FOLDER / "lidar_waveforms_odd.npz")
    numbers = np.genfromtxt(DATA_FOLDER / "lidar_gaussians_published_odd.csv", delimiter=",", names=True)
    published = np.genfromtxt(DATA_FOLDER / "lidar_published_rss_odd.csv", delimiter=",", names=True)
    rng, ratios, begun = np.random.default_rng(0), [], time.perf_counter()
    for heights, name in zip(waves["z"], waves["waveform"], strict=True):
        rows, rss = numbers[numbers["waveform"] == name], published["rss"][published["waveform"] == name]
        if len(rss) == 0:
            continue
        a, u, s = (rows[c] * rng.uniform(0.95, 1.05, len(rows)) for c in ("A", "u", "sigma"))
        start = sf.GaussianSurface(a, u[:, None], (s**2)[:, None, None])
        x = np.arange(1.0, len(heights) + 1)
        fitted = sf.fit(heights, len(rows), coords=x, background=None, init=start, min_width=0.1)
        ratios.append(2 * fitted.cost / rss[0])
    worst, count = max(ratios), sum(ratio <= 1 + 1e-6 for ratio in ratios)
    seconds = time.perf_counter() - begun
    return [
        f"lidar: {count} of {len(ratios)} at most the published residual sum (1 + 1e-6); worst ratio {worst:.9f};"
        f" {seconds:.0f} s in all"
    ]


def cryo_em() -> list[str]:
    """Relative RMS of the 20 x 20 x 20 density map at K = 20, constant background, own start."""
    volume = np.load(DATA_FOLDER / "vol_emd3197_20.npz")["z"].astype(np.float64)
    result = sf.fit(volume, 20)
    relative, run, compiling = result.rmse / volume.std(), result.timings.run, result.timings.compile
    return [
        f"cryo-EM volume, K = 20: relative RMS {relative:.4f}, {result.steps} steps, {run:.1f} s and {compiling:.1f}"
        f" s compiling"
    ]
