"""What is to be known of a component before its numbers are used: one table of flags, each with its cause and the next
step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints.bounds import FIXABLE
from .._constraints.box import bound_tolerance
from .._model.background import background_model
from .._model.gaussian import profile

if TYPE_CHECKING:
    from .result import FitResult

NEGLIGIBLE = 1e-3
NEAR = 3e-5
MOST_REDUNDANT = 5000
MOST_NAMED = 8
MOST_FLAGGED = 600  # parameters for which summaries and files take the inverse of the normal matrix


class ComponentFlag(IntFlag):
    """Flags of a component, as `FitResult.flags` holds them for each of K; several may be set, 0 is none.

    A flag says that a number is not to be taken at its face value: it sits at a limit, lies beside the data, is not
    called for or not determined by them, or belongs to a component that was put elsewhere. The cause of each, and what
    to do next, is in ``FLAGS``.

    >>> import surfacefit as sf
    >>> sf.ComponentFlag.AT_FLOOR in sf.ComponentFlag(3)
    True
    """

    AT_FLOOR = 1
    AT_BOUND = 2
    OUTSIDE = 4
    NEGLIGIBLE = 8
    REDUNDANT = 16
    UNDETERMINED = 32
    RESET = 64


@dataclass(frozen=True)
class FlagEntry:
    """What is the matter, and what to do next."""

    cause: str
    advice: str


FLAGS: dict[ComponentFlag, FlagEntry] = {
    ComponentFlag.AT_FLOOR: FlagEntry(
        "as narrow as `min_width` allows, or narrower aslant: not resolved by the sampling, or noise",
        "Take it for one sample's height, or lower `min_width`.",
    ),
    ComponentFlag.AT_BOUND: FlagEntry(
        "held by `bounds`: the fit would be better beyond",
        "Widen the bounds, or quote it without an error: it has none.",
    ),
    ComponentFlag.OUTSIDE: FlagEntry(
        "centred outside the data: only its flank is seen",
        "Do not read its numbers one by one; bound the centres if it must lie inside.",
    ),
    ComponentFlag.NEGLIGIBLE: FlagEntry(
        "nowhere in the data higher than a thousandth of the RMSE", "Use fewer components."
    ),
    ComponentFlag.REDUNDANT: FlagEntry(
        "not called for by the data: the BIC is lower without it", "`result.merged()`, or fewer components."
    ),
    ComponentFlag.UNDETERMINED: FlagEntry(
        "some of its numbers are not determined by the data: their errors are infinite",
        "Fix or bound them, or use fewer components.",
    ),
    ComponentFlag.RESET: FlagEntry(
        "had collapsed, and was put anew where the residual was highest",
        "Take its numbers as any other's; if many were, use fewer components.",
    ),
}


def flags(result: FitResult, *, quick: bool = False) -> np.ndarray:
    """`ComponentFlag` values (K,); ``quick`` leaves out those that need the inverse of the normal matrix."""
    found = np.zeros(result.n_components, int)
    for flag, which in _cheap(result).items():
        found[which] |= int(flag)
    if not quick:
        found[_undetermined(result)] |= int(ComponentFlag.UNDETERMINED)
        if result.n_parameters <= MOST_REDUNDANT:
            found[result.redundant] |= int(ComponentFlag.REDUNDANT)
    return found


def shown(result: FitResult) -> np.ndarray:
    """`ComponentFlag` values (K,) for summaries, files and pictures: the quick ones where `left_out` names others."""
    return flags(result, quick=True) if ComponentFlag.UNDETERMINED in left_out(result) else result.flags


def left_out(result: FitResult) -> list[ComponentFlag]:
    """Flags that are not looked for unasked: of many parameters they take longer than a summary may."""
    if result.n_parameters > MOST_REDUNDANT and "flags" in vars(result):
        return [ComponentFlag.REDUNDANT]
    asked = result.n_parameters <= MOST_FLAGGED or "flags" in vars(result)
    return [] if asked else [ComponentFlag.REDUNDANT, ComponentFlag.UNDETERMINED]


def _cheap(result: FitResult) -> dict[ComponentFlag, np.ndarray]:
    surface, points = result.surface, result.data.used_points
    low, high = points.min(axis=0), points.max(axis=0)
    centers, amplitudes = np.asarray(surface.centers), np.abs(np.asarray(surface.amplitudes))
    inside = np.clip(centers, low, high)
    offsets = inside - centers
    squares = np.einsum(
        "ki,ki->k", offsets, np.linalg.solve(np.asarray(surface.covariances), offsets[:, :, None])[:, :, 0]
    )
    tallest, outside = amplitudes * profile(np.clip(squares, 0, 1400)), (offsets != 0).any(axis=1)
    for k in np.flatnonzero(outside & (tallest <= NEGLIGIBLE * result.rmse)):  # a slanting one may be higher elsewhere
        alone = surface.component(k)
        tallest[k] = float(np.abs(alone(points)).max())
    return {
        ComponentFlag.AT_FLOOR: result.at_floor,
        ComponentFlag.AT_BOUND: _at_bound(result),
        ComponentFlag.OUTSIDE: outside,
        ComponentFlag.NEGLIGIBLE: tallest <= NEGLIGIBLE * result.rmse,
        ComponentFlag.RESET: result.resets > 0,
    }


def _at_bound(result: FitResult) -> np.ndarray:
    return np.any(list(_held(result).values()), axis=0)


def _held(result: FitResult) -> dict[str, np.ndarray]:
    """Which components (K,) have amplitudes, centres or covariances at a limit."""
    bounds, fixed, surface = result.settings.constraints.bounds, result.settings.constraints.fixed, result.surface
    near = _near(result)
    found: dict[str, np.ndarray] = dict.fromkeys(FIXABLE[:3], np.zeros(result.n_components, bool))
    if bounds.amplitudes is not None:
        found["amplitudes"] = _meets(np.asarray(surface.amplitudes), bounds.amplitudes, near)
    if bounds.centers is not None:
        found["centers"] = np.asarray(_meets(np.asarray(surface.centers), bounds.centers, near).any(axis=1))
    widths = surface.principal_widths
    if bounds.widths is not None:
        found["covariances"] = found["covariances"] | _meets(widths, bounds.widths, near).any(axis=1)
    if bounds.aspect is not None:
        found["covariances"] = found["covariances"] | (widths[:, 0] >= (1 - near) * bounds.aspect * widths[:, -1])
    return {name: which & ~np.broadcast_to(fixed.get(name, False), which.shape) for name, which in found.items()}


def background_at_bound(result: FitResult) -> np.ndarray:
    """Places of those of the background's free numbers that stand at a limit."""
    limits, background = result.settings.constraints.bounds.background, background_model(result.surface.background)
    if limits is None or np.any(result.settings.constraints.fixed.get("background", False)):
        return np.zeros(0, int)
    return np.flatnonzero(_meets(np.asarray(background.vector(), float), limits, _near(result)))


def _near(result: FitResult) -> float:
    return max(NEAR, bound_tolerance(result.settings.dtype))


def _meets(values: np.ndarray, pair: tuple[Any, Any], near: float) -> np.ndarray:
    low, high = (np.broadcast_to(side, values.shape) for side in pair)
    room = near * np.minimum(high - low, np.maximum(np.abs(values), 1e-300))
    return (values <= low + room) | (values >= high - room)


def _undetermined(result: FitResult) -> np.ndarray:
    """Where errors are infinite (K,) of what no limit holds."""
    errors, held = result.standard_errors, _held(result)
    unknown = {
        name: ~np.isfinite(np.asarray(getattr(errors, name)).reshape(result.n_components, -1)).all(axis=1)
        for name in held
    }
    return np.any([unknown[name] & ~which for name, which in held.items()], axis=0)


def described(found: np.ndarray) -> list[tuple[str, str]]:
    """A line for each flag that is set: its name, and which components with the cause and the next step."""
    lines = []
    for flag, entry in FLAGS.items():
        which = np.flatnonzero(found & int(flag))
        if len(which):
            lines.append(
                (readable(flag), f"component{'s' * (len(which) > 1)} {listed(which)}: {entry.cause}. {entry.advice}")
            )
    return lines


def readable(flag: ComponentFlag) -> str:
    return str(flag.name).lower().replace("_", " ")


def listed(which: np.ndarray) -> str:
    """The first of them by their numbers, and how many more."""
    return ", ".join(str(k) for k in which[:MOST_NAMED]) + (
        f" and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else ""
    )
