"""Components so low that nothing is said of where they are.

The derivatives of a centre go as one over the component's height: at 1e-9 of the heights they are 1e9, right for
changes of the heights that no one could make out, and no answer for any others. So a number counts as undetermined
where a change of it by order one - of a centre by a width - moves no weighted height by more than half of the digits of
the weighted heights' spread.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._model.block_layout import ALPHA
from .hessian import Hessian


def faint(hessian: Hessian, scales: Array) -> Array:
    """Which parameters (P,) have next to no effect, from the squared scales (P,) of all parameters."""
    problem, layout = hessian.problem, hessian.layout
    weights = jnp.abs(hessian.slopes)
    total = jnp.sum(weights)
    mean = jnp.vdot(weights, problem.heights, precision="highest") / jnp.where(total > 0, total, 1)
    spread = jnp.max(jnp.sqrt(weights) * jnp.abs(problem.heights - mean))
    free = layout.blocks(hessian.point.params)[:, ALPHA]
    amplitude = problem.parameterization.amplitude
    effects = jnp.maximum(scales - hessian.parts.diagonal(), 0)
    of_alpha = jnp.sqrt(layout.blocks(effects)[:, ALPHA])
    slope = amplitude.slope(free)
    heights = of_alpha * jnp.abs(amplitude.value(free)) / jnp.where(slope > 0, slope, 1)
    least = float(np.sqrt(np.finfo(scales.dtype).eps)) * spread
    others = jnp.broadcast_to((heights < least)[:, None], (layout.n_components, layout.block_size))
    return concatenated([others.at[:, ALPHA].set(of_alpha < least).ravel(), jnp.zeros(layout.n_border, bool)])
