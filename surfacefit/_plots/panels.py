"""What the figures share: empty figures, scales, titles, images, ellipses.

Figures are made without pyplot: nothing is registered, no backend is chosen, and a notebook shows each figure once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from .._data.labels import with_unit
from .._data.noise import outlying
from .._losses import ROBUST
from .._periodic.host_images import HostImages
from .._results.flags import listed, shown_flags

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._data.data import SurfaceData
    from .._model.surface import GaussianSurface
    from .._results.result import FitResult

Style = dict[str, Any]

# Ellipses drawn unasked: more cover the map that they stand on.
MAX_ELLIPSES = 300

# Curves of single components: more cannot be told apart.
MAX_CURVES = 50

# Inches: the width of a notebook's output cell.
FIGURE_INCHES = 12.0

# Light gray: neither in the colours of heights nor in those of residuals.
UNUSED_COLOR = "0.85"

# In no colour map used here.
FLAG_COLOR = "orange"

# Names of the axes of a grid that has neither names nor coordinates, in one and two dimensions.
INDEX_NAMES = (("index",), ("row", "column"))

# Inches: the width of a digit in the numbers at ticks, of 10 points (1/72 inch).
CHARACTER_INCHES = 0.09

# Powers of ten between which coordinates are written in full: those of maps in metres, and of scans in millimetres.
PLAIN_POWERS = (-4, 9)

# Characters between two numbers at ticks: less looks like one number.
TICK_GAP_CHARACTERS = 2

# Ticks along an axis of a flat panel: what three panels side by side have room for.
MAX_TICKS_2D = 6

# Components above which ellipses come close to each other, and their lines are thin.
THIN_LINE_COMPONENTS = 30

# Width of an ellipse's line, in points (1/72 inch).
LINE_POINTS = 1.2

# Width of the line of an ellipse among many, in points (1/72 inch).
THIN_LINE_POINTS = 0.7

# Share of residuals within the colour scale: a few outliers would wash out the rest.
RESIDUAL_QUANTILE = 0.995

# Of a cell: an image with even cells is drawn where no edge is off by more; else the slower mesh of cells.
EVEN_TOLERANCE = 0.25

# Steps along both axes are alike within this ratio, and the axes then share one scale.
EQUAL_STEPS_RATIO = 1.25

# Height over width, or width over height, beyond which a panel with equal scales would get too thin.
MAX_EQUAL_RATIO = 6

# Height over width of a panel with equal scales: a lower one has no room for ticks.
MIN_PANEL_RATIO = 0.2

# Height over width of a panel with equal scales: a higher one does not fit on a page.
MAX_PANEL_RATIO = 1.6

# Of the width of a figure: each of three panels beside two colour bars.
PANEL_SHARE = 0.25

# Height over width of a panel whose axes have scales of their own.
FREE_PANEL_RATIO = 0.8


def empty_figure() -> Figure:
    """A figure that IPython shows as PNG, whether or not matplotlib was set up there."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a plot needs matplotlib: pip install surfacefit[plot]") from error
    figure = Figure(layout="compressed")
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def draw_ellipses(panel: Axes, surface: GaussianSurface, flagged: np.ndarray | None = None) -> None:
    """The 1-sigma ellipse of each component; x is the second axis, y the first.

    Dashed where the amplitude is negative, orange where ``flagged`` (K,). Along periodic axes those of images that the
    panel shows are there, too.
    """
    from matplotlib.collections import EllipseCollection
    from matplotlib.patheffects import withStroke

    width = LINE_POINTS if surface.n_components <= THIN_LINE_COMPONENTS else THIN_LINE_POINTS
    count = 0 if flagged is None else np.count_nonzero(flagged)
    surface, flagged = _with_images(panel, surface, flagged)
    major, minor = 2 * surface.principal_widths.T
    panel.add_collection(
        EllipseCollection(
            major,
            minor,
            np.rad2deg(surface.orientation),
            units="xy",
            offsets=np.asarray(surface.centers)[:, ::-1],
            offset_transform=panel.transData,
            facecolors="none",
            edgecolors="white" if flagged is None else list(np.where(flagged, FLAG_COLOR, "white")),
            linewidths=width,
            linestyles=["--" if amplitude < 0 else "-" for amplitude in np.asarray(surface.amplitudes)],
            path_effects=[withStroke(linewidth=2 * width, foreground="black", alpha=0.4)],
        ),
        autolim=False,
    )
    if count:
        panel.annotate(
            f"{count} flagged",
            (0.02, 0.02),
            xycoords="axes fraction",
            color=FLAG_COLOR,
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )


def _with_images(
    panel: Axes, surface: GaussianSurface, flagged: np.ndarray | None
) -> tuple[GaussianSurface, np.ndarray | None]:
    """Components and their images whose ellipses the panel shows, as a surface of open axes, and their flags."""
    if surface.periods is None:
        return surface, flagged
    ends = np.sort(np.array([panel.get_ylim(), panel.get_xlim()]), axis=1).T
    deviations = np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))
    images = HostImages.reaching(np.asarray(surface.centers), deviations, surface.periods, *ends)
    arrays = {name: np.asarray(getattr(surface, name))[images.owners] for name in ("amplitudes", "covariances")}
    shown = replace(surface, centers=images.centers, periods=None, **arrays)
    return shown, None if flagged is None else flagged[images.owners]


def draw_image(panel: Axes, edges: list[np.ndarray], values: np.ndarray, style: Style) -> None:
    """Values (rows, columns) between the edges of their cells, the first row at the bottom."""
    rows, columns = edges
    panel.set_facecolor(UNUSED_COLOR)
    if all(_are_even(edge) for edge in edges):
        panel.imshow(values, origin="lower", extent=(columns[0], columns[-1], rows[0], rows[-1]), **style)
    else:
        panel.pcolormesh(columns, rows, values, rasterized=True, **style)


def _are_even(edges: np.ndarray) -> bool:
    even = np.linspace(edges[0], edges[-1], len(edges))
    return bool(abs(edges - even).max() <= EVEN_TOLERANCE * (even[1] - even[0]))


def label_panels(panels: Any, names: list[str], texts: list[str]) -> None:
    """Titles of data, model and residual, and the names of the (vertical, horizontal) axes."""
    panels[0].set_ylabel(names[0])
    for panel, text in zip(panels, texts, strict=True):
        panel.set_title(text, fontsize="medium")
        panel.set_xlabel(names[1])


def titles(result: FitResult) -> list[str]:
    """Of data, model and residual."""
    return ["data", f"model, K = {result.n_components}", f"residual, RMSE {result.rmse:.3g}"]


def flagged_components(result: FitResult) -> list[str]:
    """One text that names the flagged components, or none."""
    which = np.flatnonzero(shown_flags(result))
    return [f"flagged: {listed(which)}"] if len(which) else []


def finish(figure: Figure, panels: Any, result: FitResult, ratio: float) -> None:
    """One colour bar for data and model, one for the residual, the size of the figure, and ticks that have room.

    ``ratio`` is the height of all rows over the width of a panel.
    """
    from matplotlib.cm import ScalarMappable

    heights, _, residual = color_scales(result)
    aspect, width = 20 * len(panels), FIGURE_INCHES if len(panels) == 1 else 0.8 * FIGURE_INCHES
    both: Style = {"extend": "both", "extendfrac": 0.03}
    figure.colorbar(ScalarMappable(**heights), ax=panels[:, :2], aspect=aspect, label=height_name(result.data))
    figure.colorbar(ScalarMappable(**residual), ax=panels[:, 2], aspect=aspect, label=unit_of(result.data), **both)
    figure.set_size_inches(width, float(max(PANEL_SHARE * width * ratio + 0.8 * len(panels), 2.5)))
    for panel in panels.ravel():
        if panel.name != "3d":
            space_ticks(panel, PANEL_SHARE * width)


def data_model_residual(result: FitResult) -> list[np.ndarray]:
    """Three arrays in the shape of the data; data and residual are NaN where a point was not used."""
    return [np.where(result.data.used, result.data.heights, np.nan), result.fitted, result.misfits]


def color_scales(result: FitResult) -> list[Style]:
    """Colours of data, model and residual."""
    from matplotlib.colors import Normalize

    heights, residuals = result.data.used_heights.astype(float), result.misfits[result.data.used]
    if result.settings.loss in ROBUST:  # the fit ignores outliers, and so do its colours
        inliers = ~outlying(residuals * result.data.weights)
        heights, residuals = heights[inliers], residuals[inliers]
    low, high = heights.min(), heights.max()
    pad = 0.0 if high > low else 0.5 * abs(low) or 0.5
    limit = np.quantile(abs(residuals), RESIDUAL_QUANTILE) or abs(residuals).max() or 1.0
    shared: Style = {"cmap": "viridis", "norm": Normalize(low - pad, high + pad)}
    return [shared, shared, {"cmap": "RdBu_r", "norm": Normalize(-limit, limit)}]


def has_index_axes(data: SurfaceData) -> bool:
    """Whether the data are a grid with coordinates 0, 1, 2, ... along each axis."""
    return data.axes is not None and all(np.array_equal(axis, np.arange(len(axis))) for axis in data.axes)


def axis_names(data: SurfaceData) -> list[str]:
    """What the axes are called, with their units, as the data say; else "row" and "column", or "axis 0", ..."""
    indexed = has_index_axes(data)
    if data.labels is not None:
        units = [unit or "index" * indexed for unit in data.labels.units]
        return [with_unit(name, unit) for name, unit in zip(data.labels.dims, units, strict=True)]
    if indexed and data.n_dim <= len(INDEX_NAMES):
        return list(INDEX_NAMES[data.n_dim - 1])
    return [f"axis {i}" for i in range(data.n_dim)]


def height_name(data: SurfaceData) -> str:
    """What the heights are called, with their unit; "" where the data do not say."""
    return "" if data.labels is None else with_unit(data.labels.name, data.labels.unit)


def unit_of(data: SurfaceData) -> str:
    """The unit of the heights in brackets, to stand behind another name; "" where the data do not say."""
    return "" if data.labels is None else with_unit("", data.labels.unit)


def plain_ticks(panel: Axes) -> None:
    """Coordinates in full, such as 4132000, without an offset or a power of ten beside the axis."""
    panel.ticklabel_format(axis="both", useOffset=False, scilimits=PLAIN_POWERS)


def space_ticks(panel: Axes, inches: float) -> None:
    """So many ticks along x, of a panel of this width, that their numbers do not touch."""
    plain_ticks(panel)
    axis = panel.xaxis
    for count in range(MAX_TICKS_2D, 0, -1):
        panel.locator_params(axis="x", nbins=count)
        written = axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs()))
        if sum(len(text) + TICK_GAP_CHARACTERS for text in written) * CHARACTER_INCHES <= inches:
            break


def panel_aspect(edges: list[np.ndarray], steps: np.ndarray) -> tuple[str, float]:
    """Matplotlib's aspect, and height over width of a panel.

    Scales are equal where the steps along both axes are alike and the panel would not get too thin.
    """
    height, width = (edge[-1] - edge[0] for edge in edges)
    thin = max(height, width) > MAX_EQUAL_RATIO * min(height, width)
    if max(steps) > EQUAL_STEPS_RATIO * min(steps) or thin:
        return "auto", FREE_PANEL_RATIO
    return "equal", float(np.clip(height / width, MIN_PANEL_RATIO, MAX_PANEL_RATIO))
