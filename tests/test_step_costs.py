"""What a step costs: the engine that was measured to be the faster one is picked."""

import pytest

from surfacefit._engines.engines import Dense, EngineChoice, Tiled
from surfacefit._engines.step_costs import dense_step_seconds, tiled_step_seconds

# Points, components, numbers of each, CPU ms of a dense and of a tiled step (docs/experiments/tiled_engine.md).
MEASURED = [
    (5307, 32, 6, 9.3, 20.8),
    (5307, 64, 6, 28.4, 47.2),
    (5307, 100, 6, 80.3, 124.6),
    (5307, 200, 6, 358.7, 148.5),
    (138_632, 16, 6, 149.8, 49.4),
    (138_632, 64, 6, 813.0, 80.0),
    (8000, 25, 10, 36.3, 196.4),
    (8000, 50, 10, 73.2, 206.9),
    (8000, 100, 10, 202.6, 375.0),
]


@pytest.mark.parametrize(("n_points", "count", "numbers", "dense", "tiled"), MEASURED)
def test_the_faster_engine_is_picked(n_points, count, numbers, dense, tiled):
    picked = EngineChoice(None).picked(n_points, count, count * numbers + 1)
    assert isinstance(picked, Dense if dense < tiled else Tiled)


@pytest.mark.parametrize(("n_points", "count", "numbers", "dense", "tiled"), MEASURED)
def test_costs_are_those_measured(n_points, count, numbers, dense, tiled):
    size = (n_points, count, count * numbers)
    assert dense / 2 < 1e3 * dense_step_seconds(*size) < 2 * dense
    assert tiled / 3 < 1e3 * tiled_step_seconds(*size) < 3 * tiled


def test_an_engine_that_is_asked_for_is_taken():
    assert isinstance(EngineChoice(Tiled()).picked(100, 1, 6), Tiled)
    assert isinstance(EngineChoice(Dense()).picked(10**7, 100, 600), Dense)
