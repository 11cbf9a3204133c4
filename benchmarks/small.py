"""The suite `small`: one map that every fitter can fit, from one start, so that times and RMSE are comparable."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import jax
import numpy as np

import surfacefit as sf

from . import maps, peers
from .options import Options
from .peers import _gaussians
from .peers._contract import PeerFit, PeerProblem, scaled
from .table import Table, seconds

Fit = TypeVar("Fit")

# Sizes of the fits: one that every fitter does in seconds, one that takes some of them minutes.
N_COMPONENTS = (8, 32)
# A peer whose first fit takes longer is not run again, unless it compiles.
SINGLE_RUN_ABOVE_SECONDS = 20.0
# Fits that are shorter are repeated, and the one of median time is reported.
REPEATED_BELOW_SECONDS = 2.0
# Runs of a short fit; a compromise between scatter and time.
REPEATS = 5
# Seconds of search in the row that searches around the first minimum.
SHORT_SEARCH_SECONDS = 1.0
# Factor within which an RMSE counts as reached.
RMSE_TOLERANCE = 1 + 1e-6
# Columns of the table and their widths in characters.
COLUMNS = {
    "fitter": 22,
    "cold s": 7,
    "warm s": 7,
    "warm ratio": 10,
    "steps": 6,
    "RMSE m": 7,
    "RMSE ratio": 10,
    "same start s": 12,
    "auto start s": 12,
    "remark": 45,
}
# What the columns mean, printed with each table.
NOTES = """\
cold: first fit, compiling included, imports not; warm: the second fit, below 2 s the median of five.
Ratios are to surfacefit from the same start.
steps: steps tried (surfacefit, optimistix) or evaluations of the residuals (the others).
search=1: with a second of search around the first minimum, which is counted.
same start s, auto start s: when surfacefit, warm, reaches this row's RMSE from the same start and from
`init="auto"`; - is never.
*: one run only, as it took more than 20 s."""
# A program that prints the seconds of a first fit, import included.
FIRST_FIT = """
import time
begun = time.perf_counter()
import surfacefit as sf
from benchmarks.maps import volcano
sf.fit(volcano().heights, 8, background=None)
print(time.perf_counter() - begun)
"""


@dataclass(frozen=True, eq=False)
class OwnFit:
    """A fit of surfacefit, with seconds and RMSE (steps,) after each step."""

    result: sf.FitResult
    times: np.ndarray
    rmse: np.ndarray

    def reached(self, rmse: float) -> float | None:
        """Seconds until the RMSE was no larger than this one."""
        there = self.rmse <= rmse * RMSE_TOLERANCE
        return float(self.times[there.argmax()]) if there.any() else None


@dataclass(frozen=True)
class Row:
    """Seconds, steps and RMSE of one fitter."""

    label: str
    cold: float
    warm: float
    steps: int
    rmse: float
    remark: str
    single: bool = False


def run(options: Options) -> str:
    """The tables as Markdown; prints them as they grow."""
    map_ = maps.volcano()
    with jax.enable_x64(True):
        jax.block_until_ready(jax.numpy.zeros(1))
    lines = [f"{map_.name}, float64, no background, full covariances, even start.", ""]
    print(f"\n{lines[0]}\n{NOTES}")
    for n_components in N_COMPONENTS[:1] if options.quick else N_COMPONENTS:
        print(f"\nK = {n_components}\n")
        lines += [f"### K = {n_components}", "", *_compare(map_, n_components, options.peers), ""]
    first = (
        f'First fit in a fresh process, import included, K = 8 from `init="auto"`: {_first_fit():.2f} s (median of 3).'
    )
    print(f"\n{first}")
    return "\n".join([*lines, first, "", *(f"- {note}" for note in NOTES.splitlines())])


def _compare(map_: maps.Map, n_components: int, names: tuple[str, ...]) -> list[str]:
    problem = PeerProblem(map_.heights, maps.even_start(map_.heights, n_components))
    _check_like_with_like(problem)
    table = Table(COLUMNS)
    same_row, same = _own("surfacefit, same start", map_.heights, n_components, problem.start)
    searched_row, _ = _own(
        "same start, search=1", map_.heights, n_components, problem.start, search=SHORT_SEARCH_SECONDS
    )
    auto_row, auto = _own("surfacefit, auto", map_.heights, n_components, "auto")
    for row in (same_row, searched_row, auto_row):
        table.row(_cells(row, same_row, same, auto))
    for name in names:
        peer = peers.load(name)
        table.row(_cells(_peer(name, peer, problem), same_row, same, auto) if peer else _absent(name))
    return table.lines


def _check_like_with_like(problem: PeerProblem) -> None:
    """Raises unless the peers' derivatives are right and their start is the surface that surfacefit starts from."""
    inner = scaled(problem)
    params = _gaussians.pack(inner.start, inner.floor)
    _gaussians.check_jacobian(params, inner)
    np.testing.assert_allclose(
        _gaussians.heights(params, inner), problem.start(maps.pixels(problem.heights.shape)), atol=1e-9 * inner.unit
    )


def _own(
    label: str, heights: np.ndarray, n_components: int, init: Any, search: float | None = None
) -> tuple[Row, OwnFit]:
    def fit() -> OwnFit:
        return _fit(heights, n_components, init, search)

    cold, warm = fit(), _typical(fit, lambda own: own.result.timings.total)
    result = warm.result
    remark = "" if result.success else f"{result.status.name.lower()}, not converged"
    return Row(label, cold.result.timings.total, result.timings.total, result.steps, result.rmse, remark), warm


def _typical(fit: Callable[[], Fit], seconds: Callable[[Fit], float]) -> Fit:
    """A fit; if it is short, the one of median time among several."""
    fits = [fit()]
    if seconds(fits[0]) < REPEATED_BELOW_SECONDS:
        fits += [fit() for _ in range(REPEATS - 1)]
    return sorted(fits, key=seconds)[len(fits) // 2]


def _fit(heights: np.ndarray, n_components: int, init: Any, search: float | None) -> OwnFit:
    """A fit with its course: growth and search as a callback sees them, then steps, timed by interpolation.

    The callback sees chunks of steps, so the times of single steps are interpolated between chunks.
    """
    seen: list[sf.Progress] = []
    result = sf.fit(
        heights, n_components, background=None, init=init, search=search, progress=False, callback=seen.append
    )
    grown = result.steps - len(result.history["cost"])
    before, chunks = [now for now in seen if now.steps <= grown], [now for now in seen if now.steps > grown]
    begun = before[-1].elapsed if before else 0.0
    steps = [grown, *(now.steps for now in chunks), result.steps]
    elapsed = [begun, *(now.elapsed for now in chunks), result.timings.total]
    rmse = np.sqrt(2 * result.history["cost"] / result.n_points)
    times = np.interp(grown + 1 + np.arange(len(rmse)), steps, elapsed)
    return OwnFit(
        result, np.append([now.elapsed for now in before], times), np.append([now.rmse for now in before], rmse)
    )


def _peer(name: str, peer: ModuleType, problem: PeerProblem) -> Row:
    """The row of a peer; it runs twice if the first run was short or compiled."""
    cold: PeerFit = peer.fit(problem)
    single = cold.seconds > SINGLE_RUN_ABOVE_SECONDS and not getattr(peer, "COMPILES", False)
    warm: PeerFit = cold if single else _typical(lambda: peer.fit(problem), lambda fit: fit.seconds)
    rmse = float(np.sqrt(np.mean((warm.heights - problem.heights.ravel()) ** 2)))
    return Row(name, cold.seconds, warm.seconds, warm.evaluations, rmse, warm.remark, single)


def _cells(row: Row, own: Row, same: OwnFit, auto: OwnFit) -> list[str]:
    return [
        row.label,
        seconds(row.cold),
        seconds(row.warm) + "*" * row.single,
        f"{row.warm / own.warm:.2f}",
        str(row.steps),
        f"{row.rmse:.4f}",
        f"{row.rmse / own.rmse:.4f}",
        seconds(same.reached(row.rmse)),
        seconds(auto.reached(row.rmse)),
        row.remark,
    ]


def _absent(name: str) -> list[str]:
    return [name, *["-"] * (len(COLUMNS) - 2), "not installed (pip install surfacefit[bench])"]


def _first_fit() -> float:
    """Median seconds of three fresh processes."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", FIRST_FIT]
    outputs = [subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout for _ in range(3)]
    return statistics.median(float(output) for output in outputs)
