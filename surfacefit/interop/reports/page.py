"""A fit as one page of HTML that needs no other file: pictures, summary, table of components, diagnostics."""

from __future__ import annotations

from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ..._results.report import summary
from .html import STYLE, picture, table

if TYPE_CHECKING:
    from ..._results.result import FitResult

# Largest number of dimensions of which there is a picture.
MOST_DIMENSIONS = 3
# What the numbers of the diagnostics are, a row each.
DIAGNOSTICS = (
    ("reach", "samples up to which residuals are correlated beyond chance"),
    (
        "runs_z",
        "standard deviations between the runs of one sign and their expectation; far below -2 something is missed",
    ),
    ("outliers", "residuals farther than five robust standard deviations from the median"),
    ("unevenness", "standard deviations by which the noise differs from place to place"),
    ("errors", "the method of standard errors whose assumptions the residuals meet"),
)


def page(result: FitResult, title: str, n_rows: int, errors: str = "hessian") -> str:
    """The page of a fit, with the ``n_rows`` components of largest volume; needs matplotlib."""
    parts = [f"<h1>{escape(title)}</h1>"]
    if result.surface.n_dim <= MOST_DIMENSIONS:
        parts += ["<h2>Data, model and residual</h2>", picture(result.plot(), "data, model and residual")]
        parts += _more_pictures(result)
    parts += [
        "<h2>Summary and components</h2>",
        f'<div class="wide">{summary(result, errors).shown(n_rows).html()}</div>',
    ]
    parts += ["<h2>Are the residuals noise?</h2>", *_diagnostics(result), *_reference_system(result)]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def save_page(result: FitResult, path: str | PathLike[str], title: str, n_rows: int, errors: str) -> None:
    """Write the page of a fit to a file."""
    Path(path).write_text(page(result, title, n_rows, errors), encoding="utf-8")


def _more_pictures(result: FitResult) -> list[str]:
    """What the components contribute, and how their number was chosen."""
    parts = []
    if result.n_components:
        parts += ["<h2>What each component contributes</h2>", picture(result.plot("components"), "components")]
    if result.path is not None and result.path.chosen >= 0:
        parts += ["<h2>The number of components</h2>", picture(result.plot("path"), "criteria against the number")]
    return parts


def _diagnostics(result: FitResult) -> list[str]:
    found = result.diagnostics
    shown = [(name, getattr(found, name), meaning) for name, meaning in DIAGNOSTICS]
    rows = [(name, value if isinstance(value, str) else f"{value:.3g}", meaning) for name, value, meaning in shown]
    return [picture(found.plot(), "distribution and correlation of the residuals"), table(rows)]


def _reference_system(result: FitResult) -> list[str]:
    """The reference system of the data, which the summary does not name."""
    labels = result.data.labels
    if labels is None or not labels.crs:
        return []
    return ["<h2>Data</h2>", table([("reference system", _name(labels.crs))])]


def _name(wkt: str) -> str:
    """The name of a reference system: the first that its text quotes."""
    return wkt.split('"')[1] if wkt.count('"') > 1 else wkt
