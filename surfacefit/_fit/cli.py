"""The command line: `surfacefit fit`, `show` and `evaluate`. The commands import what is heavy, so that help comes at
once.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import __version__

if TYPE_CHECKING:
    import numpy as np

    from .._data.read import Heights
    from .._results.result import FitResult

FITS, PLOTS, POINTS = (".json", ".npz"), (".png", ".pdf", ".svg", ".jpg"), (".csv", ".txt", ".dat")
BACKGROUNDS = ("constant", "plane", "none")
AMPLITUDES = ("positive", "signed")
LOSSES = ("linear", "huber", "soft_l1", "cauchy", "poisson")
CRITERIA = ("bic", "aicc", "held_out", "rmse", "r2")
COVARIANCE_TYPES = ("full", "diag", "spherical", "tied")
SOLVERS = ("lm", "adam", "superimposed")
ENGINES = ("auto", "dense", "tiled")
STARTS = ("auto", "growth", "grid", "peaks", "random", "em")
DTYPES = ("float32", "float64")
MOST_DIMENSIONS_DRAWN = 3

EXAMPLES = """\
examples:
  surfacefit fit jacksboro -k 64 --plot fit.png        the example map that comes with the package
  surfacefit fit map.csv -k 20 -o fit.json             a table of heights
  surfacefit fit survey.txt -k 5 --points -o fit.npz   columns x, y, z
  surfacefit show fit.json --rows 20
  surfacefit evaluate fit.json points.csv -o heights.csv
"""

FIT_EXAMPLES = """\
FILE is one of
  .npy, .npz               an array; of several in an .npz the one named z, heights, elevation or data, or --key.
                           1-D arrays x (columns) and y (rows) that increase are its axes
  .csv .txt .dat .tsv .xyz numbers between commas, semicolons, tabs or blanks, with or without a header and
                           # comments; an empty cell is a gap. The table is a grid of heights, or columns x, ..., z
                           where it has 2 columns, or 3 or 4 columns that a header names or many rows
  .png .tif .tiff          gray values (needs pillow)
  jacksboro                the example map that comes with the package

examples:
  surfacefit fit jacksboro -k 64 -o fit.json --plot fit.png
  surfacefit fit survey.csv -k 5 --points --background plane --max-time 30 -o fit.npz

Ctrl-C ends the fit with the best surface so far.
"""

SHOW_EXAMPLES = """\
example:
  surfacefit show fit.json --rows 20 --plot fit.png
"""

EVALUATE_EXAMPLES = """\
POINTS holds one row a point and one column a dimension, in the order of the fit's centres: for a grid rows, columns.
The answer has columns x0, x1, ..., height, with digits enough to give back the same numbers.

example:
  surfacefit evaluate fit.json points.csv -o heights.csv
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code: 0 done, 2 for what a user can put right, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output, `head` say, has gone: let the last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except (OSError, TypeError, ValueError) as error:
        return _complain(_one_line(error), 2)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"surfacefit: error: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {str(error.filename)!r}"
    return " ".join(str(error).splitlines())


# --- Commands -------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    """Check the outputs, read, fit, save, and tell."""
    _check_output("-o", options.output, FITS, options.file)
    _check_plot(options.plot, options.file)
    from .._data.read import read_heights

    data = read_heights(options.file, options.key, options.layout)
    print(f"{options.file}: {data.how}", flush=True)
    if options.plot and data.n_dim > MOST_DIMENSIONS_DRAWN:
        raise ValueError(f"`--plot` shows 1 to {MOST_DIMENSIONS_DRAWN} dimensions, these heights have {data.n_dim}")
    result = _fitted(data, options)
    try:
        if options.output:
            result.save(options.output)
    finally:
        if not options.quiet:
            print(result.summary(options.rows))
    if options.output:
        print(f"saved fit to {options.output}")
    _plot(result, options.plot)


def _fitted(data: Heights, options: argparse.Namespace) -> FitResult:
    import surfacefit as sf

    heights = _above_minimum(data.heights) if options.subtract_minimum else data.heights
    keywords: dict[str, Any] = {
        "background": None if options.background == "none" else options.background,
        "covariance_type": options.covariance_type,
        "amplitudes": options.amplitudes,
        "loss": options.loss,
        "f_scale": options.f_scale,
        "init": options.init,
        "search": options.search,
        "engine": options.engine,
        "solver": _solver(options.solver, options.max_steps),
        "dtype": options.dtype,
        "max_time": options.max_time,
        "seed": options.seed,
        "progress": False if options.quiet else None,
    }
    if data.points is not None:
        return sf.fit_points(data.points, heights, _components(options), **keywords)
    return sf.fit(heights, _components(options), coords=data.coords, **keywords)


def _components(options: argparse.Namespace) -> Any:
    import surfacefit as sf

    chosen = sf.AutoComponents(options.criterion, options.target, options.most)
    if options.n_components == "auto":
        return chosen
    if chosen != sf.AutoComponents():
        raise ValueError(
            f"`--criterion`, `--target` and `--most` choose a number, got -k {options.n_components}: leave -k out"
        )
    return options.n_components


def _solver(name: str, max_steps: int | None) -> Any:
    from .._solvers import SOLVERS

    kinds: dict[str, Any] = {**SOLVERS}
    return name if max_steps is None else kinds[name](max_steps=max_steps)


def _above_minimum(heights: np.ndarray) -> np.ndarray:
    """Heights less the lowest one that is finite."""
    import numpy as np

    from .._base.checks import real_array

    heights = real_array("heights", heights)
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return heights
    print(f"subtracted the minimum {finite.min():.17g}")
    return heights - finite.min()


def _show(options: argparse.Namespace) -> None:
    """Print the summary of a saved fit, and draw it."""
    _check_plot(options.plot, options.file)
    import surfacefit as sf

    result = sf.load(options.file)
    print(result.summary(options.rows))
    _plot(result, options.plot)


def _evaluate(options: argparse.Namespace) -> None:
    """Heights of a saved fit at the points of a file, as CSV."""
    _check_output("-o", options.output, POINTS, options.file, options.points)
    import surfacefit as sf

    from .._data.read import read_points

    surface = sf.load(options.file).surface
    points = read_points(options.points, surface.n_dim)
    heights = surface(points)
    if options.output is None:
        _write_csv(sys.stdout, points, heights)
        return
    with options.output.open("w", encoding="utf-8") as file:
        _write_csv(file, points, heights)
    print(f"saved {len(points)} heights to {options.output}")


def _write_csv(file: Any, points: np.ndarray, heights: np.ndarray) -> None:
    import numpy as np

    header = ",".join([*(f"x{i}" for i in range(points.shape[1])), "height"])
    np.savetxt(file, np.column_stack([points, heights]), fmt="%.17g", delimiter=",", header=header, comments="")


def _plot(result: FitResult, path: Path | None) -> None:
    if path is not None:
        result.plot().savefig(path)
        print(f"saved plot to {path}")


# --- Outputs are checked before the work ----------------------------------------------------------------------------


def _check_plot(path: Path | None, *sources: str) -> None:
    _check_output("--plot", path, PLOTS, *sources)
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


# --- Options --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"surfacefit: error: {message} (see `{self.prog} --help`)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _command(
        _Parser, prog="surfacefit", description="Fit surfaces as sums of scaled Gaussians.", epilog=EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"surfacefit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="fit | show | evaluate")
    _fit_options(_command(commands.add_parser, "fit", help="fit heights from a file", epilog=FIT_EXAMPLES))
    _show_options(_command(commands.add_parser, "show", help="print the summary of a saved fit", epilog=SHOW_EXAMPLES))
    _evaluate_options(
        _command(commands.add_parser, "evaluate", help="heights of a saved fit at points", epilog=EVALUATE_EXAMPLES)
    )
    return parser


def _command(make: Any, *args: Any, **options: Any) -> Any:
    """A parser with its examples laid out as written, and no abbreviated options."""
    options.setdefault("description", str(options.get("help", "")).capitalize() + ".")
    return make(*args, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)


def _fit_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_fit)
    add = parser.add_argument
    add("file", metavar="FILE", help="heights, or the name of an example map; see below")
    add(
        "-k",
        "--components",
        dest="n_components",
        type=_number,
        default="auto",
        metavar="K",
        help="number of Gaussians (default auto)",
    )
    add("--criterion", choices=CRITERIA, default="bic", help="by which the number is chosen (default bic)")
    add(
        "--target",
        type=float,
        metavar="VALUE",
        help="the RMSE not to exceed or the R2 to reach, for --criterion rmse or r2",
    )
    add("--most", type=int, default=1000, metavar="K", help="largest number to try (default 1000)")
    add("-o", "--output", type=Path, metavar="FIT", help="save the fit, data included, to a .json or .npz")
    add(
        "--plot",
        type=Path,
        metavar="PICTURE",
        help=f"draw data, model and residual to a {', '.join(PLOTS)} (needs matplotlib)",
    )
    _reading_options(parser)
    _model_options(parser)
    add("--rows", type=_not_negative, default=10, metavar="N", help="components in the summary (default 10)")
    add("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def _reading_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading")
    group.add_argument("--key", metavar="NAME", help="the array of an .npz to fit")
    layout = group.add_mutually_exclusive_group()
    layout.add_argument(
        "--points", dest="layout", action="store_const", const="points", help="the columns of FILE are x, y, ..., z"
    )
    layout.add_argument("--grid", dest="layout", action="store_const", const="grid", help="FILE is a grid of heights")
    group.add_argument("--subtract-minimum", action="store_true", help="fit the heights above the lowest one")


def _model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("model and solver").add_argument
    add("--background", choices=BACKGROUNDS, default="constant", help="under the Gaussians (default constant)")
    add("--amplitudes", choices=AMPLITUDES, default="positive", help="signed: pits as well as peaks (default positive)")
    add(
        "--loss",
        choices=LOSSES,
        default="linear",
        help="huber, soft_l1, cauchy for outliers, poisson for counts (default linear)",
    )
    add("--f-scale", type=float, metavar="C", help="misfit beyond which a point counts as an outlier (default 1)")
    add(
        "--covariance-type",
        choices=COVARIANCE_TYPES,
        default="full",
        help="shapes of the Gaussians; tied: one for all (default full)",
    )
    add(
        "--solver",
        choices=SOLVERS,
        default="lm",
        help="Levenberg-Marquardt, Adam, or EM for superimposed signals (default lm)",
    )
    add(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="every component at every point, or only where it is felt (default: by size)",
    )
    add("--max-steps", type=int, metavar="N", help="limit on the solver's steps")
    add("--max-time", type=float, metavar="SECONDS", help="then keep the best surface so far")
    add(
        "--init",
        choices=STARTS,
        default="auto",
        help="where the Gaussians start (default auto: growth and a short search)",
    )
    add(
        "--search",
        type=float,
        metavar="SECONDS",
        help="look for a better minimum that long (default: a short while after auto)",
    )
    add(
        "--dtype", choices=DTYPES, help="precision (default that of the file: float32 if its heights are, else float64)"
    )
    add("--seed", type=int, default=0, metavar="N", help="of random starts and of the search (default 0)")


def _show_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_show)
    parser.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    parser.add_argument(
        "--plot", type=Path, metavar="PICTURE", help=f"draw data, model and residual to a {', '.join(PLOTS)}"
    )
    parser.add_argument("--rows", type=_not_negative, default=10, metavar="N", help="components to list (default 10)")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_evaluate)
    parser.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    parser.add_argument("points", metavar="POINTS", help="a text table as of `surfacefit fit`, or an .npy")
    parser.add_argument("-o", "--output", type=Path, metavar="CSV", help="where to write (default: print)")


def _number(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer or 'auto', got {text!r}") from None


def _not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer from 0, got {text!r}")
    return int(text)
