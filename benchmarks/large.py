"""The suite `large`: 256 to 100,000 components, each case in its own process, so that its peak memory is its own.

``python -m benchmarks.large CASE`` runs one case and prints its figures as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import surfacefit as sf
from surfacefit._problem.capacity import component_capacity

from . import maps, surfaces
from .options import Options

# The repository, from which modules are run.
ROOT = Path(__file__).resolve().parents[1]
# Adam's, in units of the scaled parameters; the best of the three is reported.
LEARNING_RATES = (0.01, 0.03, 0.1)
# Seconds of search in the row with search; a compromise: less than the plain fit takes.
SEARCH_SECONDS = 20.0


class Watch:
    """Collects (seconds, steps, RMSE) of a fit as it runs."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int, float]] = []

    def __call__(self, now: sf.Progress) -> bool:
        self.seen.append((now.elapsed, now.steps, now.rmse))
        return False

    def reached(self, rmse: float) -> float | None:
        """Seconds until the RMSE was no larger."""
        return next((seconds for seconds, _, best in self.seen if best <= rmse), None)


def jacksboro() -> np.ndarray:
    """The elevation map of the package in metres, its lowest point at zero."""
    elevation = sf.example_map("jacksboro").astype(np.float64)
    return elevation - elevation.min()


def fit(heights: np.ndarray, n_components: int, **options: Any) -> tuple[sf.FitResult, Watch]:
    """A fit from an even start without background, and how it went."""
    watch = Watch()
    options = {"background": None, "init": "grid", "progress": False, "callback": watch, **options}
    return sf.fit(heights, n_components, **options), watch


def dem(n_components: int, goal: float, steps: int) -> dict[str, Any]:
    """Seconds from an even start to an RMSE, in the first fit (with compilation) and in the second."""
    heights, solver = jacksboro(), sf.LevenbergMarquardt(max_steps=steps)
    _, cold = fit(heights, n_components, solver=solver)
    result, warm = fit(heights, n_components, solver=solver)
    return {
        "goal m": goal,
        "cold s": cold.reached(goal),
        "warm s": warm.reached(goal),
        "final m": result.rmse,
        "steps": result.steps,
        "final s": result.timings.total,
    }


def adam(n_components: int) -> dict[str, Any]:
    """Adam's RMSE after 400 steps at its best rate, and how soon Levenberg-Marquardt reaches it.

    Same engine and start, both compiled before.
    """
    heights = jacksboro()
    figures: dict[str, Any] = {}
    best = (np.inf, np.inf, 0.0)
    for rate in LEARNING_RATES:
        solver = sf.Adam(max_steps=400, learning_rate=rate)
        fit(heights, n_components, solver=sf.Adam(max_steps=400, learning_rate=rate, gtol=1e9))
        result, _ = fit(heights, n_components, solver=solver, engine="tiled")
        figures[f"adam {rate}"] = {"rmse m": result.rmse, "s": result.timings.total - result.timings.compile}
        best = min(best, (result.rmse, result.timings.total - result.timings.compile, rate))
    solver = sf.LevenbergMarquardt(max_steps=60)
    fit(heights, n_components, solver=solver, engine="tiled")
    _, watch = fit(heights, n_components, solver=solver, engine="tiled")
    seconds = watch.reached(best[0])
    return {
        **figures,
        "best adam m": best[0],
        "adam s": best[1],
        "lm s": seconds,
        "ratio": best[1] / seconds if seconds else None,
    }


def scipy_trf(tr_solver: str, evaluations: int) -> dict[str, Any]:
    """SciPy's final RMSE at K = 64, and how soon surfacefit reaches it from the same start, compiled before."""
    from scipy.optimize import least_squares

    from .peers import _gaussians
    from .peers._contract import PeerProblem, scaled

    heights = jacksboro()
    start = maps.even_start(heights, 64)
    inner = scaled(PeerProblem(heights, start))
    begun = time.perf_counter()
    solution = least_squares(
        _gaussians.residuals,
        _gaussians.pack(inner.start, inner.floor),
        jac=_gaussians.jacobian,
        method="trf",
        tr_solver=tr_solver,
        args=(inner,),
        max_nfev=evaluations,
    )
    seconds = time.perf_counter() - begun
    rmse = float(np.sqrt(2 * solution.cost / heights.size)) * inner.unit
    solver = sf.LevenbergMarquardt(slack=0.0, max_steps=2000)  # scipy follows the valley, too
    fit(heights, 64, init=start, solver=solver)
    result, watch = fit(heights, 64, init=start, solver=solver)
    own = watch.reached(rmse)
    fit(heights, 64, init=start, search=1.0)
    _, searched = fit(heights, 64, init=start, search=SEARCH_SECONDS)
    found = searched.reached(rmse)
    return {
        "scipy s": seconds,
        "scipy m": rmse,
        "evaluations": solution.nfev,
        "ended": solution.message,
        "own s": own,
        "own final m": result.rmse,
        "own final s": result.timings.total,
        "ratio": None if own is None else seconds / own,
        "own s with search": found,
        "ratio with search": None if found is None else seconds / found,
    }


def synthetic(size: int, n_components: int, steps: int, goal: float = 0.0, **options: Any) -> dict[str, Any]:
    """A map of known components from a start off by 0.15 widths: residual in units of the signal's standard
    deviation.
    """
    truth = surfaces.random_components(size, n_components)
    heights = surfaces.rendered(truth, size)
    before, spread = peak_gigabytes(), float(heights.std())
    start = surfaces.perturbed(truth, 0.15)
    options = {"engine": "tiled", "solver": sf.LevenbergMarquardt(max_steps=steps), **options}
    result, watch = fit(heights, n_components, init=start, **options)
    timings = result.timings
    return {
        "reached s": watch.reached(goal * spread),
        "residual": result.rmse / spread,
        "steps": result.steps,
        "total s": timings.total,
        "compile s": timings.compile,
        "s a step": timings.run / result.steps,
        "before GB": before,
    }


def scattered() -> dict[str, Any]:
    """The RMSE on 200,000 random points of the map, interpolated, with 1 m noise, and on the grid itself."""
    from scipy.interpolate import RegularGridInterpolator

    heights, rng = jacksboro(), np.random.default_rng(0)
    points = rng.uniform(0, np.array(heights.shape) - 1.0, (200_000, 2))
    values = RegularGridInterpolator([np.arange(n) for n in heights.shape], heights)(points) + rng.normal(
        size=len(points)
    )
    start = maps.even_start(heights, 256)
    solver = sf.LevenbergMarquardt(max_steps=40)
    on_grid, _ = fit(heights, 256, init=start, solver=solver)
    result = sf.fit_points(points, values, 256, init=start, background=None, solver=solver, progress=False)
    return {
        "grid m": on_grid.rmse,
        "scattered m": result.rmse,
        "ratio": result.rmse / on_grid.rmse,
        "s": result.timings.total,
    }


def growing() -> dict[str, Any]:
    """Compile times of ten growing sizes, one after the other: most should find their program compiled."""
    heights = jacksboro()[::2, ::2]
    sizes = [100, 104, 108, 112, 116, 120, 124, 128, 132, 140]
    solver = sf.LevenbergMarquardt(max_steps=5)
    compiled = [fit(heights, n, solver=solver, engine="tiled")[0].timings.compile for n in sizes]
    capacities = [component_capacity(n) for n in sizes]
    return {
        "sizes": sizes,
        "capacities": capacities,
        "compile s": [round(s, 2) for s in compiled],
        "compiled": sum(s > 0.1 * compiled[0] for s in compiled),
        "different capacities": len(set(capacities)),
    }


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "jacksboro K=256": lambda: dem(256, 28.0, 60),
    "jacksboro K=1024": lambda: dem(1024, 13.0, 60),
    "adam K=1024": lambda: adam(1024),
    "scipy exact K=64": lambda: scipy_trf("exact", 200),
    "scipy lsmr K=64": lambda: scipy_trf("lsmr", 60),
    "synthetic K=10000": lambda: synthetic(1024, 10_000, 12, 0.003),
    "scattered K=256": scattered,
    "growing sizes": growing,
    "synthetic K=100000": lambda: synthetic(4096, 100_000, 10, 0.003),
    **{f"N {size}, K 1000": (lambda size=size: synthetic(size, 1000, 5)) for size in (256, 512, 1024, 2048)},
    **{f"N 1024, K {n}": (lambda n=n: synthetic(1024, n, 5)) for n in (1000, 3000, 10_000, 30_000)},
    **{
        f"N {size}, K {n}": (lambda size=size, n=n: synthetic(size, n, 5))
        for size, n in ((324, 1000), (561, 3000), (1024, 10_000), (1774, 30_000))
    },
}
# The cases of `--quick`: those without SciPy and without a synthetic map.
QUICK = ("jacksboro K=256", "growing sizes")


def run(options: Options) -> str:
    """Run the cases one by one, each in a fresh process; print and give their figures, and the slopes of the
    scaling.
    """
    figures: dict[str, dict[str, Any]] = {}
    lines = []
    for name in QUICK if options.quick else CASES:
        figures[name] = in_fresh_process(name)
        lines.append(f"- {name}: " + ", ".join(f"{key} {short(value)}" for key, value in figures[name].items()))
        print(lines[-1], flush=True)
    if not options.quick:
        lines += _slopes(figures)
    return "\n".join(lines)


def in_fresh_process(name: str) -> dict[str, Any]:
    """The figures of a case, or its last line of error."""
    command = [sys.executable, "-m", "benchmarks.large", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def _slopes(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Lines with the fitted exponents of seconds a step; saves the picture."""
    series = {
        "points, K = 1000": [(size**2, figures[f"N {size}, K 1000"]) for size in (256, 512, 1024, 2048)],
        "components, N = 1024^2": [(n, figures[f"N 1024, K {n}"]) for n in (1000, 3000, 10_000, 30_000)],
        "both, 105 points a component": [
            (n, figures[f"N {size}, K {n}"]) for size, n in ((324, 1000), (561, 3000), (1024, 10_000), (1774, 30_000))
        ],
    }
    lines = []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, rows in series.items():
        x, seconds = np.array([x for x, _ in rows]), np.array([row["s a step"] for _, row in rows])
        slope = float(np.polyfit(np.log(x), np.log(seconds), 1)[0])
        lines.append(f"- time a step against {label}: exponent {slope:.2f}")
        print(lines[-1], flush=True)
        axes.loglog(x / x[0], seconds, "o-", label=f"{label}: exponent {slope:.2f}")
    axes.set(xlabel="size, in units of the smallest", ylabel="seconds a step")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), frameon=False)
    figure.savefig(ROOT / "docs" / "images" / "scaling.png", dpi=120)
    return lines


def peak_gigabytes() -> float:
    """Largest memory of this process so far, GB."""
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(json.dumps({**CASES[sys.argv[1]](), "peak GB": peak_gigabytes()}))
