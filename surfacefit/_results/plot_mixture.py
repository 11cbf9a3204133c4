"""Views of a mixture: its functions at points, a table, and pictures for one and two dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._base.checks import finite, real_array
from .._base.compile import quick_jit
from .._base.layout import COARSE, Summary, number, positions
from .._mixture.cloud import packed, to_device
from .._model.surface import with_last_axis
from .plot import MOST_CURVES, MOST_ELLIPSES, WIDTH, draw_ellipses, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._mixture.result import MixtureResult


def evaluated(mixture: MixtureResult, function: Callable[..., Any], points: Any) -> np.ndarray:
    """A pure function of points (n, d) and a mixture, (..., n), at a user's points (..., d), in float64 and in
    chunks.
    """
    given = with_last_axis(np.asarray(real_array("points", points), np.float64), mixture.n_dim)
    flat = finite("points", given.reshape(-1, mixture.n_dim))
    if len(flat) == 0:
        raise ValueError(f"`points` must not be empty, got shape {np.shape(points)}")
    with jax.enable_x64(True):
        cloud = packed(flat, np.ones(len(flat)), mixture.n_components, np.float64)
        parts = to_device(mixture.weights, mixture.means, mixture.covariances, np.float64)
        values = np.concatenate([np.asarray(_compiled(function)(chunk, parts)) for chunk in cloud.points], axis=-1)
    return values[..., : len(flat)].reshape(values.shape[:-1] + given.shape[:-1])


_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return _COMPILED.setdefault(function, quick_jit(function))


def summary(mixture: MixtureResult, n_rows: int = 10) -> Summary:
    """Facts, then the components of largest weight."""
    hidden = mixture.n_components - n_rows
    rest = f"... and {hidden} lighter components" if hidden > 0 else ""
    title = f"surfacefit: mixture of {mixture.n_components} Gaussians in {mixture.n_dim}-D"
    return Summary(title, _facts(mixture), *_components(mixture, n_rows), rest)


def _facts(mixture: MixtureResult) -> list[tuple[str, str]]:
    return [
        ("status", f"{'ok' if mixture.converged else 'NOT CONVERGED'}: {mixture.message}"),
        ("log-likelihood", number(mixture.log_likelihood)),
        ("AIC, BIC", f"{number(mixture.aic)}, {number(mixture.bic)}"),
        ("total weight", number(mixture.total_weight)),
        ("parameters", f"{mixture.n_parameters} ({mixture.covariance_type} covariances)"),
        ("steps", str(mixture.steps)),
    ]


def _components(mixture: MixtureResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    order = np.argsort(-mixture.weights, kind="stable")[:n_rows]
    axes = range(mixture.n_dim)
    header = ["", "weight", *(f"mean{i}" for i in axes), *(f"width{i}" for i in axes)]
    surface = mixture.surface(1.0)
    along = np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))[order]
    columns = [
        [str(k) for k in order],
        [number(weight) for weight in mixture.weights[order]],
        *(positions(mixture.means[order, i], COARSE * along[:, i]) for i in axes),
        *([number(width) for width in surface.principal_widths[order, i]] for i in axes),
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]


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
        _draw_cloud(figure, mixture, shown, weights)
    return figure


def _draw_density(figure: Figure, mixture: MixtureResult, positions: np.ndarray, weights: np.ndarray) -> None:
    figure.set_size_inches(WIDTH, 4)
    panel = figure.subplots()
    bins = int(np.clip(2 * np.sqrt(len(positions)), 10, 200))
    panel.hist(positions, bins, weights=weights, density=True, color="0.8", label="points")
    margin = 0.05 * np.ptp(positions) or 1.0
    fine = np.linspace(positions.min() - margin, positions.max() + margin, 2000)
    density = mixture.surface(1.0)
    panel.plot(fine, density(fine), color="C3", linewidth=1.5, label="density", zorder=3)
    if mixture.n_components <= MOST_CURVES:
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


def _draw_cloud(figure: Figure, mixture: MixtureResult, points: np.ndarray, weights: np.ndarray) -> None:
    figure.set_size_inches(0.6 * WIDTH, 0.5 * WIDTH)
    panel = figure.subplots()
    sizes = np.clip(20000 / len(points), 1, 20) * np.minimum(weights / weights.mean(), 10)
    panel.scatter(
        points[:, 1],
        points[:, 0],
        c=mixture.predict(points) % 10,
        s=sizes,
        cmap="tab10",
        vmin=0,
        vmax=9,
        rasterized=True,
    )
    if mixture.n_components <= MOST_ELLIPSES:
        draw_ellipses(panel, mixture.surface(1.0))
    panel.set(xlabel="axis 1", ylabel="axis 0")
    panel.set_title(f"K = {mixture.n_components}, log-likelihood {mixture.log_likelihood:.6g}", fontsize="medium")
