"""What the commands do: fit, show, report, table, export and evaluate. Outputs are checked before the work.

`show` prints the summary that a file holds, without JAX; fits and pictures import it where they are made.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import surfacefit as sf

from .._base.checks import real_array
from .._base.layout import counted
from .._data.map import Map, map_of
from .._results.summary_record import stored_summary
from .._system.interrupts import ended_by_interrupts
from ..interop.files.formats import WRITERS, read, read_points
from ..interop.files.layer import bytes_of
from .cli_options import coords_of, data_keywords, keywords_of, window_of, with_cards
from .cli_parser import PICTURE_SUFFIXES, TABLE_FORMATS

if TYPE_CHECKING:
    from .._results.result import FitResult

# Endings of the files that `FitResult.save` writes.
FIT_SUFFIXES = (".json", ".npz")
# Endings of the files that heights at points are written to, as text.
TABLE_SUFFIXES = (".csv", ".txt", ".dat")
# Endings of the files that tables of components are written to.
ROW_SUFFIXES = tuple(f".{name}" for name in TABLE_FORMATS)
# Those of them that are no text, which no terminal shows.
BINARY_SUFFIXES = (".fits", ".vot", ".parquet")
# Endings of the files that surfaces are exported to, besides the name HILLS.
EXPORT_SUFFIXES = (".py", ".c", ".tex", ".pdb", ".cmm", ".hills")
# Endings of the pages that are written.
PAGE_SUFFIXES = (".html",)
# Bytes of a file from which its size is compared with memory, which takes JAX to know: less than any machine has.
LEAST_STREAMED_BYTES = 2**22
# Largest number of dimensions that `FitResult.plot` draws.
MOST_DIMENSIONS_DRAWN = 3


def fit(options: argparse.Namespace) -> None:
    """What `surfacefit fit FILE` does: read heights, fit them as `surfacefit.fit` does, save, print and draw.

    ``options`` are the arguments of the command line (`cli_parser`): ``file``, ``key`` and ``layout`` say what is read,
    ``output`` (.json or .npz) and ``plot`` (a picture) where results go, ``rows`` and ``quiet`` what is printed; all
    others are keywords of `surfacefit.fit`, in the units of the file. Heights are an array of any dimension, or points
    (N, d) with heights (N,) for columns x, y, z. The fit is saved before its summary is printed, and seconds of each
    part are told last. ValueError, TypeError or OSError names what cannot be read, fitted or written; outputs are
    checked before anything is read.
    """
    _check_output("-o", options.output, FIT_SUFFIXES, options.file)
    _check_plot(options.plot, options.file)
    watch = _Stopwatch()
    window = window_of(options.window)
    on_disk = _on_disk(options)
    data = (
        _unread(on_disk)
        if on_disk is not None
        else read(
            options.file,
            key=options.key,
            columns=options.columns,
            layout=options.layout,
            window=window,
            nodata=options.nodata,
        )
    )
    watch.lap("reading")
    print(f"{options.file}: {data.how}", flush=True)
    if options.plot and data.n_dim > MOST_DIMENSIONS_DRAWN:
        raise ValueError(f"`--plot` shows 1 to {MOST_DIMENSIONS_DRAWN} dimensions, these heights have {data.n_dim}")
    if options.errors == "correlated" and (data.points is not None or getattr(options, "loss", "linear") != "linear"):
        raise ValueError("`--errors correlated` needs heights on a grid and --loss linear: use --errors sandwich")
    with ended_by_interrupts():
        sf.fit  # noqa: B018  imports JAX, whose time is no time of the fit
    watch.lap("importing")
    result = _fitted(data, options) if on_disk is None else _streamed(on_disk, options)
    watch.lap("fitting")
    try:
        if options.output:
            result.save(options.output)
    finally:
        if not options.quiet:
            print(result.summary(options.rows, errors=options.errors))
            watch.lap("errors and summary" + ", saved" * bool(options.output))
    if options.output:
        print(f"saved fit to {options.output}")
    _plot(result, options.plot)
    if not options.quiet:
        watch.lap("plotting" if options.plot else "")
        print(watch)


class _Stopwatch:
    """Seconds of one thing after another, which add up to all."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []
        self._begun = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What has been done since the last lap; without a name it is not told apart."""
        now = time.perf_counter()
        if name:
            self.laps.append((name, now - self._last))
            self._last = now

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.laps)
        return f"{self._last - self._begun:.1f} s in all: {parts}"


def show(options: argparse.Namespace) -> None:
    """Print the summary of a saved fit, and draw it."""
    _check_plot(options.plot, options.file)
    stored = stored_summary(options.file)
    with ended_by_interrupts():
        print(sf.load(options.file).summary(options.rows) if stored is None else stored.shown(options.rows).text())
    if options.plot is not None:
        _plot(sf.load(options.file), options.plot)


def report(options: argparse.Namespace) -> None:
    """A saved fit as one page of HTML."""
    _check_output("-o", options.output, PAGE_SUFFIXES, options.file)
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("`report` needs matplotlib: pip install 'surfacefit[plot]'")
    with ended_by_interrupts():
        result = sf.load(options.file)
    from ..interop.reports.page import save_page

    save_page(result, options.output, f"surfacefit: {Path(options.file).name}", options.rows, options.errors)
    print(f"saved report to {options.output}")


def table(options: argparse.Namespace) -> None:
    """The components of a saved fit as a table: printed, or written to a file."""
    suffix = f".{options.format}" if options.format else options.output.suffix.lower() if options.output else ""
    any_suffix = [] if options.output is None else [options.output.suffix]
    _check_output("-o", options.output, any_suffix if options.format else ROW_SUFFIXES, options.file)
    if options.output is None and suffix in BINARY_SUFFIXES:
        raise ValueError(f"`--format {options.format}` is not text: name a file by `-o`")
    with ended_by_interrupts():
        result = sf.load(options.file)
    from ..interop.tables import saving

    found = result.table(errors=options.errors)
    if options.output is None:
        print(saving.text(found, suffix) if suffix else found, end="" if suffix else None)
        return
    saving.save(found, options.output, suffix)
    print(f"saved {counted(result.n_components, 'component')} to {options.output}")


def export(options: argparse.Namespace) -> None:
    """The surface of a saved fit for another program."""
    named_hills = options.output.name.upper() == "HILLS"
    _check_output("-o", options.output, [""] if named_hills else EXPORT_SUFFIXES, options.file)
    periodic = dict(_period(text) for text in options.periodic)
    with ended_by_interrupts():
        result = sf.load(options.file)
    names = None if result.data.labels is None else ["_".join(name.split()) for name in result.data.labels.dims]
    result.surface.export(options.output, names=names, free_energy=options.free_energy, periodic=periodic)
    print(f"saved {counted(result.n_components, 'component')} to {options.output}")


def _period(text: str) -> tuple[str, tuple[float, float]]:
    name, _, ends = text.partition("=")
    try:
        low, high = (float(end) for end in ends.split(":"))
        if not low < high:
            raise ValueError
    except ValueError:
        raise ValueError(f"`--periodic` must be name=low:high, phi=-3.14:3.14 say, got {text!r}") from None
    return name, (low, high)


def evaluate(options: argparse.Namespace) -> None:
    """Heights of a saved fit: at the points of a file, as CSV, or on the grid of the data, in a file like theirs."""
    sources = [options.file] if options.points is None else [options.file, options.points]
    _check_output("-o", options.output, TABLE_SUFFIXES if options.points else tuple(WRITERS), *sources)
    if options.points is None and options.output is None:
        raise ValueError("without POINTS the grid of the data is evaluated, and `-o` must name a file for it")
    with ended_by_interrupts():
        result = sf.load(options.file)
    if options.points is None:
        map_of(result.data, _of_data(result, options.what, options.errors), options.what).save(options.output)
        print(f"saved {options.what} to {options.output}")
        return
    points = read_points(options.points, result.surface.n_dim)
    heights = _at_points(result, points, options.what, options.errors)
    if options.output is None:
        _write_csv(sys.stdout, points, heights)
        return
    with options.output.open("w", encoding="utf-8") as file:
        _write_csv(file, points, heights)
    print(f"saved {len(points)} heights to {options.output}")


def _of_data(result: FitResult, what: str, errors: str) -> Any:
    if what == "model":
        return result.predict()
    return result.residuals if what == "residual" else result._errors_by("errors", errors).band()


def _at_points(result: FitResult, points: np.ndarray, what: str, errors: str) -> np.ndarray:
    if what == "residual":
        raise ValueError("`--what residual` needs the heights of the data: leave out POINTS")
    return np.asarray(result.surface(points) if what == "model" else result._errors_by("errors", errors).band(points))


def _fitted(data: Map, options: argparse.Namespace) -> FitResult:
    if options.subtract_minimum:
        data = replace(data, heights=_above_minimum(data.heights))
    coords = None if data.points is not None else coords_of(options.coords, data.shape)
    given = data_keywords(options, data.n_dim)
    if coords is not None:
        given["coords"] = coords
    keywords = {**keywords_of(options), **given, "progress": False if options.quiet else None}
    data = with_cards(data, keywords)
    if options.max_memory is not None:
        keywords["max_memory"] = options.max_memory
    if options.start is not None and options.n_components == "auto":
        return sf.fit(data, given["init"].n_components, **keywords)
    return sf.fit(data, _components(options), **keywords)


def _on_disk(options: argparse.Namespace) -> Any:
    """The map of a file that is read window by window; None where the file is read whole."""
    path = Path(options.file)
    large = path.exists() and bytes_of(path) >= LEAST_STREAMED_BYTES
    if options.checkpoint is None and not (large and options.window is None):
        return None
    from ..interop.unread.streaming import streamed_file

    return streamed_file(path, options.key, options.max_memory, options.checkpoint is not None)


def _unread(on_disk: Any) -> Map:
    """Stands for a map that is not read, where only its shape is asked for."""
    how = f"{on_disk.name}, grid of {' x '.join(map(str, on_disk.shape))} heights, read window by window"
    return Map(np.broadcast_to(np.zeros((), np.float32), on_disk.shape), how=how, labels=on_disk.labels)


def _streamed(on_disk: Any, options: argparse.Namespace) -> FitResult:
    """The fit of a map that is read window by window."""
    for name in ("window", "nodata", "subtract_minimum", "columns", "layout"):
        if getattr(options, name) not in (None, False):
            raise ValueError(f"`{name}` needs the whole map in memory, and {options.file!r} is read window by window")
    for name in ("engine", "devices"):
        if getattr(options, name, None) is not None:
            raise ValueError(
                f"`--{name}` chooses how a map in memory is fitted, and {options.file!r} is read window by window, by"
                " threads of the CPU: leave it out"
            )
    given = data_keywords(options, len(on_disk.shape))
    if (coords := coords_of(options.coords, on_disk.shape)) is not None:
        given["coords"] = coords
    engine = sf.Streamed(checkpoint=options.checkpoint)
    keywords = {**keywords_of(options), **given, "progress": False if options.quiet else None, "engine": engine}
    return sf.fit(on_disk, _components(options), **keywords)


def _components(options: argparse.Namespace) -> Any:
    chosen = sf.AutoComponents(
        options.criterion, options.target, options.most, n_sigma=options.n_sigma, tolerance=options.tolerance
    )
    if options.n_components == "auto":
        return chosen
    if chosen != sf.AutoComponents():
        raise ValueError(
            f"`--criterion`, `--target`, `--most`, `--n-sigma` and `--tolerance` choose a number, got -k"
            f" {options.n_components}: leave -k out"
        )
    return options.n_components


def _above_minimum(heights: np.ndarray) -> np.ndarray:
    """Heights less the lowest one that is finite."""
    heights = real_array("heights", heights)
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return heights
    print(f"subtracted the minimum {finite.min():.17g}")
    return np.asarray(heights - finite.min())


def _write_csv(file: Any, points: np.ndarray, heights: np.ndarray) -> None:
    header = ",".join([*(f"x{i}" for i in range(points.shape[1])), "height"])
    np.savetxt(file, np.column_stack([points, heights]), fmt="%.17g", delimiter=",", header=header, comments="")


def _plot(result: FitResult, path: Path | None) -> None:
    if path is not None:
        result.plot().savefig(path)
        print(f"saved plot to {path}")


def _check_plot(path: Path | None, *sources: str) -> None:
    _check_output("--plot", path, PICTURE_SUFFIXES, *sources)
    if path is not None and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("`--plot` needs matplotlib: pip install 'surfacefit[plot]'")


def _check_output(option: str, path: Path | None, suffixes: Sequence[str], *sources: str) -> None:
    """Refuse an output that could not be written, or that would overwrite what is read."""
    if path is None:
        return
    if path.suffix not in suffixes:
        raise ValueError(f"`{option}` must end in {' or '.join(suffixes)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"`{option}` must be in a folder that exists, got {str(path)!r}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"`{option}` cannot be written: {str(path)!r}")
    if path.exists() and any(os.path.exists(source) and path.samefile(source) for source in sources):
        raise ValueError(f"`{option}` would overwrite the file that is read: {str(path)!r}")
