"""A picture of one quantity over the axes of a batch: points or a curve over one axis, a map over two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import one_of
from .._base.status import Status
from .._data.labels import with_unit
from .._many.batch_result import BatchResult
from .._plots.panels import UNUSED_COLOR, empty_figure, space_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Quantities of each component.
OF_COMPONENTS = ("amplitude", "center", "width", "volume", "flags")
# Quantities of each map.
OF_MAPS = ("status", "rmse", "r2", "bic", "chi2", "cost", "steps", "n_used", "n_components", "background")

# Quantities in the unit of the heights.
OF_HEIGHTS = ("amplitude", "rmse", "background")

# Panels unasked: more make each too small to read on a page.
MAX_PANELS = 12

# Panels in a row: four of them fill the width of a page.
PANELS_A_ROW = 4

# Points (1/72 inch) across a mark of a map that is not joined to others: seen without a line, and small beside others.
POINT_SIZE = 4

# Inches of a panel: four of them fill the width of a notebook's output cell.
PANEL_INCHES = 3.0

# Of the values shown: a few maps that went wrong would wash out the colours of the others.
COLOR_QUANTILES = (0.005, 0.995)


def plot_batch(batch: BatchResult, quantity: str, component: int | None) -> Figure:
    """A figure of one quantity over the axes of the batch; see `BatchResult.plot`."""
    one_of("quantity", quantity, (*OF_COMPONENTS, *OF_MAPS))
    if len(batch.shape) not in (1, 2):
        raise ValueError(f"a plot shows batches of one or two axes, got shape {batch.shape}: index the batch first")
    panels = _panels(batch, quantity, component)
    figure = empty_figure()
    if len(batch.shape) == 1:
        _draw_curves(figure, batch, quantity, panels)
    else:
        _draw_maps(figure, batch, quantity, panels)
    return figure


def _panels(batch: BatchResult, quantity: str, component: int | None) -> list[tuple[str, np.ndarray]]:
    """(title, values over the batch) of each panel."""
    if quantity in OF_MAPS:
        if component is not None:
            raise ValueError(f"`component` must be None for the quantity {quantity!r} of a whole map, got {component}")
        values = np.asarray(getattr(batch, quantity))
        if quantity != "background":
            return [(quantity, values)]
        return [(f"background {i}", values[..., i]) for i in range(values.shape[-1])] or _nothing("background")
    n_components = batch.amplitudes.shape[-1]
    if component is not None and not (isinstance(component, int | np.integer) and 0 <= component < n_components):
        raise ValueError(f"`component` must be None or one of 0 to {n_components - 1}, got {component!r}")
    values = _of_components(batch, quantity)
    chosen = range(n_components) if component is None else [int(component)]
    names = _names(batch, quantity, values.shape[-1])
    panels = [(f"{name} of component {k}", values[..., k, i]) for k in chosen for i, name in enumerate(names)]
    if len(panels) > MAX_PANELS:
        raise ValueError(f"{len(panels)} panels of {quantity!r} are too many for a figure: choose a `component`")
    return panels


def _nothing(what: str) -> Any:
    raise ValueError(f"this batch has no {what} to plot")


def _of_components(batch: BatchResult, quantity: str) -> np.ndarray:
    """Values (..., K, m) of components."""
    if quantity == "center":
        return batch.centers
    if quantity == "width":
        known = np.where(batch.active[..., None, None], batch.covariances, np.eye(batch.centers.shape[-1]))
        widths = np.sqrt(np.linalg.eigvalsh(known))[..., ::-1]
        return np.where(batch.active[..., None], widths, np.nan)
    if quantity == "volume":
        return batch.volumes[..., None]
    return np.asarray(batch.flags if quantity == "flags" else batch.amplitudes)[..., None]


def _draw_curves(figure: Figure, batch: BatchResult, quantity: str, panels: list[tuple[str, np.ndarray]]) -> None:
    positions, (name,) = _positions(batch)
    figure.set_size_inches(3 * PANEL_INCHES, 1.2 * PANEL_INCHES)
    panel = figure.subplots()
    joined = batch.joined or (batch.labels is not None and positions[0].dtype.kind in "iufmM")
    for label, values in panels:
        panel.plot(
            positions[0],
            values,
            ".-" if joined else "o",
            label=label,
            linewidth=1,
            markersize=None if joined else POINT_SIZE,
        )
    panel.set_xlabel(name)
    panel.set_ylabel(_with_unit(batch, quantity))
    if quantity == "status":
        codes = np.unique(batch.status)
        panel.set_yticks(codes, [Status(int(code)).name for code in codes])
    elif len(panels) > 1:
        figure.legend(loc="outside right upper", fontsize="small")


def _draw_maps(figure: Figure, batch: BatchResult, quantity: str, panels: list[tuple[str, np.ndarray]]) -> None:
    n_columns = min(len(panels), PANELS_A_ROW)
    n_rows = -(-len(panels) // n_columns)
    rows, columns = batch.shape
    ratio = float(np.clip(rows / columns, 0.3, 2))
    figure.set_size_inches(PANEL_INCHES * n_columns + 1.0, (PANEL_INCHES * ratio + 0.4) * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for panel in axes.ravel()[len(panels) :]:
        panel.set_axis_off()
    for panel, (title, values) in zip(axes.ravel(), panels, strict=False):
        panel.set_title(title, fontsize="medium")
        _draw_map(figure, panel, batch, quantity, values)
        space_ticks(panel, 0.7 * PANEL_INCHES)
    names = _positions(batch)[1]
    for panel in axes[:, 0]:
        panel.set_ylabel(names[0])
    for panel in axes[-1]:
        panel.set_xlabel(names[1])


def _draw_map(figure: Figure, panel: Axes, batch: BatchResult, quantity: str, values: np.ndarray) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    panel.set_facecolor(UNUSED_COLOR)
    style: dict[str, Any] = {"cmap": "viridis", "origin": "lower", "extent": _extent(batch), "interpolation": "nearest"}
    if _extent(batch)[1] - _extent(batch)[0] <= 0 or batch.labels is not None:
        style["aspect"] = "auto"
    if quantity in ("status", "flags"):
        codes, places = np.unique(values, return_inverse=True)
        colors = ListedColormap([colormaps["tab20"](n % 20) for n in range(len(codes))])
        style |= {"cmap": colors, "norm": BoundaryNorm(np.arange(len(codes) + 1) - 0.5, len(codes))}
        drawn = panel.imshow(places.reshape(values.shape), **style)
        bar = figure.colorbar(drawn, ax=panel, ticks=np.arange(len(codes)))
        bar.ax.set_yticklabels([_code_name(quantity, int(code)) for code in codes], fontsize="small")
        return
    known = np.asarray(values, float)[np.isfinite(np.asarray(values, float))]
    low, high = np.quantile(known, COLOR_QUANTILES) if known.size else (0.0, 1.0)
    drawn = panel.imshow(np.asarray(values, float), vmin=low, vmax=high, **style)
    beyond = "both" if known.size and (known.min() < low or known.max() > high) else None
    figure.colorbar(drawn, ax=panel, extend=beyond, label=_with_unit(batch, quantity))


def _code_name(quantity: str, code: int) -> str:
    return Status(code).name if quantity == "status" else str(code)


def _positions(batch: BatchResult) -> tuple[list[np.ndarray], list[str]]:
    """Positions of the maps along each axis of the batch, and the axes' names with their units."""
    if batch.labels is None:
        return [np.arange(n) for n in batch.shape], [f"map_{n}" for n in range(len(batch.shape))]
    axes = [batch.labels[name] for name in batch.labels.dims]
    names = [with_unit(str(axis.name), str(axis.attrs.get("units", ""))) for axis in axes]
    return [np.asarray(axis.values) for axis in axes], names


def _with_unit(batch: BatchResult, quantity: str) -> str:
    """A quantity with the unit of the heights, where it has that and the maps say so."""
    known = batch.labels is not None and quantity in OF_HEIGHTS
    return with_unit(quantity, str(batch.labels.attrs.get("units", ""))) if known else quantity


def _names(batch: BatchResult, quantity: str, count: int) -> list[str]:
    """The quantity of a component, number by number."""
    own = [] if batch.labels is None else list(batch.labels.attrs.get("axes", ()))
    if quantity == "center" and len(own) == count:
        return [f"center along {name}" for name in own]
    return [f"{quantity}{f' {i}' if count > 1 else ''}" for i in range(count)]


def _extent(batch: BatchResult) -> tuple[float, float, float, float]:
    """Edges of the map: those of the cells around labels that are numbers at even distances, else around indices."""
    edges: list[float] = []
    for positions, n in reversed([*zip(_positions(batch)[0], batch.shape, strict=True)]):
        even = positions.dtype.kind in "iuf" and n > 1 and np.allclose(np.diff(positions), positions[1] - positions[0])
        first, step = (float(positions[0]), float(positions[1] - positions[0])) if even else (0.0, 1.0)
        edges += [first - step / 2, first + (n - 0.5) * step]
    return edges[0], edges[1], edges[2], edges[3]
