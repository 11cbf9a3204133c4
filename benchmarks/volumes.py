"""Fits of maps with three axes beside cosines, over several seeds: relative RMS, mean and its error, CPU seconds.

``python -m benchmarks.volumes`` fits a cryo-EM volume, where it is at hand, and two volumes that are made here: a
free-energy surface of 901 hills on 24^3 points, and the density of a chain of 300 atoms. A component of a volume has
ten numbers, so 10 K + 1 cosine coefficients stand beside K components: the largest of all, whose places are not
counted, and those of the lowest frequencies, which need no places. ``--count``, ``--seeds``, ``--maps``, ``--steps``
and ``--init`` choose what is fitted; other volumes of the data folder are read by their names.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import surfacefit as sf

from .maps import DATA_FOLDER
from .table import Table

# Numbers of a component with three axes: an amplitude, a centre, a covariance.
NUMBERS = 10
# Points a side of the volumes that are made, hills of the free-energy surface, atoms of the chain.
SIDE, HILLS, ATOMS = 24, 901, 300
# Widths of a hill and of an atom, of the side of a volume.
HILL_WIDTH, ATOM_WIDTH = 0.08, 0.035
# Minima between which the walk of the hills goes, of the side of a volume.
BASINS = np.array([[0.3, 0.3, 0.3], [0.7, 0.6, 0.4], [0.35, 0.7, 0.65]])
# Columns of the table with their widths in characters.
COLUMNS = {"map": 16, "K": 4, "amplitudes": 10, "relative RMS": 17, "largest cosines": 15, "lowest": 7, "CPU s": 6}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volumes", description=__doc__)
    parser.add_argument("--maps", nargs="*", default=["vol_emd3197_20", "hills", "chain"], help="names of volumes")
    parser.add_argument("--count", type=int, nargs="*", default=[25], help="components")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a fit")
    parser.add_argument("--signs", nargs="*", default=["positive", "signed"], help="amplitudes")
    parser.add_argument("--init", default="auto", help="the start, as of fit")
    parser.add_argument("--steps", type=int, default=200, help="limit on the steps of each solver after the start")
    options = parser.parse_args()
    table = Table(COLUMNS)
    for name in options.maps:
        heights = volume(name)
        if heights is not None:
            for count in options.count:
                for sign in options.signs:
                    table.row(_row(name, heights, count, sign, options))


def _row(name: str, heights: np.ndarray, count: int, sign: str, options: argparse.Namespace) -> list[str]:
    solver, used, left = sf.LevenbergMarquardt(max_steps=options.steps), time.process_time(), []
    for seed in range(options.seeds):
        fit = sf.fit(heights, count, amplitudes=sign, seed=seed, init=options.init, solver=solver, progress=False)
        left.append(fit.rmse / heights.std())
    spent = (time.process_time() - used) / options.seeds
    error = f" +- {np.std(left, ddof=1) / np.sqrt(len(left)):.4f}" if len(left) > 1 else ""
    theirs = (f"{left_by(heights, NUMBERS * count, best):.4f}" for best in (True, False))
    return [name, str(count), sign, f"{np.mean(left):.4f}{error}", *theirs, f"{spent:.0f}"]


def volume(name: str) -> np.ndarray | None:
    """Heights of a volume by its name; None where its file is not at hand."""
    if name in MADE:
        return MADE[name]()
    path = DATA_FOLDER / f"{name}.npz"
    return np.load(path)["z"].astype(float) if path.exists() else None


def left_by(heights: np.ndarray, count: int, best: bool) -> float:
    """Relative RMS that cosines leave: a constant and the ``count`` largest others, or those of lowest frequency."""
    from scipy.fft import dctn

    squares = dctn(heights - heights.mean(), norm="ortho").ravel() ** 2
    frequencies = np.sum(
        [(index / n) ** 2 for index, n in zip(np.indices(heights.shape), heights.shape, strict=True)], axis=0
    )
    order = np.argsort(-squares if best else frequencies.ravel(), kind="stable")
    return float(np.sqrt(squares[order[count + (not best) :]].sum() / squares.sum()))


def hills() -> np.ndarray:
    """A sum of 901 equal round hills along a walk between three basins."""
    rng, place, centers = np.random.default_rng(0), np.zeros(3), np.empty((HILLS, 3))
    for n in range(HILLS):
        for _ in range(20):
            away = BASINS - place
            near = np.exp(-16 * np.sum(away**2, axis=1))
            pull = near @ away / (near.sum() + 1e-9)
            place = np.clip(place + 0.02 * pull + 0.035 * rng.normal(size=3), 0, 1)
        centers[n] = place
    return _round_sum(centers, HILL_WIDTH)


def chain() -> np.ndarray:
    """The density of a chain of 300 atoms, a step of one length between neighbours, that turns at random."""
    rng, places, ahead = np.random.default_rng(0), np.zeros((ATOMS, 3)), np.array([1.0, 0.0, 0.0])
    for n in range(1, ATOMS):
        ahead = ahead + 0.6 * rng.normal(size=3) - 0.02 * places[n - 1]
        ahead /= np.linalg.norm(ahead)
        places[n] = places[n - 1] + ahead
    places -= places.min(axis=0)
    return _round_sum(0.12 + 0.76 * places / places.max(), ATOM_WIDTH)


def _round_sum(centers: np.ndarray, width: float) -> np.ndarray:
    """Equal round components at centres (K, 3) in a cube of side 1, as heights on SIDE^3 points."""
    along = np.linspace(0, 1, SIDE)
    parts = np.exp(-0.5 * ((along - centers[..., None]) / width) ** 2)
    return np.asarray(np.einsum("ni,nj,nk->ijk", parts[:, 0], parts[:, 1], parts[:, 2]))


# Volumes that are made here, by their names.
MADE = {"hills": hills, "chain": chain}


if __name__ == "__main__":
    main()
