"""How the number of components was chosen, or how the cost fell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._results.criteria import LABELS, decided_by
from .panels import empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._results.criteria import ComponentPath
    from .._results.result import FitResult

# Largest K on a linear axis; above, the small numbers would be crowded together.
MAX_LINEAR_COMPONENTS = 30

# RMSE and errors on a logarithmic axis where the largest is more than so many times the smallest.
LOG_SCALE_RATIO = 5

# Of a fit's history, the columns that are drawn.
HISTORY_LABELS = {"cost": "cost", "optimality": "optimality"}


def plot_path(path: ComponentPath) -> Figure:
    """See `ComponentPath.plot`."""
    figure = empty_figure()
    draw_path(figure, path)
    return figure


def draw_path(figure: Figure, path: ComponentPath) -> None:
    """RMSE, BIC, the error in blocks left out if known, and the criteria against K; the chosen K is marked."""
    shown = ["rmse", "bic"] + ["held_out"] * bool(np.isfinite(path.held_out).any())
    for criterion in (path.criterion, decided_by(path)):
        shown += [criterion] * (criterion not in shown)
    figure.set_size_inches(4.5 * len(shown), 3.4)
    for panel, name in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        _draw(panel, path, name)


def draw_steps_or_path(figure: Figure, result: FitResult) -> None:
    """How the number of components was chosen; where it was given, how cost and optimality fell step by step."""
    if result.path is not None and result.path.chosen >= 0:
        draw_path(figure, result.path)
        return
    cost = np.asarray(result.history.get("cost", ()))
    if not len(cost):
        raise ValueError(
            "`kind`='path' shows how K was chosen or the cost of each step, and this fit has neither: use kind='fit'"
        )
    figure.set_size_inches(9, 3.4)
    for panel, (name, label) in zip(figure.subplots(1, 2), HISTORY_LABELS.items(), strict=True):
        values = np.asarray(result.history[name], float)
        panel.plot(np.arange(1, len(values) + 1), values, ".-", color="tab:blue", markersize=4, linewidth=1)
        panel.set(xlabel="step after growth and search", ylabel=label)
        panel.xaxis.get_major_locator().set_params(integer=True)
        known = values[np.isfinite(values)]
        if known.size and (known > 0).all() and known.max() > LOG_SCALE_RATIO * known.min():
            panel.set_yscale("log")
    figure.suptitle(f"K = {result.n_components}, {result.status.name.lower().replace('_', ' ')}", fontsize="medium")


def _draw(panel: Axes, path: ComponentPath, name: str) -> None:
    values, errors = getattr(path, name), path.held_out_se if name == "held_out" else None
    panel.errorbar(path.n_components, values, errors, fmt=".-", color="tab:blue", markersize=5, linewidth=1, capsize=2)
    here = path.n_components == path.chosen
    by = " by this" if name == decided_by(path) else ""
    panel.plot(path.n_components[here], values[here], "o", color="tab:red", label=f"chosen{by}: K = {path.chosen}")
    panel.axvline(path.chosen, color="tab:red", linewidth=0.8, alpha=0.4)
    panel.set_xlabel("number of components K")
    panel.set_ylabel("least amplitude / its error" if name == "significance" else LABELS[name])
    _scale(panel, path, name)
    panel.legend(frameon=False)


def _scale(panel: Axes, path: ComponentPath, name: str) -> None:
    """Logarithmic axes where values or numbers span a wide range."""
    from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

    values = getattr(path, name)
    if name in ("rmse", "held_out") and (values > 0).all() and values.max() > LOG_SCALE_RATIO * values.min():
        panel.set_yscale("log")
    if path.n_components.max() > MAX_LINEAR_COMPONENTS:
        panel.set_xscale("symlog", linthresh=1)  # since K = 0 is among them
        panel.set_xlim(-0.2, 1.2 * path.n_components.max())
        panel.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.xaxis.set_minor_formatter("")
    else:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
