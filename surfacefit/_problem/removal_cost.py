r"""What each component is worth: the rise in cost without it, after the others have adapted.

From the quadratic model at a minimum, N = J^T J: with C_k the block of N^-1 for component k, taking its amplitude a_k
to zero while its centre and shape stay and all else adapts costs a_k^2 [C_k^-1]_aa / 2. Of two components that can
stand in for each other, each costs almost nothing.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._model.block_layout import ALPHA, block_indices
from .._model.parameters import Parameterization
from .problem import SurfaceProblem

# On the unit diagonal of the scaled normal matrix, in double precision: the inverse then exists where components can
# stand in for each other, and a component that matters costs the same to ten digits.
INVERSE_RIDGE = 1e-10

# Units in the last place of one: the same in single precision, where INVERSE_RIDGE would vanish.
SINGLE_RIDGE_UNITS = 8


def change_to_zero(parts: Parameterization, free: Any) -> Any:
    """How far the amplitudes' free numbers (K,) are from an amplitude of zero, to first order."""
    return parts.amplitude.value(free) / parts.amplitude.slope(free)


def quadratic_rise(change: Any, precision: Any) -> Any:
    """The rise in cost (K,) where one number changes and all others adapt: change^2 / (2 variance).

    ``precision`` (K,) is 1 / variance, [C_k^-1]_aa above.
    """
    return 0.5 * change**2 * precision


def removal_costs_of(problem: SurfaceProblem, params: Array) -> Array:
    """The rise in cost (K,) for the loss of each component; inf for idle ones. For the dense engine."""
    parts = problem.parameterization
    residuals, jacobian = problem.linearize(params)
    normal = jacobian.normal(residuals)[0].as_matrix()
    diagonal = jnp.diag(normal)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = normal / (root[:, None] * root[None, :])
    single = SINGLE_RIDGE_UNITS * float(np.finfo(np.float32).eps)
    ridge = single if root.dtype == np.float32 else INVERSE_RIDGE
    inverse = jnp.linalg.inv(scaled + ridge * jnp.eye(len(root), dtype=root.dtype))
    index = block_indices(np.arange(parts.n_components), parts.layout.block_size)
    own = jnp.linalg.inv(inverse[index[:, :, None], index[:, None, :]])[:, ALPHA, ALPHA]
    free, scale = params[index[:, ALPHA]], root[index[:, ALPHA]]
    loss = quadratic_rise(change_to_zero(parts, free) * scale, jnp.maximum(own, 0))
    return jnp.where(parts.active & jnp.isfinite(loss), loss, jnp.where(parts.active, 0, jnp.inf))


removal_costs = quick_jit(removal_costs_of)
