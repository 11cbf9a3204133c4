"""What `fit_channels` returns: shared places and shapes, amplitudes by channel, errors, a table, a picture, files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import count, one_of, yes_or_no
from .._base.status import STATUS, Status
from .._model.background import NoBackground
from .._model.surface import GaussianSurface
from .._problem.prepared import definite
from .._solvers import Record, Solution
from .record import ChannelNumbers
from .setup import PreparedChannels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .errors import ChannelErrors


@dataclass(frozen=True, eq=False)
class ChannelResult(ChannelNumbers):
    """K Gaussians in C channels: f_c(x) = b_c(x) + sum_k a_kc exp(-(x - c_k)^T Sigma_k^-1 (x - c_k) / 2).

    All numbers are in the user's units, and components stand in the order of their volumes over all channels, or in
    that of a start that was given.

    Attributes
    ----------
    amplitudes : (K, C) a_kc, in the units of each channel's heights.
    centers : (K, d) c_k.
    covariances : (K, d, d) Sigma_k.
    backgrounds : C background objects, or None for each channel without one.
    maps : the data of the channels; ``maps.channels[c]`` has ``heights``, ``used`` and ``sigma``.
    model : what was fitted.
    cost : half the weighted sum of squares over all channels.
    status, steps : a `Status` code, and the number of joint steps.
    history : the cost (steps,) after each of them.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:30, :40]
    >>> hill = np.exp(-((y - 12) ** 2 + (x - 25) ** 2) / 32)
    >>> result = sf.fit_channels(np.stack([hill, -hill], axis=-1), 1, amplitudes="signed")
    >>> result.n_channels, result.amplitudes.round(6) + 0.0
    (2, array([[ 1., -1.]]))
    """

    @property
    def message(self) -> str:
        """Why the fit ended."""
        return STATUS[self.status].message

    @cached_property
    def rmse(self) -> np.ndarray:
        """Root mean square (C,) of each channel's residuals over the heights that it uses."""
        return np.array([float(np.sqrt(np.nanmean(self.residual(c) ** 2))) for c in range(self.n_channels)])

    @cached_property
    def standard_errors(self) -> ChannelErrors:
        """Standard errors of all numbers, from J^T J of all channels: infinite where the data do not determine one."""
        from .errors import channel_errors

        return channel_errors(self)

    def surface(self, channel: int) -> GaussianSurface:
        """The surface of one channel, 0 ... C - 1: its amplitudes and background on the shared places and shapes."""
        c = count("channel", channel, 0, self.n_channels - 1)
        return GaussianSurface(self.amplitudes[:, c], self.centers, self.covariances, self.backgrounds[c])

    def residual(self, channel: int) -> np.ndarray:
        """Heights less the surface of a channel, in the shape of the map; NaN where a height is not used."""
        surface, data = self.surface(channel), self.maps.channels[channel]
        fitted = np.asarray(surface(data.all_points)).reshape(data.heights.shape)
        return np.asarray(data.turned(np.where(data.used, data.heights - fitted, np.nan)))

    def summary(self, n_rows: int = 10) -> str:
        """A table to print: the fit in a few lines, then the ``n_rows`` components of largest volume."""
        from .report import summary

        return summary(self, count("n_rows", n_rows, 0)).text()

    def table(self, kind: str | None = None, *, errors: bool = True) -> Any:
        """One row a component, as columns with their units: a dict of NumPy arrays, or the table of another library.

        kind : None (default) for a `dict` with ``units``, ``meta`` and ``save(path)``; "pandas", "polars", "astropy" or
            "arrow".
        errors : whether to add `standard_errors` of amplitudes, centres and covariances, of up to 8192 parameters.

        "component", the centres, widths, "angle" and entries of the covariances are those of `FitResult.table`;
        "amplitude_0", "amplitude_1", ... and "volume_0", ... are in the units of each channel.
        ``GaussianSurface.from_table(table, {"amplitude": "amplitude_0"})`` has the components of one.

        >>> import numpy as np, surfacefit as sf
        >>> x = np.arange(40.0)
        >>> line = np.exp(-((x - 20) ** 2) / 18)
        >>> table = sf.fit_channels([line, 3 * line], 1).table()
        >>> [float(table[name][0].round(6)) for name in ("center_0", "sigma", "amplitude_0", "amplitude_1")]
        [20.0, 3.0, 1.0, 3.0]
        """
        from ..interop.tables.channel_columns import ChannelTableParts, channel_table
        from ..interop.tables.libraries import KINDS

        if kind is not None:
            one_of("kind", kind, KINDS)
        found = self.standard_errors if yes_or_no("errors", errors) else None
        shared = GaussianSurface(np.ones(self.n_components), self.centers, self.covariances)
        table = channel_table(ChannelTableParts(shared, self.amplitudes, found, self.maps.channels))
        return table if kind is None else table.to(kind)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        how = f"{self.status.name.lower()}, {self.steps} steps"
        return f"<ChannelResult: K={self.n_components}, C={self.n_channels}, {how}>"

    def plot(self) -> Figure:
        """Data, model and residual of each channel, a row a channel, as a matplotlib Figure; in one or two dimensions.

        Needs matplotlib: ``pip install surfacefit[plot]``. Raises ValueError for other dimensions and scattered points.
        """
        from .plot import plot_channels

        return plot_channels(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, maps included, to a versioned ``.json`` or, smaller, ``.npz`` file; nothing is pickled.

        `load` gives back every number exactly. Raises ValueError for another suffix, and for a background that is a
        function.
        """
        from .io import save

        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ChannelResult:
        """The result in a file that `save` wrote, every number exact. Raises ValueError for any other file."""
        from .io import load

        return load(path)


def channel_result(
    prepared: PreparedChannels, solution: Solution, history: Record, *, keeps_order: bool
) -> ChannelResult:
    """The result in the user's units."""
    params, host = np.asarray(solution.params, np.float64), prepared.host
    parts, scaling = host.components(params), prepared.scalings[0]
    scale = np.asarray(scaling.point_scale)
    amplitudes = np.asarray(host.amplitude_matrix(params)) * prepared.height_scales
    centers = np.asarray(parts.centers) * scale + scaling.point_shift
    factors = np.asarray(parts.factors)
    covariances = definite(factors @ factors.swapaxes(1, 2)) * (scale[:, None] * scale[None, :])
    both = zip(host.channel_backgrounds(params), prepared.scalings, strict=True)
    models = [background.to_physical(one) for background, one in both]
    volumes = np.abs(amplitudes / prepared.height_scales).sum(axis=1) * np.sqrt(np.linalg.det(covariances))
    order = np.arange(len(volumes)) if keeps_order else np.argsort(-volumes, kind="stable")
    return ChannelResult(
        amplitudes=amplitudes[order],
        centers=centers[order],
        covariances=covariances[order],
        backgrounds=tuple(None if isinstance(model, NoBackground) else model for model in models),
        maps=prepared.maps,
        model=prepared.model,
        cost=float(solution.cost) * prepared.unit**2,
        status=Status(int(solution.status)),
        steps=int(solution.steps),
        history=np.asarray(history.cost, float) * prepared.unit**2,
    )
