"""Where the components of each map start: a surface of the user's, one of the starts of `fit`, or growth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._fit.start_request import start_plan
from .._model.surface import GaussianSurface
from .._starts import STARTS
from .lane_growth import grow_all
from .lane_search import search_all
from .lanes import Lane


def start_all(lanes: Sequence[Lane]) -> None:
    """Gives each lane of a chunk the parameters at which its steps begin, unless it has them."""
    grown = []
    for lane in lanes:
        if lane.params is not None:
            continue
        plan = start_plan(lane.prepared, lane.run)
        if plan.is_grown:
            grown.append(lane)
            continue
        init = plan.init
        surface = init if isinstance(init, GaussianSurface) else STARTS[str(init)](lane.context.request)
        lane.params = np.asarray(lane.context.packing.params(surface))
    states = grow_all(grown)
    search_all([lane for lane in grown if lane.run.init == "auto"], states)
    for lane in grown:
        packing = lane.context.packing
        state = packing.padded(states[lane.flat])
        lane.params = np.asarray(packing.pack(state.blocks, state.border))
