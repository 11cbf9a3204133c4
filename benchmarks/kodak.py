"""Photographs of the Kodak set as sums of Gaussians: surfacefit beside the published recipe of image splatting.

``python -m benchmarks.kodak [IMAGES ...] [--components K ...] [--seconds S] [--recipe-seconds S] [--pictures FOLDER]``

Both fit the same signed sum of K Gaussians with full covariances and no background to the luminance of a photograph of
768 x 512 pixels, in single precision, on the same tiled engine with the same cutoff. Luminance is that of Rec. 601
(0.299 R + 0.587 G + 0.114 B, from 0 to 1), as is usual for such tables; the PSNR is -10 log10 of the mean square of the
error of the clipped image, of the surface without a cutoff. Time is CPU seconds of all threads from the call on,
compiling and starts included, since seconds by the wall say little on a busy machine; they stand beside.

surfacefit gets no guess: it starts from the peaks of the image and takes steps of Levenberg-Marquardt for
``--seconds`` at most. The recipe (`benchmarks/splatting.py`) starts at random. It runs for as long as surfacefit took
(PSNR at equal time), then on until it reaches surfacefit's PSNR (time to equal PSNR), its 50,000 steps are taken, or
``--recipe-seconds`` are spent: nothing is extrapolated, and a row says where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import surfacefit as sf

from . import maps, splatting
from .options import Options
from .table import Table, seconds

# Numbers of Gaussians of the published tables.
COMPONENTS = (800, 1500, 3000, 5000, 7000, 9000)
# CPU seconds after which surfacefit ends a fit where nobody says otherwise; many fits converge sooner.
FIT_SECONDS = 120.0
# CPU seconds after which the recipe is stopped where nobody says otherwise.
RECIPE_SECONDS = 600.0
# Weights of red, green and blue in luminance (Rec. 601).
LUMINANCE = (0.299, 0.587, 0.114)
# Where photographs are looked for: the files kodim01.png ... kodim24.png of the set.
FOLDER = maps.DATA_FOLDER / "kodak"
# Steps at most: those of a fit that only time ends.
MOST_STEPS = 10_000


@dataclass(frozen=True)
class Times:
    """CPU seconds after which surfacefit and the recipe are stopped, and the recipe's steps at most."""

    own: float = FIT_SECONDS
    recipe: float = RECIPE_SECONDS
    steps: int = splatting.PUBLISHED_STEPS


@dataclass(frozen=True)
class Run:
    """How a fit went: rows (CPU seconds, steps, PSNR), PSNR at the end, seconds of CPU and by the wall."""

    trace: list[tuple[float, int, float]]
    psnr: float
    cpu: float
    wall: float
    surface: sf.GaussianSurface

    @property
    def steps(self) -> int:
        return self.trace[-1][1]

    def reached(self, psnr: float) -> float | None:
        """CPU seconds until the PSNR was as high."""
        return next((seconds for seconds, _, best in self.trace if best >= psnr), None)

    def after(self, seconds: float) -> tuple[int, float]:
        """Steps and PSNR after so many CPU seconds."""
        rows = [row for row in self.trace if row[0] <= seconds] or self.trace[:1]
        return rows[-1][1], rows[-1][2]


def photographs(paths: list[str]) -> dict[str, np.ndarray]:
    """Luminance (rows, columns) from 0 to 1 by name: of the files or folders given, or of what is at hand."""
    found: list[Path] = []
    for path in map(Path, paths or [FOLDER, *sorted(maps.DATA_FOLDER.glob("img_kodim*.npz"))]):
        found += sorted(path.glob("kodim*.png")) if path.is_dir() else [path] if path.exists() or paths else []
    missing = [str(path) for path in found if not path.exists()]
    if missing or not found:
        raise SystemExit(
            f"no photographs at {', '.join(missing or [str(FOLDER)])}: put kodim01.png ... kodim24.png of the Kodak"
            f" lossless true color image suite into {FOLDER}, or give files or folders"
        )
    return {path.stem.removeprefix("img_").split("_")[0]: luminance(path) for path in found}


def luminance(path: Path) -> np.ndarray:
    """Luminance (rows, columns) from 0 to 1 of a picture, or of a file of NumPy with bytes ``z``."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as members:
            return members["z"] / 255.0
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), float) @ np.array(LUMINANCE) / 255.0


def psnr(image: np.ndarray, surface: Any) -> float:
    """Of the clipped sum of Gaussians, in dB, for an image from 0 to 1."""
    return -10 * float(np.log10(np.mean((drawn(image, surface) - image) ** 2)))


def drawn(image: np.ndarray, surface: Any) -> np.ndarray:
    """The clipped sum of Gaussians at the image's pixels."""
    return np.clip(surface(maps.pixels(image.shape)), 0, 1).reshape(image.shape)


def fitted(image: np.ndarray, n_components: int, seconds: float) -> Run:
    """surfacefit's own fit, from the peaks of the image."""
    trace: list[tuple[float, int, float]] = []
    wall, cpu = time.perf_counter(), time.process_time()

    def seen(now: sf.Progress) -> bool:
        trace.append((time.process_time() - cpu, now.steps, -20 * float(np.log10(now.rmse))))
        return trace[-1][0] >= seconds

    result = sf.fit(
        image,
        n_components,
        init="peaks",
        amplitudes="signed",
        background=None,
        engine=sf.Tiled(cutoff=splatting.CUTOFF),
        dtype="float32",
        solver=sf.LevenbergMarquardt(max_steps=MOST_STEPS),
        callback=seen,
        progress=False,
    )
    ended, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Run(trace, psnr(image, result.surface), ended, wall, result.surface)


def splatted(image: np.ndarray, n_components: int, own: Run, times: Times) -> Run:
    """The recipe's fit: for as long as ``own`` took, and on until it is as good or its time is spent."""
    wall, cpu = time.perf_counter(), time.process_time()
    run = splatting.SplattingRun(image, n_components, steps=times.steps)
    run.spent = time.process_time() - cpu

    def enough(spent: float, taken: int, reached: float) -> bool:
        return spent >= own.cpu and (reached >= own.psnr or spent >= times.recipe)

    run.advance(times.steps, enough)
    surface = run.surface()
    return Run(run.trace, psnr(image, surface), run.spent, time.perf_counter() - wall, surface)


def compared(name: str, image: np.ndarray, n_components: int, times: Times, pictures: Path | None) -> list[str]:
    """The cells of one row."""
    own = fitted(image, n_components, times.own)
    recipe = splatted(image, n_components, own, times)
    if pictures is not None:
        draw(image, {"surfacefit": own, "recipe": recipe}, pictures / f"{name}_{n_components}.png")
    steps, beside = recipe.after(own.cpu)
    return [
        name,
        str(n_components),
        f"{own.psnr:.2f}",
        seconds(own.cpu),
        seconds(own.wall),
        str(own.steps),
        f"{beside:.2f} ({steps})",
        f"{recipe.psnr:.2f}",
        seconds(recipe.cpu),
        seconds(recipe.wall),
        _verdict(own, recipe),
    ]


def _verdict(own: Run, recipe: Run) -> str:
    """Time to equal PSNR, or where the recipe was stopped; and when surfacefit was as good as the recipe at its end."""
    soon = own.reached(recipe.trace[-1][2])
    beaten = "never" if soon is None else f"after {seconds(soon)} s, {recipe.cpu / soon:.0f} x sooner"
    equal = recipe.reached(own.psnr)
    if equal is not None:
        return f"recipe equal after {seconds(equal)} s: {equal / own.cpu:.1f} x"
    return f"not reached after {recipe.steps} steps; surfacefit at the recipe's end {beaten}"


def draw(image: np.ndarray, runs: dict[str, Run], path: Path) -> None:
    """The image, and each fit with its difference, saved as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.6 * len(runs)), layout="constrained")
    axes = figure.subplots(len(runs), 3)
    for row, (label, run) in zip(axes, runs.items(), strict=True):
        fit = drawn(image, run.surface)
        titles = ("luminance", f"{label}, {run.surface.n_components} Gaussians, {run.psnr:.2f} dB", "difference")
        shown = ((image, "gray", 0, 1), (fit, "gray", 0, 1), (fit - image, "RdBu_r", -0.2, 0.2))
        for ax, title, (values, colours, low, high) in zip(row, titles, shown, strict=True):
            drawing = ax.imshow(values, cmap=colours, vmin=low, vmax=high)
            ax.set_title(title, fontsize=9)
            ax.set_axis_off()
        figure.colorbar(drawing, ax=row[-1], shrink=0.85)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def table() -> Table:
    """The empty table, its columns printed."""
    return Table(
        {
            "image": 7,
            "K": 5,
            "surfacefit dB": 13,
            "CPU s": 6,
            "wall s": 6,
            "steps": 5,
            "recipe dB then (steps)": 22,
            "recipe dB at its end": 20,
            "its CPU s": 9,
            "its wall s": 10,
            "equal PSNR": 60,
        }
    )


def run(options: Options) -> str:
    """The photographs at hand at all numbers of Gaussians; ``--quick``: one at the smallest, the recipe for as long."""
    rows, found = table(), photographs([])
    for name, image in list(found.items())[: 1 if options.quick else None]:
        for n_components in COMPONENTS[:1] if options.quick else COMPONENTS:
            rows.row(compared(name, image, n_components, Times(recipe=0.0) if options.quick else Times(), None))
    return "\n".join(rows.lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kodak", description="surfacefit beside splatting")
    parser.add_argument("images", nargs="*", help="PNGs or folders of them; default: what is at hand")
    parser.add_argument("--components", nargs="*", type=int, default=list(COMPONENTS), help="numbers of Gaussians")
    parser.add_argument(
        "--seconds", type=float, default=FIT_SECONDS, help="CPU seconds after which surfacefit is stopped"
    )
    parser.add_argument(
        "--recipe-seconds", type=float, default=RECIPE_SECONDS, help="CPU seconds after which the recipe is stopped"
    )
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of image, fits and differences")
    options = parser.parse_args()
    times = Times(options.seconds, options.recipe_seconds)
    print(f"surfacefit ends by {times.own:.0f} CPU seconds, the recipe by {times.recipe:.0f} where it has had as many")
    rows = table()
    for name, image in photographs(options.images).items():
        for n_components in options.components:
            rows.row(compared(name, image, n_components, times, options.pictures))


if __name__ == "__main__":
    main()
