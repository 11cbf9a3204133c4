"""A result as text and as HTML. The numbers are gathered once, as rows; the two forms only lay them out."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from ._background import ConstantBackground, FunctionBackground, PlaneBackground, background_model
from ._criteria import LABELS

if TYPE_CHECKING:
    from ._result import FitResult

WIDTH = 78


def summary(result: FitResult, n_rows: int = 10) -> str:
    """Facts in two columns, then the largest components as a table."""
    facts = _facts(result)
    label = max(len(name) for name, _ in facts)
    lines = [f"surfacefit: {result.n_components} Gaussians in {result.surface.n_dim}-D".center(WIDTH).rstrip(), "=" * WIDTH]
    for name, value in facts:
        lines += wrap(value, WIDTH, initial_indent=f"{name:<{label}}  ", subsequent_indent=" " * (label + 2), break_on_hyphens=False)
    header, rows = _components(result, n_rows)
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines += ["-" * WIDTH]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    lines += _rest(result, n_rows)
    return "\n".join([*lines, "=" * WIDTH])


def summary_html(result: FitResult, n_rows: int = 10) -> str:
    """The same for notebooks."""
    header, rows = _components(result, n_rows)
    facts = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in _facts(result)
    )
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    rest = "".join(f"<p>{escape(line)}</p>" for line in _rest(result, n_rows))
    title = f"surfacefit: {result.n_components} Gaussians in {result.surface.n_dim}-D"
    return f"<div><b>{title}</b><table>{facts}</table><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}</div>"


def number(value: float) -> str:
    """Five significant digits, without a minus sign on zero."""
    return f"{value + 0.0:.5g}"


def _facts(result: FitResult) -> list[tuple[str, str]]:
    timings, settings = result.timings, result.settings
    left_out = [f"{count} {what}" for count, what in ((result.n_nan, "NaN"), (result.n_masked, "masked")) if count]
    shape = " x ".join(str(n) for n in result.data.heights.shape)
    points = f"{result.n_points} of {shape}" + (f" ({', '.join(left_out)})" if left_out else "")
    return [
        ("status", f"{'ok' if result.success else 'NOT CONVERGED'}: {result.message}"),
        *_path(result),
        ("RMSE", number(result.rmse)),
        ("R2", f"{result.r2:.6f}"),
        ("cost", number(result.cost)),
        ("points", points),
        ("parameters", f"{result.n_parameters} ({settings.covariance_type} covariances, {settings.amplitudes} amplitudes)"),
        ("background", _background(result)),
        ("solver", f"{settings.solver}, {result.steps} steps, {settings.engine}, {settings.dtype}"),
        ("time", f"{timings.total:.2f} s: start {timings.start:.2f}, compile {timings.compile:.2f}, run {timings.run:.2f}"),
    ]


def _path(result: FitResult) -> list[tuple[str, str]]:
    path = result.path
    if path is None:
        return []
    tried = f"{len(path.n_components)} numbers from {path.n_components.min()} to {path.n_components.max()}" if path.chosen else "none"
    return [("components", f"{result.n_components}, chosen by {LABELS[path.criterion]}; tried {tried}")]


def _background(result: FitResult) -> str:
    background = background_model(result.surface.background)
    if isinstance(background, ConstantBackground):
        return f"constant {number(float(background.value))}"
    if isinstance(background, PlaneBackground):
        slopes = ", ".join(number(float(slope)) for slope in background.slopes)
        return f"plane, {number(float(background.value))} in the middle, slopes ({slopes})"
    if isinstance(background, FunctionBackground):
        values = ", ".join(number(float(value)) for value in np.atleast_1d(background.parameters))
        return f"{getattr(background.function, '__name__', 'function')}({values})"
    return "none"


def _components(result: FitResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the components with the largest volumes."""
    surface = result.surface
    d = surface.n_dim
    header = ["", "volume", "amplitude", *(f"center{i}" for i in range(d)), *(f"width{i}" for i in range(d))]
    columns = [surface.volumes[:, None], np.asarray(surface.amplitudes)[:, None], surface.centers, surface.principal_widths]
    if d == 2:
        header.append("angle/deg")
        columns.append(np.degrees(surface.orientation)[:, None].round(6) % 180)
    table = np.hstack(columns)[:n_rows]
    return header, [[str(k), *(number(value) for value in row)] for k, row in enumerate(table)]


def _rest(result: FitResult, n_rows: int) -> list[str]:
    hidden = result.n_components - n_rows
    return [f"... and {hidden} smaller components"] if hidden > 0 else []
