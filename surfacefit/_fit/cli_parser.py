"""The parser of the command line, with its help."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from .._results.criteria import CRITERIA, AutoComponents
from .cli_options import FIT_OPTIONS

# Exit code for what the user can correct, as of argparse.
USER_ERROR_CODE = 2
# Environment variable that, where it is set, lets errors keep their traceback.
TRACEBACK_VARIABLE = "SURFACEFIT_TRACEBACK"
# Endings of the files that a picture can be written to: what matplotlib writes without further packages.
PICTURE_SUFFIXES = (".png", ".pdf", ".svg", ".jpg")
# Formats of tables, as the endings of their files.
TABLE_FORMATS = ("csv", "ecsv", "fits", "vot", "parquet", "reg")
# Components in a printed summary: a screenful.
SUMMARY_ROWS = 10
# Largest number of components to try: the default of `AutoComponents`.
MOST_COMPONENTS = 1000

# What stands below the options of each command in its help.
COMMAND_EXAMPLES = """\
examples:
  surfacefit fit jacksboro -k 64 --plot fit.png        the example map that comes with the package
  surfacefit fit map.csv -k 20 -o fit.json             a table of heights
  surfacefit fit survey.txt -k 5 --points -o fit.npz   columns x, y, z
  surfacefit show fit.json --rows 20
  surfacefit report fit.json -o report.html
  surfacefit table fit.json -o catalogue.ecsv          one row a component, with errors
  surfacefit export fit.json -o model.c                the surface as a function
  surfacefit evaluate fit.json points.csv -o heights.csv
  surfacefit evaluate fit.json -o model.tif            the model as a raster like the data

Errors are one line; with the environment variable SURFACEFIT_TRACEBACK=1 they show where they happened.
"""

# Of `surfacefit fit`.
FIT_EXAMPLES = """\
FILE is one of
  .npy, .npz               an array; of several in an .npz the one named z, heights, elevation or data, or --key.
                           1-D arrays x (columns) and y (rows) that increase are its axes
  .csv .txt .dat .tsv .xyz numbers between commas, semicolons, tabs or blanks, with or without a header and
                           # comments; an empty cell is a gap. The table is a grid of heights, or columns x, ..., z
                           where it has 2 columns, or 3 or 4 columns that a header names or many rows
  .png .tif .tiff          gray values (needs pillow); a GeoTIFF with its coordinates (extra geo), a band by --key
  .fits                    an image with its world coordinates, the fit in pixels (extra astro)
  .nc .zarr                a variable with its coordinates (extra geo)
  .h5 .mrc .gwy            a data set, a volume in Angstrom, a channel (extra volumes)
  .asc .sdf                an ESRI grid; a surface data file; .dat also a grid of PLUMED
  jacksboro                the example map that comes with the package

examples:
  surfacefit fit jacksboro -k 64 -o fit.json --plot fit.png
  surfacefit fit survey.csv -k 5 --points --background plane --max-time 30 -o fit.npz

Ctrl-C ends the fit with the best surface so far.
"""

# Of `surfacefit show`.
SHOW_EXAMPLES = """\
example:
  surfacefit show fit.json --rows 20 --plot fit.png
"""

# Of `surfacefit report`.
REPORT_EXAMPLES = """\
The page holds its pictures and needs no other file (needs matplotlib).

example:
  surfacefit report fit.json -o report.html --rows 50
"""

# Of `surfacefit table`.
TABLE_EXAMPLES = """\
One row a component: amplitude, centre, widths, angle, volume with standard errors, and for images with world
coordinates positions on the sky and position angles. OUT ends in .csv, .ecsv, .fits, .vot (VOTable), .parquet, or .reg
for ellipses at half maximum that DS9 draws.

examples:
  surfacefit table fit.json
  surfacefit table fit.json -o catalogue.ecsv --errors auto
  surfacefit table fit.json -o regions.reg
  surfacefit table fit.json --format csv | head
"""

# Of `surfacefit export`.
EXPORT_EXAMPLES = """\
OUT ends in .py (NumPy), .c, .tex (LaTeX), in 3-D .pdb or .cmm (ChimeraX); or it is HILLS or .hills, for PLUMED.

examples:
  surfacefit export fit.json -o model.c
  surfacefit export fit.json -o HILLS --free-energy --periodic phi=-3.141592653589793:3.141592653589793
"""

# Of `surfacefit evaluate`.
EVALUATE_EXAMPLES = """\
POINTS holds one row a point and one column a dimension, in the order of the fit's centres: for a grid rows, columns.
The answer has columns x0, x1, ..., height, with digits enough to give back the same numbers.

Without POINTS the grid of the data is evaluated, and written to a file like theirs: a GeoTIFF keeps its coordinate
reference system.

examples:
  surfacefit evaluate fit.json points.csv -o heights.csv
  surfacefit evaluate fit.json -o residual.tif --what residual
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR_CODE, f"surfacefit: error: {message} (see `{self.prog} --help`)\n")

    def parse_known_args(self, *args: Any, **options: Any) -> Any:
        """What is not known is refused by the command that does not know it, whose help then is the way out."""
        found, rest = super().parse_known_args(*args, **options)
        if rest:
            near = difflib.get_close_matches(rest[0], self._option_string_actions, 1)
            self.error(f"unrecognized arguments: {' '.join(rest)}" + (f": did you mean {near[0]!r}?" if near else ""))
        return found, rest


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``action`` names the function of `cli_actions` that does the work."""
    made = _command(
        _Parser, prog="surfacefit", description="Fit surfaces as sums of scaled Gaussians.", epilog=COMMAND_EXAMPLES
    )
    made.add_argument("--version", action="version", version=f"surfacefit {__version__}")
    commands = made.add_subparsers(
        title="commands", required=True, metavar="fit | show | report | table | export | evaluate"
    )
    add = commands.add_parser
    _add_fit(_command(add, "fit", help="fit heights from a file", epilog=FIT_EXAMPLES))
    _add_show(_command(add, "show", help="print the summary of a saved fit", epilog=SHOW_EXAMPLES))
    _add_report(_command(add, "report", help="a saved fit as one page of HTML", epilog=REPORT_EXAMPLES))
    _add_table(_command(add, "table", help="the components of a saved fit as a table", epilog=TABLE_EXAMPLES))
    _add_export(_command(add, "export", help="the surface of a saved fit for other programs", epilog=EXPORT_EXAMPLES))
    _add_evaluate(_command(add, "evaluate", help="heights of a saved fit at points", epilog=EVALUATE_EXAMPLES))
    return made


def flags_of(command: str) -> dict[str, str]:
    """The options of a command by the names of the arguments that they stand for: ``n_components`` is ``-k``."""
    actions = commands()[command]._actions
    return {one.dest: one.option_strings[0] for one in reversed(actions) if one.option_strings}


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name."""
    all_of_them = next(one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return dict(all_of_them.choices)


def _command(make: Any, *args: Any, **options: Any) -> Any:
    """A parser with its examples laid out as written, and no abbreviated options."""
    options.setdefault("description", str(options.get("help", "")).capitalize() + ".")
    return make(*args, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)


def _add_fit(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="fit")
    command.add_argument("file", metavar="FILE", help="heights, or the name of an example map; see below")
    _add_number(command)
    command.add_argument(
        "-o", "--output", type=Path, metavar="FIT", help="save the fit, data included, to a .json or .npz"
    )
    _add_plot(command)
    _add_reading(command)
    group = command.add_argument_group("model and solver")
    for row in FIT_OPTIONS:
        row.add_to(group)
    group.add_argument(
        "--bounds",
        nargs="+",
        metavar="NAME=LOW:HIGH",
        help="limits of amplitudes, centers, widths, background; aspect=R",
    )
    group.add_argument("--start", metavar="FIT", help="start from the surface of a saved fit")
    group.add_argument("--fixed", metavar="NAMES", help="with --start: amplitudes, centers, covariances, background")
    group.add_argument("--max-steps", type=int, metavar="N", help="limit on the solver's steps")
    group.add_argument(
        "--devices", type=int, metavar="N", help="run the steps of a large fit on N accelerators, or on N cores"
    )
    group.add_argument(
        "--max-memory", type=float, metavar="GB", help="a larger .tif, .h5, .zarr or .npy is read window by window"
    )
    group.add_argument(
        "--checkpoint", metavar="NPZ", help="read FILE window by window; a killed fit goes on from where NPZ stands"
    )
    _add_rows(command)
    _add_errors(command, "errors in the summary")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def _add_number(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "-k",
        "--components",
        dest="n_components",
        type=_number,
        default="auto",
        metavar="K",
        help="number of Gaussians (default auto)",
    )
    add(
        "--criterion",
        choices=CRITERIA,
        default=AutoComponents.criterion,
        help=f"by which the number is chosen (default {AutoComponents.criterion})",
    )
    add(
        "--target",
        type=float,
        metavar="VALUE",
        help="the RMSE not to exceed or the R2 to reach, for --criterion rmse or r2",
    )
    add(
        "--most",
        type=int,
        default=MOST_COMPONENTS,
        metavar="K",
        help=f"largest number to try (default {MOST_COMPONENTS})",
    )
    add(
        "--n-sigma",
        type=float,
        default=AutoComponents.n_sigma,
        metavar="N",
        help="errors that an amplitude must exceed, for --criterion effective_bic or significance (default 5)",
    )
    add(
        "--tolerance",
        type=float,
        default=AutoComponents.tolerance,
        metavar="SHARE",
        help="misfit, as a share of the local height, that counts as none, for the same criteria (default 0)",
    )


def _add_reading(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("reading")
    group.add_argument("--key", metavar="NAME", help="which array, band, variable or extension of FILE to fit")
    group.add_argument("--columns", metavar="X,Y,Z", help="columns of a table by name or number, heights last")
    group.add_argument("--window", metavar="R0:R1,C0:C1", help="only this part of a grid, in rows and columns")
    layout = group.add_mutually_exclusive_group()
    layout.add_argument(
        "--points", dest="layout", action="store_const", const="points", help="the columns of FILE are x, y, ..., z"
    )
    layout.add_argument("--grid", dest="layout", action="store_const", const="grid", help="FILE is a grid of heights")
    group.add_argument(
        "--nodata", type=float, metavar="VALUE", help="stands for no data, where FILE does not say it: --nodata=-9999"
    )
    group.add_argument("--coords", metavar="Y0:DY,X0:DX", help="first coordinate and step of each axis of a grid")
    group.add_argument("--sigma", metavar="S", help="standard deviation of the heights: a number, or a file like FILE")
    group.add_argument("--mask", metavar="FILE", help="a file like FILE that is not 0 where heights are ignored")
    group.add_argument("--subtract-minimum", action="store_true", help="fit the heights above the lowest one")


def _add_show(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="show")
    command.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    _add_plot(command)
    _add_rows(command)


def _add_report(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="report")
    command.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    command.add_argument("-o", "--output", type=Path, metavar="PAGE", required=True, help="the .html to write")
    _add_rows(command)
    _add_errors(command, "errors in the table")


def _add_table(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="table")
    command.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    command.add_argument("-o", "--output", type=Path, metavar="OUT", help="where to write (default print)")
    command.add_argument("--format", choices=TABLE_FORMATS, help="of the table, whatever the ending of OUT")
    _add_errors(command, "how errors count")


def _add_export(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="export")
    command.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    command.add_argument("-o", "--output", type=Path, metavar="OUT", required=True, help="where to write")
    command.add_argument("--free-energy", action="store_true", help="for HILLS: heights are a free energy, not a bias")
    command.add_argument(
        "--periodic", nargs="+", default=[], metavar="NAME=LOW:HIGH", help="for HILLS: periods of axes"
    )


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    command.set_defaults(action="evaluate")
    command.add_argument("file", metavar="FIT", help="a .json or .npz saved by `surfacefit fit`")
    command.add_argument(
        "points", nargs="?", metavar="POINTS", help="a text table, or an .npy; without it the grid of the data"
    )
    command.add_argument("-o", "--output", type=Path, metavar="OUT", help="where to write (points: default print)")
    command.add_argument(
        "--what", choices=("model", "residual", "error"), default="model", help="of the fit (default model)"
    )
    _add_errors(command, "how --what error counts")


def _add_errors(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--errors",
        choices=("hessian", "sandwich", "correlated", "auto"),
        default="hessian",
        help=f"{what}: as of FitResult.uncertainty (default hessian)",
    )


def _add_plot(command: argparse.ArgumentParser) -> None:
    endings = ", ".join(PICTURE_SUFFIXES)
    command.add_argument(
        "--plot",
        type=Path,
        metavar="PICTURE",
        help=f"draw data, model and residual to a {endings} (needs matplotlib)",
    )


def _add_rows(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rows",
        type=_not_negative,
        default=SUMMARY_ROWS,
        metavar="N",
        help=f"components in the summary (default {SUMMARY_ROWS})",
    )


def _number(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer or 'auto', got {text!r}") from None


def _not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer from 0, got {text!r}")
    return int(text)
