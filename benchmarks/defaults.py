"""The suite `defaults`: what a first fit costs, and whether its answer is finite and the same everywhere.

First, fresh processes from import to summary. Then default fits of real maps in four ways: in a fresh process, again in
the same one, on one core, and beside busy loops. Their numbers are compared digit by digit, and components counted that
stand outside the data or have an error above their amplitude.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import surfacefit as sf
from surfacefit._base.compile import plain_jit
from surfacefit._base.precision import precision
from surfacefit._statistics.linearization import linearized_at, residual_variance

from . import maps
from .options import Options
from .table import Table, seconds

# Numbers of components, and those of the smallest case.
COMPONENTS, FEW = (4, 8, 16, 32), (8,)
# Maps of which the smallest case takes the first.
N_MAPS, N_QUICK = 6, 1
# Loops that keep as many cores busy beside the fits.
BUSY_LOOPS = 2
# What fresh processes fit: code that leaves a result in ``r``.
FIRST_FITS = {
    "10 points, K = 1": "x = np.arange(10.0); r = sf.fit(np.exp(-0.1 * (x - 4) ** 2) + 0.1 * np.cos(7 * x), 1)",
    "volcano, K = 8": "from benchmarks import maps; r = sf.fit(maps.volcano().heights, 8)",
    "Jacksboro, K = 16": "r = sf.fit(sf.example_map('jacksboro'), 16)",
}
# The process itself: seconds of import, fit and summary, CPU seconds of all, and programs compiled.
FIRST_FIT = """
import time; begun = time.perf_counter()
import json, numpy as np, surfacefit as sf, jax
imported, compiled = time.perf_counter(), []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(event) if event.endswith("backend_compile_duration") else None)
{code}
fitted = time.perf_counter(); r.summary(); shown = time.perf_counter()
print(json.dumps([imported - begun, fitted - imported, shown - fitted, time.process_time(), len(compiled)]))
"""
FIRST_COLUMNS = {"fresh process": 22, "import": 8, "fit": 8, "summary": 8, "CPU s": 8, "programs": 8}
COLUMNS = {
    "map": 34,
    "K": 3,
    "RMSE": 10,
    "steps": 7,
    "outside": 7,
    "error > value": 13,
    "unflagged": 9,
    "d": 8,
    "s": 6,
    "same": 28,
}


def run(options: Options) -> str:
    """Both tables."""
    first = Table(FIRST_COLUMNS)
    for name, code in FIRST_FITS.items():
        *times, cpu, programs = _output(["-c", FIRST_FIT.format(code=code)], {})
        first.row([name, *map(seconds, times), seconds(cpu), str(programs)])
        if options.quick:
            break
    cases = ["-m", "benchmarks.defaults", *(["--quick"] if options.quick else [])]
    fresh, alone = _output(cases, {}), _output(cases, {"ONE_CORE": "1"})
    with _busy():
        busy = _output(cases, {})
    table, ways = Table(COLUMNS), {"again": 0, "one core": 0, "busy": 0}
    for row, (one_core, beside) in zip(fresh, zip(alone, busy, strict=True), strict=True):
        same = {
            "again": row["digest"] == row["again"],
            "one core": row["digest"] == one_core["digest"],
            "busy": row["digest"] == beside["digest"],
        }
        for name, equal in same.items():
            ways[name] += equal
        cells = [row["map"], str(row["K"]), f"{row['rmse']:.6g}", *(str(row[n]) for n in ("steps", "outside", "bad"))]
        table.row([*cells, str(row["unflagged"]), row["d"], seconds(row["seconds"]), _told(same)])
    summary = "; ".join(f"{name}: {count} of {len(fresh)} the same to the last bit" for name, count in ways.items())
    print(summary)
    return "\n".join([*first.lines, "", *table.lines, "", summary])


def _told(same: dict[str, bool]) -> str:
    different = [name for name, equal in same.items() if not equal]
    return "yes" if not different else "not " + ", ".join(different)


def _output(arguments: list[str], more: dict[str, str]) -> Any:
    """What a fresh process prints last, as JSON; it keeps no compiled programs."""
    environment = {name: value for name, value in os.environ.items() if "COMPILATION_CACHE" not in name}
    done = subprocess.run([sys.executable, *arguments], env=environment | more, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _busy() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY_LOOPS)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _cases(quick: bool) -> list[dict[str, Any]]:
    rows = []
    for map_ in list(maps.thinned())[: N_QUICK if quick else N_MAPS]:
        for count in FEW if quick else COMPONENTS:
            result = sf.fit(map_.heights, count)
            again = None if "ONE_CORE" in os.environ else _digest(sf.fit(map_.heights, count))
            rows.append(_row(map_.name, count, result) | {"again": again})
    return rows


def _row(name: str, count: int, result: sf.FitResult) -> dict[str, Any]:
    surface, errors = result.surface, result.standard_errors
    bad = errors.amplitudes > np.abs(surface.amplitudes)
    return {
        "map": name,
        "K": count,
        "digest": _digest(result),
        "rmse": float(result.rmse),
        "steps": int(result.steps),
        "outside": int(np.count_nonzero(result.flags & sf.ComponentFlag.OUTSIDE)),
        "bad": int(bad.sum()),
        "unflagged": int(np.count_nonzero(bad & (result.flags == 0))),
        "d": _distance(result),
        "seconds": result.timings.total,
    }


def _distance(result: sf.FitResult) -> str:
    """How far the minimum is in units of the errors, d^2 = g^T N^-1 g / s^2, over what no limit holds; by NumPy."""
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        problem = prepared.problem
        residuals, jacobian = (np.asarray(a) for a in _linearized(problem, params))
        gradient = residuals @ jacobian
        free = ~np.asarray(problem.at_bound(params, gradient)) & jacobian.any(axis=0)
    scales = np.linalg.norm(jacobian[:, free], axis=0)
    step = np.linalg.lstsq(jacobian[:, free] / scales, residuals, rcond=None)[0]
    decrement = float(step @ (gradient[free] / scales))
    return f"{np.sqrt(max(decrement, 0) * prepared.cost_unit / residual_variance(result)):.2g}"


@plain_jit
def _linearized(problem: Any, params: Any) -> Any:
    residuals, jacobian = problem.linearize(params)
    return residuals, jacobian.as_matrix()


def _digest(result: sf.FitResult) -> str:
    arrays = (result.surface.amplitudes, result.surface.centers, result.surface.covariances)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:12]


if __name__ == "__main__":
    if "ONE_CORE" in os.environ:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(_cases("--quick" in sys.argv)))
