"""An RGB photograph as one set of Gaussians with colours, beside a fit of each channel by itself, and splatting.

``python -m benchmarks.channels [IMAGE] [--components K] [--init START] [--steps S ...] [--splatting]``

One fit of all three channels (K Gaussians of 3 + 5 numbers, and 3 backgrounds) stands beside three fits of one channel
each with as many numbers in all (K' Gaussians of 1 + 5, and a background each). Both begin at the same kind of start,
in single precision, signed, and take so many steps of Levenberg-Marquardt at most, for each of ``--steps``; 500 are the
default of the solver, whose own rules then end most fits. PSNR is -10 log10 of the mean square of the error over all
pixels and channels, of the image clipped to 0 ... 1. Time is CPU seconds of all threads. Each fit is run once before
the others, for its programs to be compiled: that row is marked "first", and its time is that of both.

With ``--splatting`` the published recipe follows (`benchmarks/splatting_channels.py`): as many Gaussians with colours
from a random start, for as many CPU seconds as the longest fit of all three channels took, and for five times as many.

The photograph is a file, or "china" (default) or "flower" of scikit-learn, of 427 x 640 pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import surfacefit as sf

from . import maps
from .splatting_channels import ChannelSplattingRun

# Gaussians with colours where nobody says otherwise.
COMPONENTS = 500
# Steps of each fit at most, one fit for each number.
CHANNEL_STEPS = (10, 20, 40, 60)
# Steps of splatting before its time is taken.
WARMING_STEPS = 200
# CPU seconds of splatting, in those of the longest fit.
SPLATTING_TIMES = (1, 5)


def photograph(name: str) -> np.ndarray:
    """Red, green and blue (rows, columns, 3) from 0 to 1."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(f"{name}.jpg"), np.float32) / 255
    from PIL import Image

    with Image.open(name) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / 255


def psnr(image: np.ndarray, surfaces: list[sf.GaussianSurface]) -> float:
    """Of the clipped surfaces of the channels, in dB."""
    points = maps.pixels(image.shape[:2])
    drawn = np.stack([np.clip(surface(points), 0, 1).reshape(image.shape[:2]) for surface in surfaces], axis=-1)
    return -10 * float(np.log10(np.mean((drawn - image) ** 2)))


def separate_components(n_components: int, n_channels: int = 3) -> int:
    """Gaussians a channel with as many numbers in all as ``n_components`` that share places and shapes."""
    numbers = n_components * (n_channels + 5) + n_channels
    return round((numbers / n_channels - 1) / 6)


def together(image: np.ndarray, n_components: int, options: dict[str, Any]) -> tuple[list[Any], int, int]:
    """Surfaces of the channels, free numbers, and steps of one fit of all."""
    result = sf.fit_channels(image, n_components, **options)
    return [result.surface(c) for c in range(3)], result.n_parameters, result.steps


def apart(image: np.ndarray, n_components: int, options: dict[str, Any]) -> tuple[list[Any], int, int]:
    """The same of a fit of each channel."""
    count = separate_components(n_components)
    results = [sf.fit(image[..., c], count, reset=False, progress=False, **options) for c in range(3)]
    return [r.surface for r in results], sum(r.n_parameters for r in results), sum(r.steps for r in results)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and seconds of CPU."""
    before = time.process_time()
    return function(), time.process_time() - before


def splatted(image: np.ndarray, n_components: int, cpu: float) -> None:
    """Print the recipe's rows, after so many CPU seconds and more, with the programs of its first steps compiled."""
    ChannelSplattingRun(image, n_components).advance(lambda spent, steps, best: steps >= WARMING_STEPS)
    run = ChannelSplattingRun(image, n_components)
    for times in SPLATTING_TIMES:
        run.advance(lambda spent, steps, best, limit=times * cpu: spent >= limit)
        row("splatting", 8 * n_components, run.trace[-1][1], psnr(image, run.surfaces()), run.spent)


def row(name: str, numbers: int, steps: int, psnr: float, cpu: float) -> None:
    """Print a line."""
    print(f"{name:14s}  {numbers:7d}  {steps:5d}  {psnr:9.2f}  {cpu:6.1f}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print a line a fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channels", description="channels together and apart")
    parser.add_argument("image", nargs="?", default="china")
    parser.add_argument("--components", type=int, default=COMPONENTS)
    parser.add_argument("--init", default="peaks")
    parser.add_argument("--steps", type=int, nargs="+", default=CHANNEL_STEPS)
    parser.add_argument("--splatting", action="store_true")
    options = parser.parse_args(arguments)
    image, longest = photograph(options.image), 0.0
    print("fit             numbers  steps  PSNR (dB)   CPU s", flush=True)
    for first, limit in [(True, options.steps[0]), *((False, steps) for steps in options.steps)]:
        solver = sf.LevenbergMarquardt(max_steps=limit)
        keywords = {"init": options.init, "search": 0, "amplitudes": "signed", "dtype": "float32", "solver": solver}
        for name, fitted in (("together", together), ("apart", apart)):
            found, cpu = timed(lambda fitted=fitted, given=keywords: fitted(image, options.components, given))
            surfaces, numbers, steps = found
            row(f"{name}{', first' * first}", numbers, steps, psnr(image, surfaces), cpu)
            if name == "together":
                longest = max(longest, cpu) if not first else 0.0
    if options.splatting:
        splatted(image, options.components, longest)


if __name__ == "__main__":
    main()
