"""Pictures of a result: data, model and residual side by side, for one, two and three dimensions.

Figures are made without pyplot: nothing is registered, no backend is chosen, and a notebook shows them once.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from .._data.noise import outlying
from .._losses import ROBUST
from .._model.gaussian import profile
from .flags import listed, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._model.surface import GaussianSurface
    from .result import FitResult

MOST_ELLIPSES = 300
MOST_CURVES = 50
UNUSED = "0.85"
WIDTH = 12.0
FLAGGED = "orange"

Look = dict[str, Any]
COMPONENT: Look = {"color": "C0", "linewidth": 0.8}
FLAGGED_COMPONENT: Look = {"color": FLAGGED, "linewidth": 1.2, "zorder": 4}  # a lone one would lie under the model


def plot_result(result: FitResult, ellipses: bool | None = None) -> Figure:
    """Data, model and residual of a result; see `FitResult.plot`.

    A grid counted 0, 1, 2, ... along each axis is drawn as an image is, rows downwards; with other coordinates, and
    for scattered points, the first axis points upwards. Data and model share a scale, that of the heights used; the
    residual's ends at the 99.5 % quantile of its size; for a robust loss without the outliers. Places not used are
    gray in data and residual.
    """
    n_dim, scattered = result.data.n_dim, result.data.axes is None
    if n_dim > 3:
        raise ValueError(
            f"a plot shows 1 to 3 dimensions, this fit has {n_dim}: use `result.residuals` and `result.predict()`"
        )
    figure = empty_figure()
    if n_dim == 1:
        _draw_curve(figure, result)
    elif n_dim == 2:
        model_panel = _draw_points(figure, result) if scattered else _draw_map(figure, result)
        if result.n_components <= MOST_ELLIPSES if ellipses is None else ellipses:
            draw_ellipses(model_panel, result.surface, shown(result) != 0)
    elif scattered:
        _draw_cloud(figure, result)
    else:
        _draw_slices(figure, result)
    return figure


def empty_figure() -> Figure:
    """A figure that IPython shows as PNG, whether or not anything has set up matplotlib there."""
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


def _draw_curve(figure: Figure, result: FitResult) -> None:
    """Data, model, background and components over the residuals."""
    figure.set_size_inches(WIDTH, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    x = result.data.used_points[:, 0]
    fine = np.linspace(x.min(), x.max(), int(np.clip(4 * len(x), 1000, 20000)))
    dots: Look = {
        "marker": ".",
        "linestyle": "none",
        "rasterized": True,
        "markersize": float(np.clip(2000 / len(x), 2, 7)),
    }
    upper.plot(x, result.data.used_heights, color="0.6", label="data", **dots)
    upper.plot(fine, result.surface(fine), color="C3", linewidth=1.5, label="model", zorder=3)
    if result.n_components <= MOST_CURVES:
        _draw_components(upper, result.surface, fine, shown(result) != 0)
    upper.legend(frameon=False, fontsize="small")
    upper.set_title(_titles(result)[1], fontsize="medium")
    lower.plot(x, result.residuals[result.data.used], color="0.4", **dots)
    lower.axhline(0, color="C3", linewidth=1)
    lower.set_title(_titles(result)[2], fontsize="medium")
    lower.set_xlabel("index" if _is_image(result) else "axis 0")


def _draw_components(panel: Axes, surface: GaussianSurface, x: np.ndarray, flagged: np.ndarray) -> None:
    """Each component on the background, orange where flagged; where these are far off, the panel keeps to what it shows
    already.
    """
    low, high = panel.get_ylim()
    offsets = x - np.asarray(surface.centers, float)
    components = np.asarray(surface.amplitudes, float)[:, None] * profile((offsets / surface.principal_widths) ** 2)
    background = surface(x) - components.sum(axis=0)
    for which, label, look in ((~flagged, "components", COMPONENT), (flagged, "flagged", FLAGGED_COMPONENT)):
        for number, line in enumerate(panel.plot(x, (background + components[which]).T, **look)):
            line.set_label("_" if number else label)
    panel.plot(x, background, color="0.3", linewidth=1, linestyle="--", label="background")
    lowest, highest = panel.get_ylim()
    panel.set_ylim(lowest if lowest > 2 * low - high else low, highest if highest < 2 * high - low else high)


def _draw_map(figure: Figure, result: FitResult) -> Axes:
    """Three images of a grid in 2-D; gives back the model's panel."""
    panels = figure.subplots(1, 3, sharex=True, sharey=True, squeeze=False)
    ratio = _draw_images(panels[0], result, (0, 1), _three(result))
    _label(panels[0], ("row", "column") if _is_image(result) else ("axis 0", "axis 1"), _titles(result))
    _finish(figure, panels, result, ratio)
    return panels[0, 1]


def _draw_slices(figure: Figure, result: FitResult) -> None:
    """The middle slice across each axis of a grid in 3-D, one row an axis."""
    assert result.data.axes is not None
    panels = figure.subplots(3, 3, sharex="row", sharey="row", squeeze=False)
    three, ratio = _three(result), 0.0
    for i, (row, axis) in enumerate(zip(panels, result.data.axes, strict=True)):
        j, k = (other for other in range(3) if other != i)
        middle = len(axis) // 2
        ratio += _draw_images(row, result, (j, k), [values.take(middle, axis=i) for values in three])
        _label(row, (f"axis {j}", f"axis {k}"), [f"data, axis {i} at {axis[middle]:.4g}", "model", "residual"])
    _, model, residual = _titles(result)
    figure.suptitle("; ".join([model, residual, *_flagged(result)]), fontsize="medium")
    _finish(figure, panels, result, ratio)


def _draw_images(panels: Any, result: FitResult, shown: tuple[int, int], three: list[np.ndarray]) -> float:
    """Data, model and residual over two axes of a grid; gives back the height of a panel over its width."""
    assert result.data.axes is not None
    steps = result.data.spacing[list(shown)]
    edges = [_edges(result.data.axes[j], step) for j, step in zip(shown, steps, strict=True)]
    aspect, ratio = _aspect(edges, steps)
    for panel, values, look in zip(panels, three, _looks(result), strict=True):
        _image(panel, edges, values, look)
        panel.set_aspect(aspect)
        panel.locator_params(nbins=6, min_n_ticks=1, integer=_is_image(result))
        if _is_image(result):
            panel.set_ylim(edges[0][-1], edges[0][0])
    return ratio


def _draw_points(figure: Figure, result: FitResult) -> Axes:
    """Scattered data and residual in 2-D as coloured points, the model over their box; gives back the model's panel."""
    panels = figure.subplots(1, 3, sharex=True, sharey=True, squeeze=False)
    points = result.data.all_points
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.03 * (high - low), 0.5 * result.data.spacing)
    edges = [np.linspace(a, b, 201) for a, b in zip(low - margin, high + margin, strict=True)]
    aspect, ratio = _aspect(edges, high - low)
    middles = np.meshgrid(*(edge[1:] / 2 + edge[:-1] / 2 for edge in edges), indexing="ij")
    data, _, residual = _three(result)
    heights_look, _, residual_look = _looks(result)
    _image(panels[0, 1], edges, result.surface(np.stack(middles, axis=-1)), heights_look)
    _scatter(panels[0, 0], points[:, ::-1], data, heights_look)
    _scatter(panels[0, 2], points[:, ::-1], residual, residual_look)
    for panel in panels[0]:
        panel.set_aspect(aspect)
        panel.locator_params(nbins=6)
    _label(panels[0], ("axis 0", "axis 1"), _titles(result))
    _finish(figure, panels, result, ratio)
    return panels[0, 1]


def _draw_cloud(figure: Figure, result: FitResult) -> None:
    """Scattered data in 3-D: the points in space, coloured by data, model and residual."""
    panels = figure.subplots(1, 3, squeeze=False, subplot_kw={"projection": "3d"})
    for panel, values, look in zip(panels[0], _three(result), _looks(result), strict=True):
        _scatter(panel, result.data.all_points, values, look)
        panel.set(ylabel="axis 1", zlabel="axis 2")
        panel.set_facecolor("none")
        panel.set_box_aspect(None, zoom=0.8)
        panel.locator_params(nbins=5)
    _label(panels[0], ("axis 1", "axis 0"), _titles(result))
    figure.suptitle("".join(_flagged(result)), fontsize="medium")
    _finish(figure, panels, result, 1.0)


def draw_ellipses(panel: Axes, surface: GaussianSurface, flagged: np.ndarray | None = None) -> None:
    """The 1-sigma ellipse of each component, dashed where it is negative, orange where flagged; x is the second axis, y
    the first.
    """
    from matplotlib.collections import EllipseCollection
    from matplotlib.patheffects import withStroke

    width = 1.2 if surface.n_components <= 30 else 0.7
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
            edgecolors="white" if flagged is None else list(np.where(flagged, FLAGGED, "white")),
            linewidths=width,
            linestyles=["--" if amplitude < 0 else "-" for amplitude in np.asarray(surface.amplitudes)],
            path_effects=[withStroke(linewidth=2 * width, foreground="black", alpha=0.4)],
        ),
        autolim=False,
    )
    if flagged is not None and flagged.any():
        text = f"{np.count_nonzero(flagged)} flagged"
        panel.annotate(
            text,
            (0.02, 0.02),
            xycoords="axes fraction",
            color=FLAGGED,
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )


def _image(panel: Axes, edges: list[np.ndarray], values: np.ndarray, look: Look) -> None:
    """Values (rows, columns) between the edges of their cells, the first row at the bottom."""
    rows, columns = edges
    panel.set_facecolor(UNUSED)
    if all(_even(edge) for edge in edges):
        panel.imshow(values, origin="lower", extent=(columns[0], columns[-1], rows[0], rows[-1]), **look)
    else:
        panel.pcolormesh(columns, rows, values, rasterized=True, **look)


def _scatter(panel: Any, points: np.ndarray, values: np.ndarray, look: Look) -> None:
    """Points (N, d) coloured by values, gray crosses where these are NaN."""
    used, size = np.isfinite(values), float(np.clip(5000 / len(values), 3, 40))
    if not used.all():  # in 3-D, no points at all would stretch the panel to the origin
        panel.scatter(*points[~used].T, color="0.7", marker="x", s=size, linewidths=1, rasterized=True)
    panel.scatter(*points[used].T, c=values[used], s=size, edgecolors="0.4", linewidths=0.3, rasterized=True, **look)


def _label(panels: Any, names: tuple[str, str], titles: list[str]) -> None:
    """Titles of data, model and residual, and the names of the (vertical, horizontal) axes."""
    panels[0].set_ylabel(names[0])
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize="medium")
        panel.set_xlabel(names[1])


def _titles(result: FitResult) -> list[str]:
    return ["data", f"model, K = {result.n_components}", f"residual, RMSE {result.rmse:.3g}"]


def _flagged(result: FitResult) -> list[str]:
    which = np.flatnonzero(shown(result))
    return [f"flagged: {listed(which)}"] if len(which) else []


def _finish(figure: Figure, panels: Any, result: FitResult, ratio: float) -> None:
    """One colorbar for data and model, one for the residual, and a size that fits ``ratio``, all rows' height over
    width.
    """
    from matplotlib.cm import ScalarMappable

    heights, _, residual = _looks(result)
    aspect, width = 20 * len(panels), WIDTH if len(panels) == 1 else 0.8 * WIDTH
    figure.colorbar(ScalarMappable(**heights), ax=panels[:, :2], aspect=aspect)
    figure.colorbar(ScalarMappable(**residual), ax=panels[:, 2], aspect=aspect, extend="both", extendfrac=0.03)
    figure.set_size_inches(width, float(max(0.27 * width * ratio + 0.8 * len(panels), 2.5)))


def _three(result: FitResult) -> list[np.ndarray]:
    """Data, model and residual, NaN where a point was not used."""
    return [np.where(result.data.used, result.data.heights, np.nan), result.predict(), result.residuals]


def _looks(result: FitResult) -> list[Look]:
    """Colours of data, model and residual."""
    from matplotlib.colors import Normalize

    heights, residuals = result.data.used_heights.astype(float), result.residuals[result.data.used]
    if result.settings.loss in ROBUST:  # colours are for what the fit is about
        inliers = ~outlying(residuals * result.data.weights)
        heights, residuals = heights[inliers], residuals[inliers]
    low, high = heights.min(), heights.max()
    pad = 0.0 if high > low else 0.5 * abs(low) or 0.5
    limit = np.quantile(abs(residuals), 0.995) or abs(residuals).max() or 1.0
    shared: Look = {"cmap": "viridis", "norm": Normalize(low - pad, high + pad)}
    return [shared, shared, {"cmap": "RdBu_r", "norm": Normalize(-limit, limit)}]


def _is_image(result: FitResult) -> bool:
    """Whether the axes of a grid count 0, 1, 2, ..."""
    axes = result.data.axes
    return axes is not None and all(np.array_equal(axis, np.arange(len(axis))) for axis in axes)


def _edges(axis: np.ndarray, step: float) -> np.ndarray:
    """Edges (n + 1,) of the cells around positions (n,)."""
    if len(axis) == 1:
        return axis + step * np.array([-0.5, 0.5])
    inner = axis[1:] / 2 + axis[:-1] / 2
    return np.concatenate([[2 * axis[0] - inner[0]], inner, [2 * axis[-1] - inner[-1]]])


def _even(edges: np.ndarray) -> bool:
    """Whether an image with even cells is off by less than a quarter of one."""
    even = np.linspace(edges[0], edges[-1], len(edges))
    return bool(abs(edges - even).max() <= 0.25 * (even[1] - even[0]))


def _aspect(edges: list[np.ndarray], steps: np.ndarray) -> tuple[str, float]:
    """Equal scales where the steps along both axes are alike and the panel gets not too thin; and height over width."""
    height, width = (edge[-1] - edge[0] for edge in edges)
    alike = max(steps) <= 1.25 * min(steps) and max(height, width) <= 6 * min(height, width)
    return ("equal", float(np.clip(height / width, 0.2, 1.6))) if alike else ("auto", 0.8)
