"""One dimension: data, model, background and components over the residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._model.gaussian import profile
from .._results.flags import shown_flags
from .canvas import sampled_curve
from .panels import FIGURE_INCHES, FLAG_COLOR, MAX_CURVES, Style, axis_names, height_name, titles, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._model.surface import GaussianSurface
    from .._results.result import FitResult

# Thin, so that many components leave the data visible.
COMPONENT_STYLE: Style = {"color": "C0", "linewidth": 0.8}
# Above the model: a component that stands alone lies exactly on it, and its flag must show.
FLAGGED_STYLE: Style = {"color": FLAG_COLOR, "linewidth": 1.2, "zorder": 4}

# Inches: three parts data over one part residuals, readable at half the page's height.
CURVE_HEIGHT_INCHES = 5

# Diameter of a marker times the number of samples, in points (1/72 inch): markers shrink as samples get denser.
MARKER_POINTS_TIMES_SAMPLES = 2000

# Points (1/72 inch): smaller markers vanish in print.
MIN_MARKER_POINTS = 2

# Points (1/72 inch): larger markers hide the model.
MAX_MARKER_POINTS = 7


def draw_curve(figure: Figure, result: FitResult) -> None:
    """Data, model, background and components over the residuals."""
    figure.set_size_inches(FIGURE_INCHES, CURVE_HEIGHT_INCHES)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    x = result.data.used_points[:, 0]
    fine = sampled_curve(x)
    size = float(np.clip(MARKER_POINTS_TIMES_SAMPLES / len(x), MIN_MARKER_POINTS, MAX_MARKER_POINTS))
    dots: Style = {"marker": ".", "linestyle": "none", "rasterized": True, "markersize": size}
    upper.plot(x, result.data.used_heights, color="0.6", label="data", **dots)
    upper.plot(fine, result.surface(fine), color="C3", linewidth=1.5, label="model", zorder=3)
    if result.n_components <= MAX_CURVES:
        _draw_components(upper, result.surface, fine, shown_flags(result) != 0)
    upper.legend(frameon=False, fontsize="small")
    upper.set_title(titles(result)[1], fontsize="medium")
    lower.plot(x, result.misfits[result.data.used], color="0.4", **dots)
    lower.axhline(0, color="C3", linewidth=1)
    lower.set_title(titles(result)[2], fontsize="medium")
    upper.set_ylabel(height_name(result.data))
    lower.set_ylabel(unit_of(result.data))
    lower.set_xlabel(axis_names(result.data)[0])


def _draw_components(panel: Axes, surface: GaussianSurface, x: np.ndarray, flagged: np.ndarray) -> None:
    """Each component on top of the background, orange where flagged.

    Where components or background are far off the data, the panel keeps the limits that data and model gave it.
    """
    low, high = panel.get_ylim()
    offsets = x - np.asarray(surface.centers, float)
    components = np.asarray(surface.amplitudes, float)[:, None] * profile((offsets / surface.principal_widths) ** 2)
    background = surface(x) - components.sum(axis=0)
    for which, label, style in ((~flagged, "components", COMPONENT_STYLE), (flagged, "flagged", FLAGGED_STYLE)):
        for number, line in enumerate(panel.plot(x, (background + components[which]).T, **style)):
            line.set_label("_" if number else label)
    panel.plot(x, background, color="0.3", linewidth=1, linestyle="--", label="background")
    lowest, highest = panel.get_ylim()
    panel.set_ylim(lowest if lowest > 2 * low - high else low, highest if highest < 2 * high - low else high)
