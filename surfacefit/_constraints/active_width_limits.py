"""Which limits of a component's widths are active in the next step, where several may meet and widths may be equal."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .active_constraints import GroupConstraints

SWEEPS = 20
NEARBY_LIMIT = 0.03  # of a width: farther limits are not straight enough to be active


class CostSlope(NamedTuple):
    """Slopes of the cost in a shape (s,), the solver's scales of it (s,), infinite if unknown, and what is near, of a
    width.
    """

    slope: Array
    scales: Array
    near: float


class CandidateLimits(NamedTuple):
    """Limits as outward slopes (s, m) with so much room (m,), beside widths (m,); and which widths (m, d) each of them
    holds.
    """

    limits: GroupConstraints
    widths: Array
    holds: np.ndarray


class WidthFrame(NamedTuple):
    """Widths as a symmetric matrix (d, d), with its slopes (d, d, s); which of them count as equal (d, d); and the
    changes of shape (d, d, s) that change one width alone, or one angle.
    """

    values: Array
    slopes: Array
    equal: Array
    separate_changes: Array


def width_frame(factor: Array, slopes: Array, cost: CostSlope, most: Array) -> WidthFrame:
    """Widths of a factor (d, d) with slopes (d, d, s), diagonal but where they are so nearly equal that a step would
    turn them anyhow.

    Equal widths have no axes of their own: they get those that diagonalise the slopes of the cost.
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
    alike = group == group[:, None]
    pull = pull / jnp.maximum(jnp.abs(pull).max(), np.finfo(pull.dtype).tiny)
    pulls = jnp.where(alike, jnp.zeros_like(factor).at[rows, columns].set(pull).at[columns, rows].set(pull), 0)
    turn = jnp.linalg.eigh(pulls + jnp.diag(8.0 * len(widths) * group))[1]
    slopes = jnp.einsum("na,mb,nms->abs", turn, turn, moved, precision="highest")
    changes = jnp.linalg.inv((relative + relative.swapaxes(0, 1))[rows, columns]).T
    each = jnp.zeros_like(moved).at[rows, columns].set(changes).at[columns, rows].set(changes)
    alone = jnp.einsum("na,mb,nms->abs", turn, turn, each, precision="highest")
    return WidthFrame(
        jnp.matmul(turn.T * widths, turn, precision="highest"), (slopes + slopes.swapaxes(0, 1)) / 2, alike, alone
    )


def with_fixed_angles(wall: GroupConstraints, holds: np.ndarray, frame: WidthFrame) -> GroupConstraints:
    """With walls for the angles between equal widths of which one is held: to turn would make one of them pass its
    limit.
    """
    rows, columns = np.tril_indices(len(frame.values), -1)
    held = _held(wall, holds)
    angles = jnp.where((frame.equal & (held | held[:, None]))[rows, columns], frame.slopes[rows, columns].T, 0)
    size = jnp.linalg.norm(angles, axis=0)
    size, gaps = jnp.where(size > 0, size, 1), jnp.where(size > 0, -frame.values[rows, columns], 0)
    return GroupConstraints(jnp.concatenate([wall.normals, angles / size], axis=1), jnp.append(wall.gaps, gaps / size))


def undetermined_changes(wall: GroupConstraints, holds: np.ndarray, frame: WidthFrame) -> Array:
    """Changes of shape (s, d (d + 1) / 2) that limits keep anybody from knowing: of each width that one holds, and of
    angles with it.
    """
    rows, columns = np.tril_indices(len(frame.values))
    held = _held(wall, holds)
    some = jnp.where(rows == columns, held[rows], (frame.equal & (held | held[:, None]))[rows, columns])
    return jnp.where(some, frame.separate_changes[rows, columns].T, 0)


def _held(wall: GroupConstraints, holds: np.ndarray) -> Array:
    """Which widths (d,) stand at a wall."""
    return jnp.any(jnp.any(wall.normals[:, : len(holds)] != 0, axis=0)[:, None] & holds, axis=0)


def active_limits(candidates: CandidateLimits, cost: CostSlope) -> GroupConstraints:
    """The limits that the slope of the cost pushes against."""
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
    walls = pressed | (jnp.isfinite(scales[0]) & ~touched & (room <= NEARBY_LIMIT) & (len(slope) * gaps < reached))
    return GroupConstraints(jnp.where(walls, units, 0), jnp.where(walls, gaps, 0))


def _nonnegative_multipliers(units: Array, fall: Array) -> Array:
    """The p >= 0 (m,) that make units (s, m) times p nearest to fall (s,), nearly: coordinate descent."""
    inner, outer = jnp.matmul(units.T, units, precision="highest"), jnp.matmul(fall, units, precision="highest")

    def sweep(_: int, multipliers: Array) -> Array:
        for a in range(len(outer)):
            own = jnp.where(inner[a, a] > 0, inner[a, a], 1)
            multipliers = multipliers.at[a].set(
                jnp.maximum(0, multipliers[a] + (outer[a] - jnp.vdot(inner[a], multipliers, precision="highest")) / own)
            )
        return multipliers

    return jax.lax.fori_loop(0, SWEEPS, sweep, jnp.zeros_like(outer))
