"""What a late step costs, when most components have converged: a map of thousands of sources that hardly touch.

``python -m benchmarks.late_steps 1024 10000`` fits as many sources from starts half a width off, once as `fit` does and
once by joint steps alone, and prints CPU seconds. A late step is one of the components that still move.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import surfacefit as sf
from surfacefit._fit import run_starts
from surfacefit._runs.moving_run import MovingRun
from surfacefit._solvers.loop import SolverRun

from . import surfaces

# Standard deviation of the noise, of heights whose logarithm has a standard deviation of one about zero.
NOISE = 0.02
# Least and largest width of a source, in mean distances of sources.
WIDTHS = (0.07, 0.16)
# Widths by which starts are off: some then step aside before they come home.
START_OFF = 0.5
# Components that are never reached: all steps are joint ones.
NEVER = 10**9


def sources(size: int, n_components: int, seed: int = 0) -> tuple[sf.GaussianSurface, np.ndarray]:
    """Sources near the knots of a lattice, and noisy heights (size, size)."""
    rng, step = np.random.default_rng(seed), size / np.ceil(np.sqrt(n_components))
    knots = np.stack(np.meshgrid(*2 * [np.arange(step / 2, size, step)], indexing="ij"), -1).reshape(-1, 2)
    centers = knots[:n_components] + rng.uniform(-0.3, 0.3, (n_components, 2)) * step
    widths, angles = rng.uniform(*WIDTHS, (n_components, 2)) * step, rng.uniform(0, np.pi, n_components)
    axes = np.stack(
        [np.stack([np.cos(angles), np.sin(angles)], -1), np.stack([-np.sin(angles), np.cos(angles)], -1)], 1
    )
    covariances = np.einsum("kia,ki,kib->kab", axes, widths**2, axes)
    truth = sf.GaussianSurface(rng.lognormal(0, 1, n_components), centers, covariances)
    return truth, surfaces.rendered(truth, size) + NOISE * rng.normal(size=(size, size))


@dataclass
class Parts:
    """Steps of the components that moved: rows (components, steps, CPU seconds), one a turn; and joint ones."""

    turns: list[tuple[int, int, float]] = field(default_factory=list)
    joint: list[float] = field(default_factory=list)


@contextmanager
def watched() -> Any:
    """While this holds, all runs write down what their steps cost."""
    seen, move, advance = Parts(), MovingRun.move, SolverRun.advance
    under_way: list[int] = []

    def moved(self: MovingRun, members: np.ndarray, won: float) -> Any:
        under_way.append(0)
        begun = time.process_time()
        try:
            return move(self, members, won)
        finally:
            seen.turns.append((len(members), under_way.pop(), time.process_time() - begun))

    def advanced(self: SolverRun, total: int) -> Any:
        before, begun = self.steps, time.process_time()
        try:
            return advance(self, total)
        finally:
            if under_way:
                under_way[-1] += self.steps - before
            else:
                seen.joint.append(time.process_time() - begun)

    with _patched(MovingRun, "move", moved), _patched(SolverRun, "advance", advanced):
        yield seen


@contextmanager
def _patched(where: Any, name: str, value: Callable[..., Any] | int) -> Any:
    before = getattr(where, name)
    setattr(where, name, value)
    try:
        yield
    finally:
        setattr(where, name, before)


def late_steps(size: int, n_components: int) -> dict[str, Any]:
    """CPU seconds of joint and of late steps, and of whole fits with and without these, compiling included."""
    truth, heights = sources(size, n_components)
    start = surfaces.perturbed(truth, START_OFF)
    found: dict[str, Any] = {}
    for name, least in (("", run_starts.MOVING_FROM), (" joint", NEVER)):
        with _patched(run_starts, "MOVING_FROM", least), watched() as seen:
            begun = time.process_time()
            result = sf.fit(heights, n_components, init=start, background=None, engine="tiled", progress=False)
            spent = time.process_time() - begun
        found |= {f"cpu s{name}": spent, f"steps{name}": result.steps, f"rmse{name}": result.rmse}
        found[f"status{name}"] = result.status.name
        if seen.turns:
            steps = sum(row[1] for row in seen.turns)
            late = [spent / most for members, most, spent in seen.turns if most and members <= 0.05 * n_components]
            found |= {"late steps": steps, "cpu s a late step": float(np.median(late)) if late else None}
            # How many moved, their steps, and CPU seconds.
            found["turns"] = [(members, most, round(spent, 2)) for members, most, spent in seen.turns]
            found["cpu s an early step"] = float(np.median(seen.joint[1:8]))
    return found


if __name__ == "__main__":
    print(json.dumps(late_steps(int(sys.argv[1]), int(sys.argv[2])), indent=1))
