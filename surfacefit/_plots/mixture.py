"""Mixtures in one and two dimensions: the density over a histogram, or points under ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import real_array
from .panels import FIGURE_INCHES, MAX_CURVES, MAX_ELLIPSES, draw_ellipses, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._mixture.result import MixtureResult

# Inches: the height of a density's panel.
DENSITY_HEIGHT_INCHES = 4

# Bars of the histogram: fewer show no structure.
MIN_BINS = 10

# Bars of the histogram: more are thinner than a line.
MAX_BINS = 200

# Points of the density's line: about two to a pixel of the figure.
DENSITY_POINTS = 2000

# Of the extent of the points: how far the density is drawn beyond them, to show its tails.
DENSITY_MARGIN = 0.05

# Area of a dot times the number of points, in square points (1/72 inch): dots shrink as points get denser.
DOT_AREA_TIMES_POINTS = 20000

# Square points: smaller dots do not show their colour.
MIN_DOT_AREA = 1

# Square points: larger dots hide their neighbours.
MAX_DOT_AREA = 20

# Times the mean weight: heavier points get no larger dots.
MAX_RELATIVE_WEIGHT = 10

# Colours of the map "tab10", over which components are spread.
N_COLORS = 10


def plot_mixture(mixture: MixtureResult, points: Any = None) -> Figure:
    """The density over a histogram (d = 1), or points under ellipses (d = 2); see `MixtureResult.plot`."""
    if mixture.n_dim > 2:
        raise ValueError(
            f"a plot shows 1 or 2 dimensions, this mixture has {mixture.n_dim}: plot two columns of `means` and of"
            f" the points"
        )
    shown, weights = mixture.points, mixture.point_weights
    if points is not None:
        shown, weights = np.asarray(real_array("points", points), np.float64).reshape(-1, mixture.n_dim), None
    if shown is None:
        raise ValueError("`points` must be given: this mixture does not know what it was fitted to")
    weights = np.ones(len(shown)) if weights is None else weights
    figure = empty_figure()
    if mixture.n_dim == 1:
        _draw_density(figure, mixture, shown[:, 0], weights)
    else:
        _draw_points(figure, mixture, shown, weights)
    return figure


def _draw_density(figure: Figure, mixture: MixtureResult, positions: np.ndarray, weights: np.ndarray) -> None:
    figure.set_size_inches(FIGURE_INCHES, DENSITY_HEIGHT_INCHES)
    panel = figure.subplots()
    bins = int(np.clip(2 * np.sqrt(len(positions)), MIN_BINS, MAX_BINS))
    panel.hist(positions, bins, weights=weights, density=True, color="0.8", label="points")
    margin = DENSITY_MARGIN * np.ptp(positions) or 1.0
    fine = np.linspace(positions.min() - margin, positions.max() + margin, DENSITY_POINTS)
    density = mixture.surface(1.0)
    panel.plot(fine, density(fine), color="C3", linewidth=1.5, label="density", zorder=3)
    if mixture.n_components <= MAX_CURVES:
        lines = panel.plot(
            fine,
            np.stack([density.component(k)(fine) for k in range(mixture.n_components)], 1),
            color="C0",
            linewidth=0.8,
        )
        lines[0].set_label("components")
    panel.set(xlabel="axis 0", ylabel="density")
    panel.legend(frameon=False, fontsize="small")
    panel.set_title(f"K = {mixture.n_components}, log-likelihood {mixture.log_likelihood:.6g}", fontsize="medium")


def _draw_points(figure: Figure, mixture: MixtureResult, points: np.ndarray, weights: np.ndarray) -> None:
    figure.set_size_inches(0.6 * FIGURE_INCHES, 0.5 * FIGURE_INCHES)
    panel = figure.subplots()
    sizes = np.clip(DOT_AREA_TIMES_POINTS / len(points), MIN_DOT_AREA, MAX_DOT_AREA)
    sizes = sizes * np.minimum(weights / weights.mean(), MAX_RELATIVE_WEIGHT)
    panel.scatter(
        points[:, 1],
        points[:, 0],
        c=mixture.predict(points) % N_COLORS,
        s=sizes,
        cmap="tab10",
        vmin=0,
        vmax=N_COLORS - 1,
        rasterized=True,
    )
    if mixture.n_components <= MAX_ELLIPSES:
        draw_ellipses(panel, mixture.surface(1.0))
    panel.set(xlabel="axis 1", ylabel="axis 0")
    panel.set_title(f"K = {mixture.n_components}, log-likelihood {mixture.log_likelihood:.6g}", fontsize="medium")
