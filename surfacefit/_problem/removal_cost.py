r"""What each component is worth: the rise in cost without it, after the others have adapted.

From the quadratic model at a minimum, N = J^T J: with C_k the block of N^-1 for component k, taking its amplitude a_k
to zero while its centre and shape stay and all else adapts costs a_k^2 [C_k^-1]_aa / 2. Of two components that can
stand in for each other, each costs almost nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import Array
from scipy.linalg.lapack import dtrtri

from .._base.compile import pass_jit
from .._model.block_layout import ALPHA, block_indices
from .._model.parameters import Parameterization
from .problem import SurfaceProblem

# On the unit diagonal of the scaled normal matrix, in double precision: the inverse then exists where components can
# stand in for each other, and a component that matters costs the same to ten digits.
INVERSE_RIDGE = 1e-10

# Units in the last place of one: the same in single precision, where INVERSE_RIDGE would vanish.
SINGLE_RIDGE_UNITS = 8

# Times the ridge where rounding leaves a matrix that is not positive definite: that takes one try more as a rule.
RIDGE_GROWTH = 10.0


def change_to_zero(parts: Parameterization, free: Any) -> Any:
    """How far the amplitudes' free numbers (K,) are from an amplitude of zero, to first order."""
    return parts.amplitude.value(free) / parts.amplitude.slope(free)


def quadratic_rise(change: Any, precision: Any) -> Any:
    """The rise in cost (K,) where one number changes and all others adapt: change^2 / (2 variance).

    ``precision`` (K,) is 1 / variance, [C_k^-1]_aa above.
    """
    return 0.5 * change**2 * precision


def normal_matrix(problem: SurfaceProblem, params: Array) -> Array:
    """J^T J (P, P). For the dense engine."""
    residuals, jacobian = problem.linearize(params)
    normal: Array = jacobian.normal(residuals)[0].as_matrix()
    return normal


def removal_costs(parts: Parameterization, problem: SurfaceProblem, params: np.ndarray, count: int) -> np.ndarray:
    """The rise in cost (count,) for the loss of each of the first components, with ``parts`` as NumPy arrays.

    Inverted on the host, since programs that hold inverses take half a second longer to compile; of the inverse only
    the components' own blocks are made, in a third of the time.
    """
    normal = np.asarray(_normal_matrix(problem, params))
    if not np.isfinite(normal).all():  # nothing is known of what each is worth
        return np.zeros(count)
    diagonal = np.diag(normal)
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1)).astype(float)
    single = SINGLE_RIDGE_UNITS * float(np.finfo(np.float32).eps)
    ridge = single if normal.dtype == np.float32 else INVERSE_RIDGE
    index = block_indices(np.arange(count), parts.layout.block_size)
    blocks = _inverse_blocks(normal / np.outer(root, root), ridge, index)
    try:
        own = np.linalg.inv(blocks)[:, ALPHA, ALPHA]
    except np.linalg.LinAlgError:  # nothing is known of what each is worth
        return np.zeros(count)
    free, scale = np.asarray(params, float)[index[:, ALPHA]], root[index[:, ALPHA]]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        loss = quadratic_rise(change_to_zero(parts, free) * scale, np.maximum(own, 0))
    return np.where(np.isfinite(loss), loss, 0)


def _inverse_blocks(matrix: np.ndarray, ridge: float, index: np.ndarray) -> np.ndarray:
    """Blocks (K, p, p), at rows and columns ``index`` (K, p), of the inverse of a matrix (P, P) plus a ``ridge``.

    The matrix is finite and has a unit diagonal. The ridge is positive, and grows until the sum is positive definite,
    which rounding may have prevented.
    """
    while True:
        try:
            lower = np.linalg.cholesky(matrix + ridge * np.eye(len(matrix)))
            break
        except np.linalg.LinAlgError:
            ridge *= RIDGE_GROWTH
    columns = dtrtri(lower, lower=True)[0].T[index]
    return columns @ columns.transpose(0, 2, 1)


_normal_matrix = pass_jit(normal_matrix)
