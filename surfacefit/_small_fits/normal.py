"""Cost, gradient and J^T J of all lanes at once: the one pass over the points that a step takes.

Every product of two columns of the Jacobian is summed over the points by itself. That is what XLA turns into straight
vector loops over the lanes; one product of stacked columns takes ten times as long on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from .._losses import Loss
from .algebra import Entries
from .gaussians import Component, SmallModel


class Quadratic(NamedTuple):
    """Cost (B,), its gradient, P arrays (B,), and J^T J as the entries of its lower triangle."""

    cost: Array
    gradient: Entries
    normal: Entries


@register_dataclass
@dataclass(frozen=True, eq=False)
class Lanes:
    """The data of B lanes: points (N, d) that all share, heights and weights (N, B), 0 where there is no point.

    ``floor`` (d,) is the least width; the numbers of ``loss`` are scalars or (B,); ``variance``, a scalar or (B,), is
    that of a residual, None where the misfit is to tell it.
    """

    points: Array
    heights: Array
    weights: Array
    floor: Array
    loss: Loss
    variance: Any = None


def linearized(model: SmallModel, lanes: Lanes, params: Entries) -> Quadratic:
    """The quadratic model of the cost at parameters, P arrays (B,)."""
    columns, heights = _columns(model, lanes, params)
    residuals = lanes.loss.residuals(heights, lanes.heights, lanes.weights)
    slopes = lanes.loss.slopes(heights, lanes.heights, lanes.weights)
    rows = jax.lax.optimization_barrier([residuals, *(slopes * column for column in columns)])
    factors, residuals, rows = _factors(model, lanes, params), rows[0], rows[1:]
    gradient = [factor * (row * residuals).sum(axis=0) for factor, row in zip(factors, rows, strict=True)]
    return Quadratic(0.5 * (residuals * residuals).sum(axis=0), gradient, _products(rows, factors))


def information(model: SmallModel, lanes: Lanes, params: Entries) -> Entries:
    """The matrix whose inverse is the covariance of the parameters, for residuals of variance one."""
    columns, heights = _columns(model, lanes, params)
    roots = jnp.sqrt(lanes.loss.information(heights, lanes.heights, lanes.weights))
    rows = jax.lax.optimization_barrier([roots * column for column in columns])
    return _products(rows, _factors(model, lanes, params))


def _columns(model: SmallModel, lanes: Lanes, params: Entries) -> tuple[list[Any], Array]:
    """Columns (N, B) of df/dp without the factor of each lane, and the heights (N, B) of the surface."""
    columns: list[Any] = []
    background = params[-1]
    heights = jnp.broadcast_to(background, lanes.heights.shape)
    for component in model.components(params, lanes.floor):
        g, others = model.columns(component, lanes.points)
        heights += component.amplitude * g
        columns += [g, *(g * other for other in others)]
    return [*columns, jnp.ones_like(heights)], heights


def _factors(model: SmallModel, lanes: Lanes, params: Entries) -> list[Any]:
    components: list[Component] = model.components(params, lanes.floor)
    return [factor for one in components for factor in model.factors(one)] + [jnp.ones_like(params[-1])]


def _products(rows: list[Array], factors: list[Array]) -> Entries:
    size = len(rows)
    return [(factors[i] * factors[j]) * (rows[i] * rows[j]).sum(axis=0) for i in range(size) for j in range(i + 1)]
