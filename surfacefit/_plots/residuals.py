"""The plot of residual diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from .._data.noise import robust_deviation
from .panels import empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._statistics.diagnostics import ResidualDiagnostics

# Points of the quantile plot: more cover each other, and make vector files large.
MAX_QUANTILES = 5000

# Robust standard deviations: the histogram's range; residuals beyond, which count as outliers, are in its last bars.
HISTOGRAM_DEVIATIONS = 5.0


def plot_residuals(found: ResidualDiagnostics) -> Figure:
    """Distribution, quantiles and autocorrelation side by side."""
    figure = empty_figure()
    figure.set_size_inches(12, 3.6)
    left, middle, right = figure.subplots(1, 3)
    residuals = found.residuals / (robust_deviation(found.residuals) or float(np.std(found.residuals)) or 1.0)
    grid = np.linspace(-HISTOGRAM_DEVIATIONS, HISTOGRAM_DEVIATIONS, 201)
    left.hist(
        np.clip(residuals, -HISTOGRAM_DEVIATIONS, HISTOGRAM_DEVIATIONS),
        bins=61,
        range=(-HISTOGRAM_DEVIATIONS, HISTOGRAM_DEVIATIONS),
        density=True,
        color="0.7",
    )
    left.plot(grid, norm.pdf(grid), "C0", label="Gaussian")
    left.set(xlabel="residual / its robust standard deviation", ylabel="density", title=f"{found.outliers} outliers")
    left.legend(frameon=False)
    ranks = np.unique(np.linspace(0, len(residuals) - 1, min(MAX_QUANTILES, len(residuals))).astype(int))
    some, expected = np.sort(residuals)[ranks], norm.ppf((ranks + 0.5) / len(residuals))
    middle.plot(expected, some, ".", ms=2, color="C1")
    middle.plot(expected[[0, -1]], expected[[0, -1]], "0.5", lw=1)
    middle.set(xlabel="quantile of a Gaussian", ylabel="quantile of the residuals", title="quantiles")
    right.plot(found.lags, found.autocorrelation, ".-", color="C2")
    right.fill_between(found.lags, -found.chance, found.chance, color="0.85", label="95 % of independent noise")
    right.axhline(0, color="0.5", lw=1)
    runs = f"runs: {found.runs}, {found.runs_z:+.1f} sd of chance" if found.runs else "autocorrelation"
    right.set(xlabel="distance / samples", ylabel="correlation", title=runs)
    right.legend(frameon=False)
    return figure
