"""How the Jacobian of a sum of Gaussians is stored and applied: pick one of these engines.

An engine is a record with ``model(points, components)`` and ``jacobian(points, weights, components, chain)``;
what the latter returns is a `Jacobian` operator. All engines are tested against the dense one through one table.
"""

from .curvature import Curvature, Frame
from .dense import DenseEngine, MatrixJacobian, background_rows, chunk_numbers
from .local import LocalEngine
from .operator import ColumnJacobian, Engine, Jacobian
from .penalized import PenalizedJacobian
from .pixel_mean import PixelEngine
from .sharded import ShardedEngine
from .tile_plan import GhostTable, TilePlan
from .tiled import TiledEngine
from .tiled_pixel_mean import TiledPixelEngine

__all__ = [
    "ColumnJacobian",
    "Curvature",
    "DenseEngine",
    "Engine",
    "Jacobian",
    "LocalEngine",
    "MatrixJacobian",
    "PenalizedJacobian",
    "PixelEngine",
    "ShardedEngine",
    "Frame",
    "GhostTable",
    "TilePlan",
    "TiledEngine",
    "TiledPixelEngine",
    "background_rows",
    "chunk_numbers",
]
