"""What each map of a chunk needs for its fit: its problem and its start, or a status that says why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .._base.status import Status
from .._fit.options import checked_options
from .._fit.run_spec import RunSpec
from .._fit.start_request import start_request
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._problem.problem_setup import TooFewPoints, problem_setup
from .._search.context import SearchContext
from .stack import MapStack


@dataclass(eq=False)
class Lane:
    """One map on its way: ``flat`` is its number in the batch, ``params`` (P,) where its steps begin."""

    flat: int
    prepared: Prepared
    run: RunSpec
    steps: int = 0
    params: Any = field(default=None)

    @cached_property
    def context(self) -> SearchContext:
        return SearchContext(self.prepared, start_request(self.prepared, self.run.seed))


@dataclass(frozen=True, eq=False)
class Batch:
    """Maps, the number of components of each (n,), the start of each or how it is made, and the options of `fit`."""

    stack: MapStack
    counts: np.ndarray
    starts: Sequence[GaussianSurface | str]
    options: Mapping[str, Any]

    def first_lane(self) -> Lane | None:
        """The lane of the first map that can be fitted."""
        made = (self.lane(flat) for flat in range(len(self.stack)))
        return next((lane for lane in made if isinstance(lane, Lane)), None)

    def lane(self, flat: int) -> Lane | Status:
        """The lane of a map, or the status of one that cannot be fitted."""
        if self.stack.is_empty(flat):
            return Status.EMPTY
        data = self.stack.data(flat)
        given = {"n_components": int(self.counts[flat]), "init": self.starts[flat], "search": 0, "reset": False}
        try:
            specs = checked_options({**self.options, **given}, data)
            prepared = problem_setup(data, specs.model, specs.run.dtype, specs.run.engine, specs.run.init)
        except TooFewPoints:
            return Status.TOO_FEW_POINTS
        except (ValueError, TypeError) as error:
            raise type(error)(f"map {self.stack.index(flat)} of `maps`: {error}") from None
        return Lane(flat, prepared, specs.run)
