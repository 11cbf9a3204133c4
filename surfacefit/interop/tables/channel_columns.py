"""The table of a fit of several channels: shared places and shapes, an amplitude and a volume for each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._base.checks import one_of
from ..._data.labels import Labels
from ..._model.surface import GaussianSurface
from .columns import Entry, axis_columns, component_entries, table_from

# Columns of a surface that each channel has of its own.
OF_EACH_CHANNEL = ("amplitude", "volume")


def channel_table(
    surface: GaussianSurface, amplitudes: np.ndarray, errors: Any, labels: Labels | None, kind: str | None
) -> Any:
    """The table as the library's own, or of the ``kind`` of another one.

    surface : the components with amplitudes of one; ``amplitudes`` (K, C) are those in each channel.
    errors : standard errors ``amplitudes`` (K, C), ``centers`` and ``covariances``, or None.
    """
    from .libraries import KINDS

    if kind is not None:
        one_of("kind", kind, KINDS)
    entries: list[Entry] = []
    for name, values, error, unit in component_entries(surface, labels, errors):
        if name in OF_EACH_CHANNEL:
            entries += _of_each_channel(name, values, amplitudes, errors, unit)
        else:
            entries.append((name, values, error, unit))
    meta = {"axes": list(axis_columns(labels, surface.n_dim)), "channels": amplitudes.shape[1]}
    table = table_from(entries, meta | ({} if errors is None else {"errors": "hessian"}))
    return table if kind is None else table.to(kind)


def _of_each_channel(name: str, unit_values: np.ndarray, amplitudes: np.ndarray, errors: Any, unit: str) -> list[Entry]:
    """Columns name_0, name_1, ...: values (K,) of components of height one times the amplitudes (K, C)."""
    with_errors = errors is not None and name == "amplitude"
    return [
        (f"{name}_{c}", unit_values * amplitudes[:, c], errors.amplitudes[:, c] if with_errors else None, unit)
        for c in range(amplitudes.shape[1])
    ]
