"""Components so low that nothing is said of where they are.

The derivatives of a centre go as one over the component's height: at 1e-9 of the heights they are 1e9, right for
changes of the heights that no one could make out, and no answer for any others. So a number counts as undetermined
where a change of it by order one - of a centre by a width - moves no weighted height by more than half of the digits of
the weighted heights' spread. Where all heights are alike, nothing is said of any component.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._model.block_layout import ALPHA
from .hessian import Hessian

# Roundings of the largest height below which the heights' spread is none: a mean has some.
SPREAD_ROUNDINGS = 8


def faint(hessian: Hessian, scales: Array) -> Array:
    """Which parameters (P,) have next to no effect, from the squared scales (P,) of all parameters."""
    problem, layout = hessian.problem, hessian.layout
    weights = jnp.abs(hessian.slopes)
    total = jnp.sum(weights)
    mean = jnp.vdot(weights, problem.heights, precision="highest") / jnp.where(total > 0, total, 1)
    eps = float(np.finfo(scales.dtype).eps)
    roots = jnp.sqrt(weights)
    spread = jnp.max(roots * jnp.abs(problem.heights - mean))
    differ = spread > SPREAD_ROUNDINGS * eps * jnp.max(roots * jnp.abs(problem.heights))
    free = layout.blocks(hessian.point.params)[:, ALPHA]
    amplitude = problem.parameterization.amplitude
    effects = jnp.maximum(scales - hessian.parts.diagonal(), 0)
    of_alpha = jnp.sqrt(layout.blocks(effects)[:, ALPHA])
    slope = amplitude.slope(free)
    heights = of_alpha * jnp.abs(amplitude.value(free)) / jnp.where(slope > 0, slope, 1)
    least = jnp.where(differ, float(np.sqrt(eps)) * spread, jnp.inf)
    others = jnp.broadcast_to((heights < least)[:, None], (layout.n_components, layout.block_size))
    return concatenated([others.at[:, ALPHA].set(of_alpha < least).ravel(), jnp.zeros(layout.n_border, bool)])
