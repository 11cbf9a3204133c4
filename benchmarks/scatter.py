"""How far minima scatter with the seed: the volcano without a guess, K = 32, 24 seeds, in one warm process.

    python -m benchmarks.scatter                  # volcano, K = 32, 24 seeds: the mean RMSE with its standard error
    python -m benchmarks.scatter --apart          # each seed on heights of its own, changed by a millionth
    python -m benchmarks.scatter 16 --seeds 12 --first 100 --map jacksboro

Seeds of one map share growth and the first rounds of trials, which draw nothing: where these come far, most seeds end
in one minimum, and their scatter is less than that of machines, which round differently. With ``--apart`` each seed
has its own rounding, so that means of different programs can be compared. Work is CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import surfacefit as sf

from . import maps

# Standard deviation of what `--apart` adds to heights, in their range: far below any misfit, far above rounding.
CHANGE = 1e-6


class Ended(NamedTuple):
    """Where a seed ended, in the units of the map, and the CPU seconds of its fit."""

    seed: int
    rmse: float
    seconds: float


def ends(heights: np.ndarray, n_components: int, seeds: range, apart: bool) -> Iterator[Ended]:
    """The fits of all seeds, after one that compiles."""
    sf.fit(heights, n_components, background=None, progress=False)
    for seed in seeds:
        noise = np.random.default_rng(seed).normal(size=heights.shape) * CHANGE * np.ptp(heights)
        began = time.process_time()
        given = heights + noise if apart else heights
        result = sf.fit(given, n_components, background=None, seed=seed, progress=False)
        yield Ended(seed, result.rmse, time.process_time() - began)


def summary(ended: list[Ended]) -> str:
    """The mean with its standard error, the median, the range, and the mean CPU seconds."""
    rmse = np.array([one.rmse for one in ended])
    error = rmse.std(ddof=1) / np.sqrt(rmse.size) if rmse.size > 1 else np.nan
    seconds = np.mean([one.seconds for one in ended])
    return (
        f"mean {rmse.mean():.5g} +- {error:.2g}, median {np.median(rmse):.5g}, {rmse.min():.5g} to {rmse.max():.5g},"
        f" {rmse.size} seeds, {seconds:.1f} CPU s each"
    )


def heights_of(name: str) -> np.ndarray:
    """The heights of the first thinned map whose name contains this, from the lowest point up."""
    if name == "volcano":
        return maps.volcano().heights
    found = [one.heights for one in maps.thinned() if name in one.name]
    if not found:
        raise SystemExit(f"no map named {name!r}; there are {', '.join(one.name for one in maps.thinned())}")
    return found[0]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scatter", description=__doc__, formatter_class=raw)
    parser.add_argument("n_components", nargs="?", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="the first seed: fresh ones decide what others chose")
    parser.add_argument("--map", default="volcano")
    parser.add_argument("--apart", action="store_true")
    arguments = parser.parse_args()
    ended = []
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for one in ends(heights_of(arguments.map), arguments.n_components, seeds, arguments.apart):
        print(f"seed {one.seed}: {one.rmse:.6g}, {one.seconds:.1f} CPU s", flush=True)
        ended.append(one)
    print(summary(ended))


if __name__ == "__main__":
    main()
