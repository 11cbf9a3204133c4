"""Compares surfacefit without a start with peers from eleven starts each: ``python -m benchmarks.multistart 16``.

A peer's row is its best start: that RMSE, and the seconds of that start alone. 32 components take hours, so this is no
suite.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np

import surfacefit as sf

from . import maps, peers
from .peers import PEERS
from .peers._contract import PeerProblem

# Random starts a peer is given besides the even lattice.
N_RANDOM_STARTS = 10
# Of surfacefit's searches: the median of three.
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("components", type=int)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--search", type=float, help="seconds of surfacefit's search; its own choice without")
    parser.add_argument("--random", type=int, default=N_RANDOM_STARTS, help="random starts besides the even grid")
    options = parser.parse_args()
    heights = maps.volcano().heights
    for line in own(heights, options.components, options.search):
        print(line, flush=True)
    for name in options.peers:
        for line in peer(name, heights, options.components, options.random):
            print(line, flush=True)


def own(heights: np.ndarray, count: int, search: float | None) -> Iterator[str]:
    """A line for surfacefit without a start, compiled before, three seeds."""
    fits = [
        sf.fit(heights, count, background=None, progress=False, seed=seed, search=search) for seed in (SEEDS[0], *SEEDS)
    ][1:]
    each = ", ".join(f"{fit.rmse:.9f} m in {fit.timings.total:.2f} s" for fit in fits)
    yield f"surfacefit K = {count}: {each}; median {statistics.median(fit.rmse for fit in fits):.9f} m"


def peer(name: str, heights: np.ndarray, count: int, n_random: int) -> Iterator[str]:
    """A line for each start of a peer as it ends, then one for the best."""
    module = peers.load(name)
    if module is None:
        yield f"{name}: not installed (pip install surfacefit[bench])"
        return
    ends = []
    for label, start in starts(heights, count, n_random):
        begun = time.perf_counter()
        try:
            fit = module.fit(PeerProblem(heights, start))
        except Exception as error:  # a peer may raise whatever it likes: the next start is another chance
            seconds = time.perf_counter() - begun
            yield f"  {name} K = {count} {label}: {type(error).__name__} after {seconds:.1f} s: {str(error)[:80]}"
            continue
        rmse = float(np.sqrt(np.mean((fit.heights - heights.ravel()) ** 2)))
        ends.append((rmse, fit.seconds, label))
        yield f"  {name} K = {count} {label}: {rmse:.9f} m in {fit.seconds:.1f} s {fit.remark}"
    if ends:
        (rmse, seconds, label), total = min(ends), sum(end[1] for end in ends)
        yield (
            f"{name} K = {count}: best of {len(ends)} starts {rmse:.9f} m ({label}) in {seconds:.1f} s,"
            f" {total:.0f} s in all"
        )


def starts(heights: np.ndarray, count: int, n_random: int) -> Iterator[tuple[str, sf.GaussianSurface]]:
    """Names and starts: an even lattice, then random ones, as `sf.fit` makes them."""
    yield "even", maps.even_start(heights, count)
    for seed in range(n_random):
        no_steps = sf.LevenbergMarquardt(max_steps=0)
        yield (
            f"random {seed}",
            sf.fit(heights, count, background=None, init="random", seed=seed, solver=no_steps).surface,
        )


if __name__ == "__main__":
    main()
