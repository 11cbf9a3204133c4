"""The summary of a fit of several channels: facts in a few lines, then the largest components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import COARSEST_POSITION, Summary, counted, number, positions
from .._model.surface import GaussianSurface

if TYPE_CHECKING:
    from .result import ChannelResult

# Channels whose amplitudes stand in the table: more do not fit a line.
MOST_AMPLITUDE_COLUMNS = 6


def summary(result: ChannelResult, n_rows: int = 10) -> Summary:
    """Facts, then the first ``n_rows`` components by volume."""
    hidden = result.n_components - n_rows
    rest = f"... and {counted(hidden, 'smaller component')}" if hidden > 0 else ""
    title = f"surfacefit: {counted(result.n_components, 'Gaussian')} in {counted(result.n_channels, 'channel')}"
    return Summary(title, _facts(result), *_components(result, n_rows), rest)


def _facts(result: ChannelResult) -> list[tuple[str, str]]:
    missing = [f"{one.heights.size - one.n_used}" for one in result.maps.channels]
    return [
        ("status", f"{'ok' if result.success else 'NOT CONVERGED'}: {result.message}"),
        ("rmse", ", ".join(number(value) for value in result.rmse)),
        ("heights", f"{result.maps.n_used} used; left out by channel: {', '.join(missing)}"),
        ("parameters", f"{result.n_parameters} ({result.model.covariance_type}, {result.model.amplitudes})"),
        ("steps", str(result.steps)),
    ]


def _components(result: ChannelResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    shown, axes = min(n_rows, result.n_components), range(result.centers.shape[1])
    channels = range(min(result.n_channels, MOST_AMPLITUDE_COLUMNS))
    unit = GaussianSurface(np.ones(result.n_components), result.centers, result.covariances)
    widths = np.sqrt(np.diagonal(result.covariances, axis1=1, axis2=2))[:shown]
    header = ["", *(f"ampl{c}" for c in channels), *(f"center{i}" for i in axes), *(f"width{i}" for i in axes)]
    columns = [
        [str(k) for k in range(shown)],
        *([number(value) for value in result.amplitudes[:shown, c]] for c in channels),
        *(positions(result.centers[:shown, i], COARSEST_POSITION * widths[:, i]) for i in axes),
        *([number(value) for value in unit.principal_widths[:shown, i]] for i in axes),
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]
