"""The suite `solvers`: second-order solvers side by side on real maps, from the same starts and without a search."""

from __future__ import annotations

import surfacefit as sf

from . import maps
from .options import Options
from .table import Table, seconds

# Numbers of components: a small fit, and one whose components overlap much.
COMPONENTS = (8, 32)
# Starts by name: even in space, and at the peaks of the map.
STARTS = ("grid", "peaks")
# RMSE over that of Levenberg-Marquardt within which two ends count as the same minimum.
SAME_END = 1e-3
# Columns of the table with their widths in characters.
COLUMNS = {
    "map": 36,
    "K": 3,
    "start": 6,
    "LM RMSE": 9,
    "dogleg over LM": 14,
    "LM steps": 8,
    "dogleg steps": 12,
    "LM s": 6,
    "dogleg s": 8,
    "better": 8,
}


def run(options: Options) -> str:
    """A row a map, number of components and start; then how often which solver was better."""
    table, won = Table(COLUMNS), {"LM": 0, "dogleg": 0, "both": 0}
    faster = 0
    for map_ in maps.thinned():
        for count in COMPONENTS[:1] if options.quick else COMPONENTS:
            for start in STARTS:
                ours, theirs = (_fit(map_, count, start, s) for s in (sf.LevenbergMarquardt(), sf.Dogleg()))
                ratio = theirs.rmse / ours.rmse
                better = "both" if abs(ratio - 1) <= SAME_END else "LM" if ratio > 1 else "dogleg"
                won[better] += 1
                faster += ratio <= 1 + SAME_END and theirs.steps < ours.steps
                table.row(_cells(map_.name, count, start, ours, theirs, better))
    total = sum(won.values())
    summary = (
        f"RMSE lower by more than {SAME_END:.1%}: Levenberg-Marquardt {won['LM']}, dogleg {won['dogleg']} of {total};"
        f" the dogleg takes fewer steps to an RMSE as low or lower in {faster}"
    )
    print(summary)
    return "\n".join([*table.lines, "", summary])


def _fit(map_: maps.Map, count: int, start: str, solver: sf.LevenbergMarquardt | sf.Dogleg) -> sf.FitResult:
    return sf.fit(map_.heights, count, background=None, init=start, search=0, reset=False, solver=solver)


def _cells(name: str, count: int, start: str, ours: sf.FitResult, theirs: sf.FitResult, better: str) -> list[str]:
    """Seconds are those of running, without compiling."""
    return [
        name,
        str(count),
        start,
        f"{ours.rmse:.4g}",
        f"{theirs.rmse / ours.rmse:.4f}",
        str(ours.steps),
        str(theirs.steps),
        seconds(ours.timings.run),
        seconds(theirs.timings.run),
        better,
    ]
