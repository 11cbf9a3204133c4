"""The summary of a fit of several channels: facts in a few lines, then the largest components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import Summary, counted, left_out, number, place_columns, verdict
from .._model.surface import GaussianSurface

if TYPE_CHECKING:
    from .result import ChannelResult

# Channels whose amplitudes stand in the table: more do not fit a line.
MOST_AMPLITUDE_COLUMNS = 6


def summary(result: ChannelResult, n_rows: int = 10) -> Summary:
    """Facts, then the first ``n_rows`` components by volume."""
    title = f"surfacefit: {counted(result.n_components, 'Gaussian')} in {counted(result.n_channels, 'channel')}"
    return Summary(
        title, _facts(result), *_components(result, n_rows), left_out(result.n_components - n_rows, "smaller")
    )


def _facts(result: ChannelResult) -> list[tuple[str, str]]:
    missing = [f"{one.heights.size - one.n_used}" for one in result.maps.channels]
    return [
        verdict(result.success, result.message),
        ("rmse", ", ".join(number(value) for value in result.rmse)),
        ("heights", f"{result.maps.n_used} used; left out by channel: {', '.join(missing)}"),
        ("parameters", f"{result.n_parameters} ({result.model.covariance_type}, {result.model.amplitudes})"),
        ("steps", str(result.steps)),
    ]


def _components(result: ChannelResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    shown, axes = min(n_rows, result.n_components), range(result.centers.shape[1])
    channels = range(min(result.n_channels, MOST_AMPLITUDE_COLUMNS))
    unit = GaussianSurface(np.ones(result.n_components), result.centers, result.covariances)
    header = ["", *(f"ampl{c}" for c in channels), *(f"center{i}" for i in axes), *(f"width{i}" for i in axes)]
    columns = [
        [str(k) for k in range(shown)],
        *([number(value) for value in result.amplitudes[:shown, c]] for c in channels),
        *place_columns(result.centers[:shown], result.covariances[:shown], unit.principal_widths[:shown]),
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]
