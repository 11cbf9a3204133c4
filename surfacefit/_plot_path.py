"""The picture of how the number of components was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._criteria import LABELS
from ._plot import empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ._criteria import ComponentPath


def plot_path(path: ComponentPath) -> Figure:
    """RMSE and the criterion against the number of components; the chosen one is marked."""
    figure = empty_figure()
    from matplotlib.ticker import LogLocator, MaxNLocator

    figure.set_size_inches(9, 3.4)
    shown = ["rmse"] + [path.criterion] * (path.criterion != "rmse")
    for panel, name in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        values = getattr(path, name)
        bars = path.held_out_se if name == "held_out" else None
        panel.errorbar(path.n_components, values, bars, fmt=".-", color="tab:blue", markersize=5, linewidth=1, capsize=2)
        here = path.n_components == path.chosen
        panel.plot(path.n_components[here], values[here], "o", color="tab:red", label=f"chosen: K = {path.chosen}")
        panel.axvline(path.chosen, color="tab:red", linewidth=0.8, alpha=0.4)
        panel.set_xlabel("number of components K")
        panel.set_ylabel(LABELS[name])
        if name in ("rmse", "held_out") and (values > 0).all() and values.max() > 5 * values.min():
            panel.set_yscale("log")
        if path.n_components.max() > 30:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:.0f}")
            panel.xaxis.set_minor_formatter("")
        else:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend(frameon=False)
    return figure
