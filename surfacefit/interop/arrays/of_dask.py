"""Arrays of dask: computed once, and values back in the same chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened, axis_names


@dataclass(frozen=True, eq=False)
class Back:
    """The chunks that values go back to."""

    chunks: Any

    def array(self, values: np.ndarray, name: str) -> Any:
        import dask.array

        del name
        return dask.array.from_array(values, chunks=self.chunks)


def opened(heights: Any, beside: Opened) -> Opened:
    """The computed values of a dask array."""
    if not hasattr(heights, "chunks"):
        raise TypeError(f"`heights` must be an array of dask, got a {type(heights).__name__}: give `.to_dask_array()`")
    values = np.asarray(heights.compute())
    chunks = heights.chunks if values.shape == heights.shape else "auto"
    return replace(
        beside, heights=values, labels=Labels(axis_names(values.ndim), ("",) * values.ndim, back=Back(chunks))
    )
