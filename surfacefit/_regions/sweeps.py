"""Sweeps: each group of components refitted once on its window, all others held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._search.context import SearchContext
from .._search.moves import component_limits
from .components import Components
from .groups import GROUP_COMPONENTS, Group, groups_of, turns
from .levels import Level
from .refits import refitted
from .windows import window_problems

# Steps of a group in a sweep: the next sweep has other groups, so that none need settle.
SWEEP_STEPS = 8


def sweep(
    context: SearchContext, level: Level, components: Components, number: int, seen: Callable[[int, int], Any]
) -> None:
    """Refits all components by the groups of a sweep's ``number``, in turns; what is left on the level follows.

    ``seen`` is told after each turn how many groups are done, and of how many.
    """
    sets = list(groups_of(components.surface, level, number))
    done, total = 0, sum(len(groups) for groups in sets)
    for groups in sets:
        for turn in turns(groups):
            _refit_turn(context, level, components, [groups[n] for n in turn])
            done += len(turn)
            seen(done, total)


def _refit_turn(context: SearchContext, level: Level, components: Components, groups: list[Group]) -> None:
    parts = context.parameterization
    problems, middles = window_problems(level, groups, components.blocks, parts.layout.centers, GROUP_COMPONENTS)
    for first, falls, blocks in refitted(parts, component_limits(context), problems, middles, SWEEP_STEPS):
        better = np.flatnonzero(falls > 0)
        if not len(better):
            continue
        lists = [groups[first + n].members for n in better]
        members = np.concatenate(lists)
        found = np.concatenate([blocks[n][: len(some)] for n, some in zip(better, lists, strict=True)])
        level.add(components.surface.component(members), 1.0)
        level.add(components.put(members, found), -1.0)
