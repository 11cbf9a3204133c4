"""What a joint step costs with either engine, in nominal seconds: counted from sizes, not from the clock.

Nominal seconds are about CPU seconds of two cores of an Intel Xeon of 2024, both threads counted. `engine="auto"` picks
the engine whose step is the cheaper one, and searches count their work by them (`_solvers/work`). Measured for both
engines: K = 16 to 200 on 5,307 to 138,632 points in two dimensions, K = 25 to 100 on 8,000 in three
(docs/experiments/tiled_engine.md); most are right within a factor of 1.5.
"""

from __future__ import annotations

# Nominal seconds of a step of the smallest problem, which is the overhead of its dispatch.
STEP_SECONDS = 8e-4
# Nominal seconds for the value of a component at a point: an exponential and the moments around it.
VALUE_SECONDS = 2.2e-8
# Nominal seconds for a point's part in an entry of J^T J.
PRODUCT_SECONDS = 3e-11
# Nominal seconds for an entry of J^T J times a column, in a Cholesky factorisation.
FACTOR_SECONDS = 2e-11
# Nominal seconds for a point, in a step of the tiled engine.
TILED_POINT_SECONDS = 2.5e-7
# Nominal seconds for an entry of a component's own block of J^T J, with those that it shares with others, in a step of
# the tiled engine.
TILED_ENTRY_SECONDS = 2.8e-5
# Components from which a step of the tiled engine takes hardly longer with more of them on the same points, since they
# become narrower.
MAX_OVERLAPPING_COMPONENTS = 130


def dense_step_seconds(n_points: int, n_components: int, n_parameters: int, thinned: int = 1) -> float:
    """Nominal seconds of a step of the dense engine; J^T J is computed from one point in ``thinned``."""
    values = VALUE_SECONDS * n_points * n_components
    products = PRODUCT_SECONDS * n_points / thinned * n_parameters**2
    return STEP_SECONDS + values + products + FACTOR_SECONDS * n_parameters**3


def tiled_step_seconds(n_points: int, n_components: int, n_parameters: int) -> float:
    """Nominal seconds of a step of the tiled engine on an even grid."""
    size = n_parameters / max(1, n_components)
    blocks = TILED_ENTRY_SECONDS * size**2 * min(n_components, MAX_OVERLAPPING_COMPONENTS)
    return STEP_SECONDS + TILED_POINT_SECONDS * n_points + blocks
