"""The options of `fit` on the command line: a row each.

Choices and defaults are the library's own, which tests hold them to. They are written out, and solvers are imported
where one is made, so that the command line can show its help without JAX.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np


class FitOption(NamedTuple):
    """A keyword of `fit` as ``--keyword``: one of ``choices``, or a value that ``type`` reads, shown as ``metavar``.

    ``default`` is that of `fit`, or says in words what happens without the option.
    """

    name: str
    help: str
    default: str
    choices: Iterable[str] | None = None
    type: Callable[[str], Any] = str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def add_to(self, group: Any) -> None:
        """Add the option; without it the keyword is left out, so that the default is that of `fit`."""
        choices = None if self.choices is None else list(self.choices)
        group.add_argument(
            self.flag,
            choices=choices,
            type=self.type,
            metavar=self.metavar,
            default=argparse.SUPPRESS,
            help=f"{self.help} (default {self.default})",
        )


def numbers(text: str) -> Any:
    """One number, a few for the axes, or the d x d entries of a covariance, row by row."""
    values = [float(number) for number in text.split(",")]
    side = math.isqrt(len(values))
    if len(values) == 1:
        return values[0]
    return np.reshape(values, (side, side)) if side > 1 and side * side == len(values) else np.array(values)


def lengths(text: str) -> tuple[float | None, ...]:
    """A number for each axis, None where it says "none"."""
    return tuple(None if one.strip() == "none" else float(one) for one in text.split(","))


def beam_numbers(text: str) -> Any:
    """The word "map", or numbers as of a shape."""
    return text if text == "map" else numbers(text)


# The keywords of `fit` that the command line has, in the order of its help.
FIT_OPTIONS = (
    FitOption("background", "under the Gaussians", "constant", choices=("constant", "plane", "none")),
    FitOption("amplitudes", "signed: pits as well as peaks", "positive", choices=("positive", "signed")),
    FitOption(
        "loss",
        "huber, soft_l1, cauchy for outliers, poisson for counts",
        "linear",
        choices=("linear", "huber", "soft_l1", "cauchy", "poisson"),
    ),
    FitOption("f_scale", "misfit beyond which a point counts as an outlier", "1", type=float, metavar="C"),
    FitOption(
        "covariance_type",
        "shapes of the Gaussians; tied: one for all; beam: points behind --beam",
        "full",
        choices=("full", "diag", "spherical", "tied", "beam"),
    ),
    FitOption(
        "shape",
        "of all Gaussians, held: a width, one an axis, or the entries of a covariance",
        "fitted",
        type=numbers,
        metavar="S[,S...]",
    ),
    FitOption(
        "beam",
        "that Gaussians are seen through: map for BMAJ, BMIN, BPA of a FITS image, three numbers for these in degrees;"
        " or a width, one an axis, or the entries of a covariance",
        "none",
        type=beam_numbers,
        metavar="B[,B...]",
    ),
    FitOption(
        "periods",
        "of axes that repeat, as angles do: a length for each axis, none for an open one",
        "none",
        type=lengths,
        metavar="P[,P...]",
    ),
    FitOption("sampling", "integrated: heights are means over pixels", "points", choices=("points", "integrated")),
    FitOption(
        "solver",
        "lm: LevenbergMarquardt, dogleg: Dogleg, adam: Adam, superimposed: SuperimposedSignals",
        "lm",
        choices=("lm", "dogleg", "adam", "superimposed"),
    ),
    FitOption(
        "engine", "every component at every point, or only near it", "auto: by size", choices=("auto", "dense", "tiled")
    ),
    FitOption("max_time", "then keep the best surface so far", "until it converges", type=float, metavar="SECONDS"),
    FitOption(
        "init",
        "where the Gaussians start",
        "auto: growth and a short search",
        choices=("auto", "growth", "grid", "peaks", "random", "em"),
    ),
    FitOption(
        "search",
        "look for a better minimum that long",
        "a short while after --init auto, else 0",
        type=float,
        metavar="SECONDS",
    ),
    FitOption(
        "min_width",
        "smallest width along an axis, in distances of samples",
        "0.25",
        type=float,
        metavar="W",
    ),
    FitOption("dtype", "precision", "float32 for float32 heights, else float64", choices=("float32", "float64")),
    FitOption("seed", "of random starts and of the search", "0", type=int, metavar="N"),
)


def data_keywords(options: argparse.Namespace, n_dim: int) -> dict[str, Any]:
    """The keywords for `fit` that stand beside the heights: ``sigma``, ``mask``, ``bounds``, ``init`` and ``fixed``."""
    given: dict[str, Any] = {}
    if options.sigma is not None:
        sigma = _number_or_file(options.sigma, options.window)
        given.update(sigma=sigma, absolute_sigma=True)
    if options.mask is not None:
        from ..interop.files.formats import read

        given["mask"] = np.asarray(read(options.mask, window=window_of(options.window)).heights) != 0
    if options.bounds:
        from .._constraints.bounds import Bounds

        given["bounds"] = Bounds(**dict(_bound(text, n_dim) for text in options.bounds))
    if options.start is not None:
        from .._results.io import load

        given["init"] = load(options.start).surface
    if options.fixed is not None:
        if options.start is None:
            raise ValueError("`--fixed` holds what a saved fit has: name that by --start")
        given["fixed"] = options.fixed.split(",")
    return given


def with_cards(data: Any, keywords: dict[str, Any]) -> Any:
    """The image with a beam of three numbers as its cards BMAJ, BMIN and BPA, which is then that of the map."""
    beam = np.asarray(keywords.get("beam", "map"))
    if data.n_dim != 2 or beam.shape != (3,):
        return data
    if data.labels is None or not data.labels.wcs:
        raise ValueError(
            "`--beam` BMAJ,BMIN,BPA is in degrees on the sky, and this map has no world coordinates: give a width, one"
            " an axis, or the entries of a covariance"
        )
    keywords["beam"] = "map"
    return replace(data, labels=replace(data.labels, beam=tuple(beam.tolist())))


def _number_or_file(text: str, window: str | None) -> Any:
    try:
        return float(text)
    except ValueError:
        from ..interop.files.formats import read

        return read(text, window=window_of(window)).heights


def _bound(text: str, n_dim: int) -> tuple[str, Any]:
    """A name and its limits, of ``widths=1:10``, ``centers=0:40,0:50``, ``amplitudes=:5`` or ``aspect=3``."""
    name, _, limits = text.partition("=")
    try:
        if name == "aspect":
            return name, float(limits)
        if name not in ("amplitudes", "centers", "widths", "background"):
            raise ValueError
        pairs = [[float(side) if side else None for side in pair.split(":")] for pair in limits.split(",")]
        if any(len(pair) != 2 for pair in pairs) or len(pairs) not in (1, n_dim):
            raise ValueError
    except ValueError:
        raise ValueError(
            "`--bounds` must be amplitudes, centers, widths or background with low:high, either of which may be left"
            f" out, centers also one pair an axis, or aspect with a number; centers=0:40,0:50 say, got {text!r}"
        ) from None
    if len(pairs) == 1:
        return name, tuple(pairs[0])
    lows, highs = (
        [-np.inf if side is None and i == 0 else np.inf if side is None else side for side in sides]
        for i, sides in enumerate(zip(*pairs, strict=True))
    )
    return name, (lows, highs)


def coords_of(text: str | None, shape: tuple[int, ...]) -> tuple[np.ndarray, ...] | None:
    """Coordinates "0:0.5,10:-2", the first and the step of each axis."""
    if text is None:
        return None
    try:
        sides = [tuple(float(number) for number in side.split(":")) for side in text.split(",")]
        axes = tuple(first + step * np.arange(n) for (first, step), n in zip(sides, shape, strict=True))
    except ValueError:
        raise ValueError(
            f"`--coords` must be first:step for each of {len(shape)} axes, 0:0.5,10:-2 say, got {text!r}"
        ) from None
    return axes


def window_of(text: str | None) -> list[tuple[int, int]] | None:
    """The window "0:100,50:150" as one (start, stop) an axis."""
    if text is None:
        return None
    try:
        sides = [tuple(int(n) for n in side.split(":")) for side in text.split(",")]
        return [(start, stop) for start, stop in sides]
    except ValueError:
        raise ValueError(f"`--window` must be start:stop for each axis, 0:100,50:150 say, got {text!r}") from None


def keywords_of(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords for `fit` that were given on the command line."""
    given = {row.name: getattr(options, row.name) for row in FIT_OPTIONS if hasattr(options, row.name)}
    if given.get("background") == "none":
        given["background"] = None
    if options.max_steps is not None:
        from .._solvers import SOLVERS

        kinds: dict[str, Any] = {**SOLVERS}
        given["solver"] = kinds[given.get("solver", "lm")](max_steps=options.max_steps)
    if options.devices is not None:
        given["engine"] = _on_devices(given.get("engine", "auto"), options.devices)
    return given


def _on_devices(engine: str, count: int) -> Any:
    """The engine on so many devices; a CPU is made to have as many, but no more than cores, if JAX has not started."""
    import jax

    from .._engines.engines import Dense, Tiled

    if count > 1:
        with contextlib.suppress(RuntimeError):  # JAX has started; what it has is checked later
            jax.config.update("jax_num_cpu_devices", min(count, os.cpu_count() or 1))
    return (Dense if engine == "dense" else Tiled)(devices=count)
