"""How the Jacobian of a sum of Gaussians is stored and applied: pick one of these engines.

An engine is a record with ``model(points, components)`` and ``jacobian(points, weights, components, chain)``;
what the latter returns is a `Jacobian` operator. All engines are tested against the dense one through one table.
"""

from ._curvature import Curvature
from ._dense import DenseEngine, MatrixJacobian, background_rows
from ._operator import Engine, Jacobian
from ._penalized import PenalizedJacobian
from ._tile_plan import TilePlan
from ._tiled import TiledEngine

__all__ = [
    "Curvature",
    "DenseEngine",
    "Engine",
    "Jacobian",
    "MatrixJacobian",
    "PenalizedJacobian",
    "TilePlan",
    "TiledEngine",
    "background_rows",
]
