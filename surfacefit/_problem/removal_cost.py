r"""What each component is worth: how much the cost would rise without it, the others adapting.

From the quadratic model at a minimum, N = J^T J: with C_k the block of N^-1 of component k, taking its amplitude a_k to
zero, its centre and shape held and all else adapting, costs a_k^2 [C_k^-1]_aa / 2. Of two components that stand in for
each other either is worth next to nothing.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._model.block_layout import ALPHA, block_indices
from .problem import SurfaceProblem

RIDGE = 1e-10


def losses_of(problem: SurfaceProblem, params: Array) -> Array:
    """The rise in cost (K,) for the loss of each component; inf for idle ones. For the dense engine."""
    parts = problem.parameterization
    residuals, jacobian = problem.linearize(params)
    normal = jacobian.normal(residuals)[0].as_matrix()
    diagonal = jnp.diag(normal)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = normal / (root[:, None] * root[None, :])
    ridge = max(RIDGE, 8 * float(np.finfo(root.dtype).eps)) if root.dtype == np.float32 else RIDGE
    inverse = jnp.linalg.inv(scaled + ridge * jnp.eye(len(root), dtype=root.dtype))
    index = block_indices(np.arange(parts.n_components), parts.layout.block_size)
    own = jnp.linalg.inv(inverse[index[:, :, None], index[:, None, :]])[:, ALPHA, ALPHA]
    free, scale = params[index[:, ALPHA]], root[index[:, ALPHA]]
    change = parts.amplitude.value(free) / parts.amplitude.slope(free)
    loss = 0.5 * (change * scale) ** 2 * jnp.maximum(own, 0)
    return jnp.where(parts.active & jnp.isfinite(loss), loss, jnp.where(parts.active, 0, jnp.inf))


losses = quick_jit(losses_of)
