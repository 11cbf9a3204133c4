"""Whether what rules set at a start has room: widths above `min_width`, centres over the data."""

from __future__ import annotations

import numpy as np

from .._base.precision import precision
from .numbers import Numbers
from .rules import Rule
from .tied_map import TiePlan

# Of a width or of the data's extent: what the way from numbers to factors and back may round.
ROOM_ROUNDING = 1e-6
# Rules that set numbers of their own; those of groups copy what is free.
MAKING = ("number", "formula", "function")
Ends = tuple[np.ndarray, np.ndarray]
"""The least and the largest coordinates (d,) of a centre."""


def check_rules_have_room(plan: TiePlan, numbers: Numbers, least: np.ndarray, ends: Ends | None) -> None:
    """ValueError where a rule makes a component narrower than ``least`` (d,), which a fit could not keep, or puts a
    centre beyond the ``ends`` between which those that are free stay.
    """
    _check_widths(plan, numbers, least)
    if ends is not None:
        _check_centers(plan, numbers, ends)


def _check_widths(plan: TiePlan, numbers: Numbers, least: np.ndarray) -> None:
    with precision(np.dtype(np.float64)):
        diagonals = np.einsum("kii->ki", np.asarray(numbers.lower))
    for rule in made(plan, ("widths", "aspects", "covariances")):
        own = diagonals[components_of(plan, rule)]
        if (own < (1 - ROOM_ROUNDING) * least).any():
            raise ValueError(
                f"`tie[{rule.key!r}]` makes a component narrower than `min_width` at the start, {own.min():.4g} wide,"
                f" by the rule {rule}: lower `min_width`, or change the rule or the start"
            )


def _check_centers(plan: TiePlan, numbers: Numbers, ends: Ends) -> None:
    low, high = ends
    with np.errstate(invalid="ignore"):
        room = np.nan_to_num(ROOM_ROUNDING * (high - low), posinf=0)
    for rule in made(plan, ("centers",)):
        centers = np.asarray(numbers.centers)[components_of(plan, rule)]
        if not ((centers >= low - room) & (centers <= high + room)).all():
            raise ValueError(
                f"`tie[{rule.key!r}]` puts a centre off the data at the start, at {centers.tolist()}, by the rule"
                f" {rule}: change the rule or the start, or give contained=False"
            )


def made(plan: TiePlan, names: tuple[str, ...]) -> list[Rule]:
    """The rules that set numbers of these names, other than by copying them."""
    return [rule for rule in plan.rules if rule.kind in MAKING and rule.target.name in names]


def components_of(plan: TiePlan, rule: Rule) -> list[int]:
    """The components of which a rule sets numbers."""
    return sorted({plan.places.component_of(place) for place in rule.writes})
