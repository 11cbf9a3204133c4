"""A fit as one page of HTML that needs no other file: pictures, summary, table of components, diagnostics."""

from __future__ import annotations

import base64
import io
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import summary

if TYPE_CHECKING:
    from .result import FitResult

# Largest number of dimensions of which there is a picture.
MOST_DIMENSIONS = 3
# Dots an inch of the pictures: sharp on a screen, some 100 kB each.
DOTS_PER_INCH = 120
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: 0.9rem; }
td, th { padding: 0.15rem 0.7rem; text-align: right; } .wide { overflow-x: auto; }
"""
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


def page(result: FitResult, title: str, n_rows: int) -> str:
    """The page of a fit, with the ``n_rows`` components of largest volume; needs matplotlib."""
    parts = [f"<h1>{escape(title)}</h1>"]
    if result.surface.n_dim <= MOST_DIMENSIONS:
        parts += ["<h2>Data, model and residual</h2>", _picture(result.plot(), "data, model and residual")]
    parts += ["<h2>Summary and components</h2>", f'<div class="wide">{summary(result).shown(n_rows).html()}</div>']
    parts += ["<h2>Are the residuals noise?</h2>", *_diagnostics(result), *_labels(result)]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def save_page(result: FitResult, path: str | PathLike[str], title: str, n_rows: int) -> None:
    """Write the page of a fit to a file."""
    Path(path).write_text(page(result, title, n_rows), encoding="utf-8")


def _picture(figure: Any, what: str) -> str:
    """A figure as an image within the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _diagnostics(result: FitResult) -> list[str]:
    found = result.diagnostics
    shown = [(name, getattr(found, name), meaning) for name, meaning in DIAGNOSTICS]
    rows = [(name, value if isinstance(value, str) else f"{value:.3g}", meaning) for name, value, meaning in shown]
    return [_picture(found.plot(), "distribution and correlation of the residuals"), _table(rows)]


def _labels(result: FitResult) -> list[str]:
    """Units and reference system of the data."""
    labels = result.data.labels
    if labels is None:
        return []
    axes = ", ".join(f"{dim} [{unit}]" if unit else dim for dim, unit in zip(labels.dims, labels.units, strict=True))
    known = [
        ("axes", axes),
        ("heights", f"{labels.name} [{labels.unit}]" if labels.unit else labels.name),
        ("reference system", labels.crs),
        ("notes", "; ".join(labels.notes)),
    ]
    return ["<h2>Data</h2>", _table([row for row in known if row[1]])]


def _table(rows: list[Any]) -> str:
    lines = "\n".join(
        "<tr>" + "".join(f'<td style="text-align: left">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table>{lines}</table>"
