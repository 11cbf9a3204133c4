"""The table of a fit of several channels: shared places and shapes, an amplitude and a volume for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import one_of
from ..._model.surface import GaussianSurface
from .columns import Entry, axis_columns, component_entries, table_from

if TYPE_CHECKING:
    from ..._channels.result import ChannelResult

# Columns of a surface that each channel has of its own.
OF_EACH_CHANNEL = ("amplitude", "volume")


def channel_table(result: ChannelResult, kind: str | None, errors: bool) -> Any:
    """The table as the library's own, or of the ``kind`` of another one, with or without standard errors."""
    from .libraries import KINDS

    if kind is not None:
        one_of("kind", kind, KINDS)
    labels, found = result.maps.channels[0].labels, result.standard_errors if errors else None
    surface = GaussianSurface(np.ones(result.n_components), result.centers, result.covariances)
    entries: list[Entry] = []
    for name, values, error, unit in component_entries(surface, labels, found):
        if name in OF_EACH_CHANNEL:
            entries += _of_each_channel(name, values, result.amplitudes, found, unit)
        else:
            entries.append((name, values, error, unit))
    meta = {"axes": list(axis_columns(labels, surface.n_dim)), "channels": result.n_channels}
    table = table_from(entries, meta | ({} if found is None else {"errors": "hessian"}))
    return table if kind is None else table.to(kind)


def _of_each_channel(name: str, unit_values: np.ndarray, amplitudes: np.ndarray, found: Any, unit: str) -> list[Entry]:
    """Columns name_0, name_1, ...: values (K,) of components of height one times the amplitudes (K, C)."""
    with_errors = found is not None and name == "amplitude"
    return [
        (f"{name}_{c}", unit_values * amplitudes[:, c], found.amplitudes[:, c] if with_errors else None, unit)
        for c in range(amplitudes.shape[1])
    ]
