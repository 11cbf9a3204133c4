r"""What each component is worth: how much the cost would rise without it, the others adapting.

From the quadratic model at a minimum, N = J^T J: taking amplitude a_k to zero while all else adapts costs a_k² / (2 [N^-1]_kk), which is
the square of its Wald statistic over two. Of two components that stand in for each other either is worth nothing.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ._compile import quick_jit
from ._problem import SurfaceProblem

RIDGE = 1e-10


def removal_losses(problem: SurfaceProblem, params: Array) -> Array:
    """The rise in cost (K,) for the loss of each component; inf for idle ones. For the dense engine."""
    parts = problem.parameterization
    residuals, jacobian = problem.linearize(params)
    normal = jacobian.normal(residuals)[0].as_matrix()
    diagonal = jnp.diag(normal)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = normal / (root[:, None] * root[None, :])
    inverse = jnp.linalg.inv(scaled + RIDGE * jnp.eye(len(root), dtype=root.dtype))
    first = np.arange(parts.n_components) * parts.block_size
    free = params[first]
    change = parts.amplitude.value(free) / parts.amplitude.slope(free)
    loss = 0.5 * (change * root[first]) ** 2 / jnp.maximum(jnp.diag(inverse)[first], 1e-30)
    return jnp.where(parts.active & jnp.isfinite(loss), loss, jnp.where(parts.active, 0, jnp.inf))


losses = quick_jit(removal_losses)
