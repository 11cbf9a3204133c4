"""The options of `fit` on the command line: a row each. Choices and defaults are the library's own."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._engines.engines import ENGINES
from .._losses import LOSSES, ROBUST
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.covariance import COVARIANCE_TYPES
from .._search.initialization import INITS
from .._solvers import SOLVERS
from .fit import fit


class FitOption(NamedTuple):
    """A keyword of `fit` as ``--keyword``: one of ``choices``, or a value that ``type`` reads, shown as ``metavar``.

    ``default`` says in words what happens without it, where the default of `fit` does not say so itself.
    """

    name: str
    help: str
    choices: Iterable[str] | None = None
    type: Callable[[str], Any] = str
    metavar: str | None = None
    default: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def add_to(self, group: Any) -> None:
        """Add the option; without it the keyword is left out, so that the default is that of `fit`."""
        default = self.default or inspect.signature(fit).parameters[self.name].default
        choices = None if self.choices is None else list(self.choices)
        group.add_argument(
            self.flag,
            choices=choices,
            type=self.type,
            metavar=self.metavar,
            default=argparse.SUPPRESS,
            help=f"{self.help} (default {default})",
        )


# The keywords of `fit` that the command line has, in the order of its help.
FIT_OPTIONS = (
    FitOption("background", "under the Gaussians", choices=("constant", "plane", "none")),
    FitOption("amplitudes", "signed: pits as well as peaks", choices=AMPLITUDE_TYPES),
    FitOption("loss", f"{', '.join(ROBUST)} for outliers, poisson for counts", choices=LOSSES),
    FitOption("f_scale", "misfit beyond which a point counts as an outlier", type=float, metavar="C", default="1"),
    FitOption("covariance_type", "shapes of the Gaussians; tied: one for all", choices=COVARIANCE_TYPES),
    FitOption("solver", ", ".join(f"{name}: {kind.__name__}" for name, kind in SOLVERS.items()), choices=SOLVERS),
    FitOption(
        "engine", "every component at every point, or only near it", choices=("auto", *ENGINES), default="auto: by size"
    ),
    FitOption(
        "max_time", "then keep the best surface so far", type=float, metavar="SECONDS", default="until it converges"
    ),
    FitOption("init", "where the Gaussians start", choices=INITS, default="auto: growth and a short search"),
    FitOption(
        "search",
        "look for a better minimum that long",
        type=float,
        metavar="SECONDS",
        default="a short while after --init auto, else 0",
    ),
    FitOption(
        "dtype", "precision", choices=("float32", "float64"), default="float32 for float32 heights, else float64"
    ),
    FitOption("seed", "of random starts and of the search", type=int, metavar="N"),
)


def keywords_of(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords for `fit` that were given on the command line."""
    given = {row.name: getattr(options, row.name) for row in FIT_OPTIONS if hasattr(options, row.name)}
    if given.get("background") == "none":
        given["background"] = None
    if options.max_steps is not None:
        kinds: dict[str, Any] = {**SOLVERS}
        given["solver"] = kinds[given.get("solver", "lm")](max_steps=options.max_steps)
    return given
