"""What a fit says of its rules at the end: those it has not kept, and those that have driven a component to nothing.

A width is at least `min_width`, and a positive amplitude above zero, also where a rule would have it less. A start in
which it does is refused; on the way there a fit holds the number at its limit, and the rule is not met.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from .._base.precision import precision
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface
from .checks import numbers_of, rule_value, shown
from .numbers import Numbers
from .room import components_of, made
from .rules import Rule
from .tied_map import TiePlan, plan_of_ties

# Of a number: by how much a rule is missed from which on the fit says so; far above the rounding of single precision.
KEPT_SHARE = 1e-3
# Of the largest amplitude: a positive one below has been driven to nothing.
NOTHING_SHARE = 1e-4
# Targets of rules that `min_width` may keep from holding.
LIMITED_SHAPES = ("widths", "aspects", "covariances")


class Missed(NamedTuple):
    """A rule, what it gives, and what the surface has."""

    rule: Rule
    given: np.ndarray
    kept: np.ndarray


def note_of_ties(
    ties: dict[str, Any], fixed: tuple[np.ndarray, np.ndarray], surface: GaussianSurface, parts: Parameterization
) -> str:
    """What there is to say of rules at the end of a fit; "" where all hold, and for functions that are not at hand."""
    plan = plan_of_ties(ties, fixed, surface.n_components, parts)
    if plan is None:
        return ""
    with precision(np.dtype(np.float64)):
        try:
            notes = [
                *_missed_notes(plan, surface, parts.background),
                *_nothing_notes(plan, surface, parts.amplitude.signed),
            ]
        except ValueError:
            return ""
    return " ".join(notes)


def _missed_notes(plan: TiePlan, surface: GaussianSurface, background: Any) -> list[str]:
    return [
        f"The rule {rule} of `tie` is not kept: it gives {shown(given)}, and the fit has {shown(kept)}, the least"
        " that `min_width` allows. Lower `min_width`, or leave the rule out."
        for rule, given, kept in _missed_in_best_order(plan, surface, background)
    ]


def _missed_in_best_order(plan: TiePlan, surface: GaussianSurface, background: Any) -> list[Missed]:
    """The rules that are missed, with each component's widths in the order in which fewest are: of a width that was the
    larger at the start a fit may have made the smaller.
    """
    order = np.broadcast_to(np.arange(surface.n_dim), (surface.n_components, surface.n_dim)).copy()
    best = _missed(plan, numbers_of(plan, surface, background))
    for k in np.flatnonzero(plan.turned) if plan.places.n_turns else ():
        for other in itertools.permutations(range(surface.n_dim)):
            if not best:
                return best
            trial = order.copy()
            trial[k] = other
            found = _missed(plan, numbers_of(plan, surface, background, trial))
            if len(found) < len(best):
                order, best = trial, found
    return best


def _missed(plan: TiePlan, numbers: Numbers) -> list[Missed]:
    found = []
    for rule in made(plan, LIMITED_SHAPES):
        given, kept = rule_value(rule, numbers), np.asarray(numbers.current(rule.target))
        if not (np.abs(given - kept) <= KEPT_SHARE * np.abs(kept).max()).all():
            found.append(Missed(rule, given, kept))
    return found


def _nothing_notes(plan: TiePlan, surface: GaussianSurface, signed: bool) -> list[str]:
    amplitudes = np.abs(np.asarray(surface.amplitudes, float))
    least = 0.0 if signed else NOTHING_SHARE * amplitudes.max()
    return [
        f"The rule {rule} of `tie` has driven a positive amplitude to nothing: amplitudes='signed' lets it be negative."
        for rule in made(plan, ("amplitudes", "volumes"))
        if (amplitudes[components_of(plan, rule)] < least).any()
    ]
