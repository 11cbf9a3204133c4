"""The standard error of the model at every place: a band in 1-D, a map in 2-D, middle slices in 3-D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import canvas_of, draw_on, grid_canvas, sampled_curve
from .panels import (
    FIGURE_INCHES,
    MAX_ELLIPSES,
    Style,
    axis_names,
    draw_ellipses,
    height_name,
    space_ticks,
    unit_of,
)
from .points import draw_scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult

# Standard errors on both sides of the model: 95 % of a normal distribution.
BAND_ERRORS = 2

# Share of the errors within the colour scale: a corner without data would wash out the rest.
ERROR_QUANTILE = 0.995


def draw_error(figure: Figure, result: FitResult) -> None:
    """The standard errors of `Uncertainty.band`; gray where the data do not determine the model."""
    if result.data.n_dim == 1:
        _draw_band(figure, result)
    elif result.data.n_dim == 2:
        _draw_map(figure, result)
    elif result.data.axes is None:
        _draw_space(figure, result)
    else:
        _draw_slices(figure, result)


def _draw_band(figure: Figure, result: FitResult) -> None:
    figure.set_size_inches(FIGURE_INCHES, FIGURE_INCHES / 2.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    x = sampled_curve(result.data.used_points[:, 0])
    model, errors = result.surface(x), _known(result.uncertainty().band(x))
    low, high = model - BAND_ERRORS * errors, model + BAND_ERRORS * errors
    upper.plot(result.data.used_points[:, 0], result.data.used_heights, ".", color="0.6", label="data", rasterized=True)
    upper.fill_between(x, low, high, color="#56B4E9", alpha=0.6, label=f"model ± {BAND_ERRORS} standard errors")
    upper.plot(x, model, color="#0072B2", linewidth=1)
    upper.set_ylabel(height_name(result.data))
    upper.legend(frameon=False, fontsize="small")
    lower.plot(x, errors, color="#0072B2")
    lower.set_ylim(bottom=0)
    lower.set(xlabel=axis_names(result.data)[0], ylabel=unit_of(result.data))
    lower.set_title(_title(result), fontsize="medium")


def _draw_map(figure: Figure, result: FitResult) -> None:
    panel, canvas, names = figure.subplots(), canvas_of(result.data), axis_names(result.data)
    values = _known(result.uncertainty().band(canvas.points))
    draw_on(panel, canvas, values, style := _style(values))
    if result.n_components <= MAX_ELLIPSES:
        draw_ellipses(panel, result.surface)
    panel.set(xlabel=names[1], ylabel=names[0])
    panel.set_title(_title(result), fontsize="medium")
    width = FIGURE_INCHES / 2
    figure.set_size_inches(width, max(0.75 * width * canvas.ratio + 0.8, 2.5))
    space_ticks(panel, 0.7 * width)
    _add_bar(figure, panel, style, result)


def _draw_slices(figure: Figure, result: FitResult) -> None:
    """The middle slice across each axis of a grid in 3-D."""
    assert result.data.axes is not None
    figure.set_size_inches(FIGURE_INCHES, 0.36 * FIGURE_INCHES)
    panels, names = figure.subplots(1, 3), axis_names(result.data)
    slices = []
    for i, axis in enumerate(result.data.axes):
        j, k = (other for other in range(3) if other != i)
        canvas, middle = grid_canvas(result.data, (j, k)), axis[len(axis) // 2]
        points = np.insert(canvas.points, i, middle, axis=-1)
        slices.append((i, j, k, canvas, _known(result.uncertainty().band(points))))
    style = _style(np.concatenate([values.ravel() for *_, values in slices]))
    for panel, (i, j, k, canvas, values) in zip(panels, slices, strict=True):
        draw_on(panel, canvas, values, style)
        panel.set(xlabel=names[k], ylabel=names[j])
        panel.set_title(f"{names[i]} at {result.data.axes[i][len(result.data.axes[i]) // 2]:.4g}", fontsize="medium")
        space_ticks(panel, 0.22 * FIGURE_INCHES)
    figure.suptitle(_title(result), fontsize="medium")
    _add_bar(figure, panels, style, result)


def _draw_space(figure: Figure, result: FitResult) -> None:
    """Scattered points in 3-D, coloured by the error there."""
    figure.set_size_inches(0.6 * FIGURE_INCHES, 0.5 * FIGURE_INCHES)
    panel, names = figure.subplots(subplot_kw={"projection": "3d"}), axis_names(result.data)
    values = _known(result.uncertainty().band(result.data.all_points))
    draw_scatter(panel, result.data.all_points, values, style := _style(values))
    panel.set(xlabel=names[0], ylabel=names[1], zlabel=names[2])
    panel.set_title(_title(result), fontsize="medium")
    _add_bar(figure, panel, style, result)


def _known(errors: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(errors), errors, np.nan)


def _style(values: np.ndarray) -> Style:
    from matplotlib.colors import Normalize

    known = values[np.isfinite(values)]
    top = float(np.quantile(known, ERROR_QUANTILE)) if known.size else 1.0
    return {"cmap": "cividis", "norm": Normalize(0, top or 1.0)}


def _title(result: FitResult) -> str:
    return f"standard error of the model, K = {result.n_components}"


def _add_bar(figure: Figure, panels: Any, style: Style, result: FitResult) -> None:
    from matplotlib.cm import ScalarMappable

    figure.colorbar(ScalarMappable(**style), ax=panels, extend="max", extendfrac=0.03, label=unit_of(result.data))
