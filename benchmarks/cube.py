"""The suite `cube`: 128 x 128 spectra of 140 samples with three overlapping lines, whose maps are known and smooth.

Starts made from each spectrum alone beside ``init="neighbours"``: the total chi2, which is to be near the noise's, and
in how many spectra a line is more than half a width from the truth.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import surfacefit as sf

from .options import Options
from .table import Table

# Spectra along a side, and as the smallest case.
SIDE, QUICK_SIDE = 128, 24
# Samples of a spectrum, and the standard deviation of its noise; lines are 0.5 to 1.7 high.
N_SAMPLES, NOISE = 140, 0.03
# Samples from the truth at which a line counts as another: half a width.
MISSED = 4.0
# Where the picture goes.
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "neighbours.png"
# How each spectrum starts.
STARTS = ("growth", "auto", "neighbours")
# Columns of the table with their widths in characters.
COLUMNS = {"init": 10, "chi2 / noise": 12, "missed": 8, "spectra/s": 9, "a CPU second": 12}


def run(options: Options) -> str:
    """A row for each start; saves the picture if all spectra were fitted."""
    side, table = QUICK_SIDE if options.quick else SIDE, Table(COLUMNS)
    spectra, centers, amplitudes = cube(side)
    expected = NOISE**2 * (spectra.size - 10 * side**2)  # nine numbers of the lines, one of the background
    found: dict[str, sf.BatchResult] = {}
    for init in STARTS:
        sf.fit_many(spectra[:2], 3, ndim=1, init=init, progress=False)  # compiles
        begun, used = time.perf_counter(), time.process_time()
        batch = found[init] = sf.fit_many(spectra, 3, ndim=1, init=init, progress=False)
        seconds, busy = time.perf_counter() - begun, time.process_time() - used
        missed = np.abs(np.sort(batch.centers[..., 0]) - centers).max(axis=-1) > MISSED
        cells = [f"{batch.chi2.sum() / expected:.4f}", f"{missed.mean():.2%}", f"{side**2 / seconds:.0f}"]
        table.row([init, *cells, f"{side**2 / busy:.0f}"])
    if not options.quick:
        _draw(found, centers, amplitudes)
    return "\n".join(table.lines)


def cube(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra (side, side, 140), and the centres and amplitudes (side, side, 3) of their lines."""
    v, u = np.mgrid[:side, :side] / (side - 1.0)
    waves = (
        0.6 * np.sin(2 * np.pi * u) * np.cos(np.pi * v),
        0.6 * np.cos(np.pi * (u + v)),
        0.4 * np.sin(3 * np.pi * v),
    )
    amplitudes = np.stack(waves, axis=-1) + np.array([1.0, 1.1, 0.9])
    shifts = (6 * np.sin(np.pi * v), 4 * np.cos(2 * np.pi * u) * v, -4 * np.sin(np.pi * u))
    centers = np.stack(shifts, axis=-1) + np.array([46, 68, 90])
    widths = np.stack((6 + 2 * u, 7 - 2 * v, 6 + 2 * u * v), axis=-1)
    offsets = (np.arange(N_SAMPLES) - centers[..., None]) / widths[..., None]
    spectra = (amplitudes[..., None] * np.exp(-0.5 * offsets**2)).sum(axis=-2)
    return spectra + np.random.default_rng(0).normal(0, NOISE, spectra.shape), centers, amplitudes


def _draw(found: dict[str, sf.BatchResult], centers: np.ndarray, amplitudes: np.ndarray) -> None:
    """Maps of centres and amplitudes: the truth, growth of each spectrum by itself, starts from neighbours."""
    from matplotlib.figure import Figure

    rows = [("truth", centers, amplitudes)]
    for init, label in (("growth", 'init="growth"'), ("neighbours", 'init="neighbours"')):
        batch = found[init].matched()
        order = np.argsort(np.nanmedian(batch.centers[..., 0], axis=(0, 1)))
        rows.append((label, batch.centers[..., order, 0], batch.amplitudes[..., order]))
    figure = Figure(figsize=(11, 6.2), layout="compressed")
    for panels, (label, *maps) in zip(figure.subplots(3, 6), rows, strict=True):
        panels[0].set_ylabel(label)
        for n, panel in enumerate(panels):
            truth, k = (centers, amplitudes)[n // 3][..., n % 3], n % 3
            panel.imshow(maps[n // 3][..., k], vmin=truth.min(), vmax=truth.max(), origin="lower")
            panel.set(xticks=[], yticks=[])
            if label == "truth":
                panel.set_title(f"{('center', 'amplitude')[n // 3]} {k + 1}", fontsize="medium")
    figure.savefig(FIGURE, dpi=70)
