"""How J^T J is held and how the damped system is solved: pick one of these.

A normal matrix is a record with ``mv``, ``diagonal``, ``solve``, ``as_matrix`` and ``least_damping``. `DenseNormal`
holds the whole matrix and factorises it, `BlockNormal` the blocks of overlapping components, `ProductNormal` only the
blocks on the diagonal; the latter two solve by conjugate gradients. `SummedNormal` is the sum of what the devices of a
mesh hold.
"""

from .base import Normal
from .block_pattern import BlockPattern
from .blocks import DIRECT_SOLVE_PARAMETERS, BlockNormal, scaled_blocks
from .dense import DenseNormal
from .products import ProductNormal, needs_jacobian
from .summed import SummedNormal

__all__ = [
    "DIRECT_SOLVE_PARAMETERS",
    "BlockNormal",
    "BlockPattern",
    "DenseNormal",
    "Normal",
    "ProductNormal",
    "SummedNormal",
    "needs_jacobian",
    "scaled_blocks",
]
