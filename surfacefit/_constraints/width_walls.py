"""Which limits of a component's widths are walls for the next step, where several may meet and widths may be equal."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .walls import Wall

SWEEPS = 20
STRAIGHT = 0.03  # of a width: farther limits are not straight enough to be walls


class Push(NamedTuple):
    """Slopes of the cost in a shape (s,), the solver's scales of it (s,), infinite if unknown, and what is near, of a
    width.
    """

    slope: Array
    scales: Array
    near: float


class Sides(NamedTuple):
    """Limits as outward slopes (s, m) with so much room (m,), beside widths (m,); and which widths (m, d) each of them
    holds.
    """

    limits: Wall
    widths: Array
    holds: np.ndarray


class Strain(NamedTuple):
    """Widths as a symmetric matrix (d, d), with its slopes (d, d, s); which of them count as equal (d, d); and the
    changes of shape (d, d, s) that change one width alone, or one angle.
    """

    values: Array
    slopes: Array
    alike: Array
    alone: Array


def strained(factor: Array, slopes: Array, push: Push, most: Array) -> Strain:
    """Widths of a factor (d, d) with slopes (d, d, s), diagonal but where they are so nearly equal that a step would
    turn them anyhow.

    Equal widths have no axes of their own: they get those that diagonalise the slopes of the cost.
    """
    u, widths, v = jnp.linalg.svd(factor)
    moved = jnp.einsum("in,ijs,mj->nms", u, slopes, v, precision="highest")
    rows, columns = np.tril_indices(len(widths))
    relative = moved * jnp.sqrt(widths / widths[:, None])[:, :, None]
    pull = jnp.linalg.solve((relative + relative.swapaxes(0, 1))[rows, columns].T, push.slope)
    pull = pull * jnp.where(rows == columns, 2, 1).astype(widths.dtype)
    turned = jnp.abs(jnp.matmul(moved + moved.swapaxes(0, 1), push.slope / push.scales, precision="highest"))
    apart = widths[:-1] - widths[1:]
    far = apart > jnp.clip(len(push.slope) * jnp.diag(turned, 1), push.near * widths[:-1], most * widths[:-1])
    group = jnp.append(jnp.zeros(1, widths.dtype), jnp.cumsum(far.astype(widths.dtype)))
    alike = group == group[:, None]
    pull = pull / jnp.maximum(jnp.abs(pull).max(), np.finfo(pull.dtype).tiny)
    pulls = jnp.where(alike, jnp.zeros_like(factor).at[rows, columns].set(pull).at[columns, rows].set(pull), 0)
    turn = jnp.linalg.eigh(pulls + jnp.diag(8.0 * len(widths) * group))[1]
    slopes = jnp.einsum("na,mb,nms->abs", turn, turn, moved, precision="highest")
    changes = jnp.linalg.inv((relative + relative.swapaxes(0, 1))[rows, columns]).T
    each = jnp.zeros_like(moved).at[rows, columns].set(changes).at[columns, rows].set(changes)
    alone = jnp.einsum("na,mb,nms->abs", turn, turn, each, precision="highest")
    return Strain(
        jnp.matmul(turn.T * widths, turn, precision="highest"), (slopes + slopes.swapaxes(0, 1)) / 2, alike, alone
    )


def with_angles(wall: Wall, holds: np.ndarray, strain: Strain) -> Wall:
    """With walls for the angles between equal widths of which one is held: to turn would make one of them pass its
    limit.
    """
    rows, columns = np.tril_indices(len(strain.values), -1)
    held = _held(wall, holds)
    angles = jnp.where((strain.alike & (held | held[:, None]))[rows, columns], strain.slopes[rows, columns].T, 0)
    size = jnp.linalg.norm(angles, axis=0)
    size, gaps = jnp.where(size > 0, size, 1), jnp.where(size > 0, -strain.values[rows, columns], 0)
    return Wall(jnp.concatenate([wall.normals, angles / size], axis=1), jnp.append(wall.gaps, gaps / size))


def unknown(wall: Wall, holds: np.ndarray, strain: Strain) -> Array:
    """Changes of shape (s, d (d + 1) / 2) that limits keep anybody from knowing: of each width that one holds, and of
    angles with it.
    """
    rows, columns = np.tril_indices(len(strain.values))
    held = _held(wall, holds)
    some = jnp.where(rows == columns, held[rows], (strain.alike & (held | held[:, None]))[rows, columns])
    return jnp.where(some, strain.alone[rows, columns].T, 0)


def _held(wall: Wall, holds: np.ndarray) -> Array:
    """Which widths (d,) stand at a wall."""
    return jnp.any(jnp.any(wall.normals[:, : len(holds)] != 0, axis=0)[:, None] & holds, axis=0)


def facing(sides: Sides, push: Push) -> Wall:
    """The limits that the slope of the cost pushes against."""
    (slope, scales, near), limits = push, sides.limits
    size = jnp.linalg.norm(limits.normals, axis=0)
    size = jnp.where(size > 0, size, 1)
    units, gaps, room = limits.normals / size, limits.gaps / size, limits.gaps / sides.widths
    root = jnp.sqrt(jnp.where(jnp.isfinite(scales), scales, 1))
    scaled, fall = units / root[:, None], -slope / root
    touched = room <= near
    pressed = touched & (_pressures(jnp.where(touched, scaled, 0), fall) > 0)
    beside = jnp.where(pressed, scaled / jnp.maximum(jnp.linalg.norm(scaled, axis=0), np.finfo(slope.dtype).tiny), 0)
    reached = jnp.matmul(Wall(beside[None], gaps[None]).along(fall[None])[0], scaled, precision="highest")
    walls = pressed | (jnp.isfinite(scales[0]) & ~touched & (room <= STRAIGHT) & (len(slope) * gaps < reached))
    return Wall(jnp.where(walls, units, 0), jnp.where(walls, gaps, 0))


def _pressures(units: Array, fall: Array) -> Array:
    """The p >= 0 (m,) that make units (s, m) times p nearest to fall (s,), nearly: coordinate descent."""
    inner, outer = jnp.matmul(units.T, units, precision="highest"), jnp.matmul(fall, units, precision="highest")

    def sweep(_: int, pressures: Array) -> Array:
        for a in range(len(outer)):
            own = jnp.where(inner[a, a] > 0, inner[a, a], 1)
            pressures = pressures.at[a].set(
                jnp.maximum(0, pressures[a] + (outer[a] - jnp.vdot(inner[a], pressures)) / own)
            )
        return pressures

    return jax.lax.fori_loop(0, SWEEPS, sweep, jnp.zeros_like(outer))
