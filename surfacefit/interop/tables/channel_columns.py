"""The table of a fit of several channels: shared places and shapes, an amplitude and a volume for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from .columns import Entry, axis_columns, component_entries, pixels_of, table_from
from .record import ComponentTable

# Columns of a surface that each channel has of its own.
OF_EACH_CHANNEL = ("amplitude", "volume")


class ChannelTableParts(NamedTuple):
    """What a table is made of: components with amplitudes of one, the amplitudes (K, C), standard errors of
    ``amplitudes``, ``centers`` and ``covariances`` or None, and the data of each channel.
    """

    surface: GaussianSurface
    amplitudes: np.ndarray
    errors: Any
    channels: Sequence[SurfaceData]


def channel_table(parts: ChannelTableParts) -> ComponentTable:
    """The table as the library's own; each channel's columns have its units."""
    first = parts.channels[0]
    of_channels = (component_entries(parts.surface, one.labels, None) for one in parts.channels)
    units = [{name: unit for name, _, _, unit in columns} for columns in of_channels]
    entries: list[Entry] = []
    for name, values, error, unit in component_entries(parts.surface, first.labels, parts.errors):
        if name in OF_EACH_CHANNEL:
            entries += _of_each_channel(name, values, parts, [one[name] for one in units])
        else:
            entries.append((name, values, error, unit))
    meta = {"axes": list(axis_columns(first.labels, parts.surface.n_dim)), **pixels_of(first)}
    meta["channels"] = len(parts.channels)
    return table_from(entries, meta | ({} if parts.errors is None else {"errors": "hessian"}))


def _of_each_channel(name: str, unit_values: np.ndarray, parts: ChannelTableParts, units: list[str]) -> list[Entry]:
    """Columns name_0, name_1, ...: values (K,) of components of height one times the amplitudes (K, C)."""
    errors = parts.errors.amplitudes if parts.errors is not None and name == "amplitude" else None
    return [
        (f"{name}_{c}", unit_values * parts.amplitudes[:, c], None if errors is None else errors[:, c], unit)
        for c, unit in enumerate(units)
    ]
