"""Which limits of a component's widths are active in the next step, where several may meet and widths may be equal.

A limit that is met is active if its multiplier is positive: if, of all limits that are met, the downhill direction of
the cost presses against it. A limit nearby is active if the step along the others would cross it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .active_constraints import GroupConstraints

# Sweeps of coordinate descent for the multipliers: few limits act on one component, and only signs are asked for.
MULTIPLIER_SWEEPS = 20
# Distance to a limit, as a part of the width, up to which it may become active before it is met: a trade-off, since
# farther limits are curved too much for their normal to hold on the way there.
NEARBY_LIMIT = 0.03
# Distance of the eigenvalues of two groups of unequal widths, times d, where equal widths are rotated: more than twice
# the largest eigenvalue of a d x d matrix of slopes, which are scaled to 1 at most.
GROUP_SPACING = 8.0


class CostSlope(NamedTuple):
    """How the cost depends on one shape.

    slope (s,) : derivatives of the cost by the shape's numbers.
    scales (s,) : the solver's squared scales of these, infinite if no step is to be taken.
    near : part of a width within which a limit counts as met.
    """

    slope: Array
    scales: Array
    near: float


class CandidateLimits(NamedTuple):
    """The limits that may become active.

    limits : their outward slopes (s, m) as normals, of any length, and the room to each (m,) as gaps.
    widths (m,) : the width that the room is compared with.
    holds (m, d) : which widths each of them holds.
    """

    limits: GroupConstraints
    widths: Array
    holds: np.ndarray


class WidthFrame(NamedTuple):
    """A component's widths along its axes.

    values (d, d) : widths on the diagonal of a symmetric matrix; off it zeros, except between equal widths.
    slopes (d, d, s) : derivatives of these by the shape's numbers.
    equal (d, d) : which widths count as equal.
    separate_changes (d, d, s) : changes of shape that change one width, or one angle, and nothing else.
    """

    values: Array
    slopes: Array
    equal: Array
    separate_changes: Array


def width_frame(factor: Array, slopes: Array, cost: CostSlope, most: Array) -> WidthFrame:
    """The widths of a Cholesky factor (d, d) with slopes (d, d, s), along their axes.

    Widths count as equal where a step would rotate their axes freely; ``most`` bounds their relative distance. Equal
    widths have no axes of their own: they get those that diagonalise the slopes of the cost.
    """
    u, widths, v = jnp.linalg.svd(factor)
    moved = jnp.einsum("in,ijs,mj->nms", u, slopes, v, precision="highest")
    rows, columns = np.tril_indices(len(widths))
    relative = moved * jnp.sqrt(widths / widths[:, None])[:, :, None]
    pull = jnp.linalg.solve((relative + relative.swapaxes(0, 1))[rows, columns].T, cost.slope)
    pull = pull * jnp.where(rows == columns, 2, 1).astype(widths.dtype)
    turned = jnp.abs(jnp.matmul(moved + moved.swapaxes(0, 1), cost.slope / cost.scales, precision="highest"))
    apart = widths[:-1] - widths[1:]
    far = apart > jnp.clip(len(cost.slope) * jnp.diag(turned, 1), cost.near * widths[:-1], most * widths[:-1])
    group = jnp.append(jnp.zeros(1, widths.dtype), jnp.cumsum(far.astype(widths.dtype)))
    equal = group == group[:, None]
    pull = pull / jnp.maximum(jnp.abs(pull).max(), np.finfo(pull.dtype).tiny)
    pulls = jnp.where(equal, jnp.zeros_like(factor).at[rows, columns].set(pull).at[columns, rows].set(pull), 0)
    turn = jnp.linalg.eigh(pulls + jnp.diag(GROUP_SPACING * len(widths) * group))[1]
    slopes = jnp.einsum("na,mb,nms->abs", turn, turn, moved, precision="highest")
    changes = jnp.linalg.inv((relative + relative.swapaxes(0, 1))[rows, columns]).T
    each = jnp.zeros_like(moved).at[rows, columns].set(changes).at[columns, rows].set(changes)
    separate = jnp.einsum("na,mb,nms->abs", turn, turn, each, precision="highest")
    return WidthFrame(
        jnp.matmul(turn.T * widths, turn, precision="highest"), (slopes + slopes.swapaxes(0, 1)) / 2, equal, separate
    )


def with_fixed_angles(active: GroupConstraints, holds: np.ndarray, frame: WidthFrame) -> GroupConstraints:
    """Also with the angles between equal widths of which one is held fixed.

    A rotation would make one of them cross its limit.
    """
    rows, columns = np.tril_indices(len(frame.values), -1)
    held = _held(active, holds)
    angles = jnp.where((frame.equal & (held | held[:, None]))[rows, columns], frame.slopes[rows, columns].T, 0)
    size = jnp.linalg.norm(angles, axis=0)
    size, gaps = jnp.where(size > 0, size, 1), jnp.where(size > 0, -frame.values[rows, columns], 0)
    return GroupConstraints(
        jnp.concatenate([active.normals, angles / size], axis=1), jnp.append(active.gaps, gaps / size)
    )


def undetermined_changes(active: GroupConstraints, holds: np.ndarray, frame: WidthFrame) -> Array:
    """Changes of shape (s, d (d + 1) / 2) that the data cannot determine, since a limit holds a width or an angle."""
    rows, columns = np.tril_indices(len(frame.values))
    held = _held(active, holds)
    some = jnp.where(rows == columns, held[rows], (frame.equal & (held | held[:, None]))[rows, columns])
    return jnp.where(some, frame.separate_changes[rows, columns].T, 0)


def _held(active: GroupConstraints, holds: np.ndarray) -> Array:
    """Which widths (d,) an active limit holds."""
    return jnp.any(jnp.any(active.normals[:, : len(holds)] != 0, axis=0)[:, None] & holds, axis=0)


def active_limits(candidates: CandidateLimits, cost: CostSlope) -> GroupConstraints:
    """The candidates that are active, with unit normals and gaps along them."""
    (slope, scales, near), limits = cost, candidates.limits
    size = jnp.linalg.norm(limits.normals, axis=0)
    size = jnp.where(size > 0, size, 1)
    units, gaps, room = limits.normals / size, limits.gaps / size, limits.gaps / candidates.widths
    root = jnp.sqrt(jnp.where(jnp.isfinite(scales), scales, 1))
    scaled, fall = units / root[:, None], -slope / root
    touched = room <= near
    pressed = touched & (_nonnegative_multipliers(jnp.where(touched, scaled, 0), fall) > 0)
    beside = jnp.where(pressed, scaled / jnp.maximum(jnp.linalg.norm(scaled, axis=0), np.finfo(slope.dtype).tiny), 0)
    reached = jnp.matmul(
        GroupConstraints(beside[None], gaps[None]).tangential(fall[None])[0], scaled, precision="highest"
    )
    is_active = pressed | (jnp.isfinite(scales[0]) & ~touched & (room <= NEARBY_LIMIT) & (len(slope) * gaps < reached))
    return GroupConstraints(jnp.where(is_active, units, 0), jnp.where(is_active, gaps, 0))


def _nonnegative_multipliers(units: Array, fall: Array) -> Array:
    """The p >= 0 (m,) for which ``units`` (s, m) times p comes nearest to ``fall`` (s,), by coordinate descent."""
    inner, outer = jnp.matmul(units.T, units, precision="highest"), jnp.matmul(fall, units, precision="highest")

    def sweep(_: int, multipliers: Array) -> Array:
        for a in range(len(outer)):
            own = jnp.where(inner[a, a] > 0, inner[a, a], 1)
            multipliers = multipliers.at[a].set(
                jnp.maximum(0, multipliers[a] + (outer[a] - jnp.vdot(inner[a], multipliers, precision="highest")) / own)
            )
        return multipliers

    return jax.lax.fori_loop(0, MULTIPLIER_SWEEPS, sweep, jnp.zeros_like(outer))
