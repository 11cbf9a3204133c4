"""The fit of the first few components of many, on averages over blocks of the grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._problem.capacity import component_capacity
from .._search.context import SearchContext
from .._search.surrogate import averaged


def dense_averages(context: SearchContext, count: int) -> SearchContext | None:
    """The fit of so few components on averages, for the dense engine; None where there are too few points."""
    prepared = context.prepared
    parts = replace(context.parameterization, n_components=component_capacity(count), n_active=np.float32(count))
    few = replace(
        prepared,
        model=replace(prepared.model, n_components=count),
        problem=replace(prepared.problem, parameterization=parts),
    )
    request = replace(context.request, n_components=count)
    return averaged(SearchContext(few, request, context.progress, pace=context.pace))
