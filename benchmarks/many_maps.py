"""The suite `many_maps`: a thousand maps of random shapes, gaps and numbers of components in one process.

Memory, memory mappings and seconds a fit must not grow with the number of fits.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import surfacefit as sf
from surfacefit._system.program_limits import COMPILED_EVENT, n_mappings

from .options import Options
from .surfaces import random_components, rendered
from .table import Table

# Maps in one process, and as the smallest case.
N_MAPS, N_QUICK = 1000, 40
# Points along a side, at least and at most: from maps of which all share a program to such of 16,900 points.
SIDES = (10, 130)
# Components at most; share of the maps that miss points, and share of their points that these miss at most.
MOST_COMPONENTS, GAPS_SHARE, MOST_MISSING = 6, 0.7, 0.3
# Rows of the table.
ROWS = 20
# Where the picture goes.
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "many_maps.png"
# Columns of the table with their widths in characters.
COLUMNS = {"maps": 5, "most MB": 7, "most mappings": 13, "compiled": 8, "median s a fit": 14, "largest s": 9}


class Seen(NamedTuple):
    """The process after a fit: bytes, memory mappings, programs compiled so far; and the seconds of that fit."""

    memory: int
    mappings: int
    compiled: int
    seconds: float


def run(options: Options) -> str:
    """A row for each twentieth of the maps; saves the picture if all were fitted."""
    compiled: list[str] = []

    def note(event: str, duration_secs: float, **_: object) -> None:
        if event.endswith(COMPILED_EVENT):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    rng, table, total = np.random.default_rng(0), Table(COLUMNS), N_QUICK if options.quick else N_MAPS
    seen: list[Seen] = []
    for number in range(1, total + 1):
        heights, count = _map(rng)
        begun = time.perf_counter()
        result = sf.fit(heights, count, search=0, progress=False)
        seconds = time.perf_counter() - begun
        assert np.isfinite(result.rmse)
        seen.append(Seen(_resident(), n_mappings(), len(compiled), seconds))
        if number % max(1, total // ROWS) == 0:
            table.row(_cells(seen, max(1, total // ROWS)))
    if not options.quick:
        _draw(seen)
    return "\n".join(table.lines)


def _map(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Heights with gaps, and how many components to fit."""
    shape, count = rng.integers(*SIDES, 2), int(rng.integers(1, MOST_COMPONENTS + 1))
    size = int(shape.max())
    heights = rendered(random_components(size, count, int(rng.integers(2**31))), size)[: shape[0], : shape[1]]
    heights = heights + 0.02 * rng.normal(size=heights.shape)
    if rng.random() < GAPS_SHARE:
        missing = int(rng.uniform(0, MOST_MISSING) * heights.size)
        heights.flat[rng.permutation(heights.size)[:missing]] = np.nan
    return heights, count


def _cells(seen: list[Seen], rows: int) -> list[str]:
    """The last so many fits as a row."""
    before, last, seconds = (seen[:-rows] or [Seen(0, 0, 0, 0.0)])[-1], seen[-1], [one.seconds for one in seen[-rows:]]
    return [
        str(len(seen)),
        f"{max(one.memory for one in seen[-rows:]) / 1e6:.0f}",
        str(max(one.mappings for one in seen[-rows:])),
        str(last.compiled - before.compiled),
        f"{np.median(seconds):.3f}",
        f"{max(seconds):.1f}",
    ]


def _draw(seen: list[Seen]) -> None:
    """Memory, mappings and seconds over the number of fits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    number = np.arange(1, len(seen) + 1)
    lines = {
        "memory / GB": [one.memory / 1e9 for one in seen],
        "memory mappings": [one.mappings for one in seen],
        "seconds a fit": [one.seconds for one in seen],
    }
    for axes, (label, values) in zip(figure.subplots(3, sharex=True), lines.items(), strict=True):
        axes.plot(number, values, lw=0.6)
        axes.set(ylabel=label, ylim=(0, None))
    axes.set_xlabel("maps")
    figure.savefig(FIGURE, dpi=100)


def _resident() -> int:
    """Bytes of memory that this process holds."""
    import resource

    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
