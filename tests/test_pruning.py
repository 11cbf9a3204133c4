"""Pruning: the component that goes is the one whose loss costs least in a refit without it."""

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of

import surfacefit as sf
import surfacefit._search.pruning
from surfacefit._base.precision import precision
from surfacefit._model.block_layout import block_indices
from surfacefit._model.surface import map_components
from surfacefit._problem.removal_cost import _inverse_blocks
from surfacefit._search.moves import removal_losses
from surfacefit._search.pruning import MIN_DISTANCE_WIDTHS, mutually_distant, without_least_useful
from surfacefit._search.refits import refit

PLACES = np.stack(np.mgrid[:24, :30].astype(float), axis=-1)
CENTERS = np.array([[6.0, 6.0], [6.0, 22.0], [17.0, 7.0], [17.0, 10.5]])
TRUTH = sf.GaussianSurface([3.0, 0.6, 2.0, 1.5], CENTERS, np.tile(4.0 * np.eye(2), (4, 1, 1)))
HEIGHTS = TRUTH(PLACES) + 0.02 * np.random.default_rng(0).normal(size=PLACES.shape[:2])


@pytest.fixture(scope="module")
def fitted():
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 4)
        state = state_of(context, TRUTH)
        yield context, refit(context, state.blocks, state.border, 30)


def costs_without(context, state):
    """The cost after a refit without each component."""
    return np.array([refit(context, np.delete(state.blocks, k, axis=0), state.border, 60).cost for k in range(4)])


def test_predicted_losses_are_those_of_refits(fitted):
    """Of components that stand alone nearly so; where others move to take their place, a refit costs less."""
    context, state = fitted
    with precision(DOUBLE):
        predicted, rises = removal_losses(context, state), costs_without(context, state) - state.cost
    assert predicted.argmin() == rises.argmin()
    assert (rises <= 1.05 * predicted).all()
    assert rises[:2] == pytest.approx(predicted[:2], rel=0.05)


@pytest.mark.parametrize("by_inverse", [True, False])
def test_the_least_useful_goes(fitted, by_inverse, monkeypatch):
    context, state = fitted
    if not by_inverse:
        monkeypatch.setattr(surfacefit._search.pruning, "has_inverse", lambda context: False)
    with precision(DOUBLE):
        left = refit(context, without_least_useful(context, state, 1), state.border, 60)
        lowest = costs_without(context, state).min()
    assert left.size == 3
    assert left.cost == pytest.approx(lowest, rel=1e-3)


def test_components_that_go_together_are_far_apart():
    order = [3, 2, 0, 1]
    chosen = mutually_distant(map_components(TRUTH, np.asarray), order, 4)
    assert chosen == [3, 0, 1]  # the third is 3.5 from the fourth, 1.2 widths of their difference
    for k in chosen:
        for other in chosen:
            offset = CENTERS[k] - CENTERS[other]
            assert k == other or offset @ offset / 8 > MIN_DISTANCE_WIDTHS**2
    assert mutually_distant(map_components(TRUTH, np.asarray), order, 1) == [3]


def unit_matrix(columns):
    """J^T J with a unit diagonal."""
    matrix = columns.T @ columns
    root = np.sqrt(np.diag(matrix))
    return matrix / np.outer(root, root)


def test_losses_are_known_where_rounding_leaves_no_positive_definite_matrix():
    """Of two components with the same columns J^T J is singular, and rounding in single precision makes it less."""
    columns = np.random.default_rng(0).normal(size=(50, 6))
    matrix = unit_matrix(np.concatenate([columns, columns], axis=1)) - 1e-4 * np.eye(12)
    blocks = _inverse_blocks(matrix, 1e-6, block_indices(np.arange(2), 6))
    assert np.isfinite(blocks).all()
    assert (np.linalg.eigvalsh(blocks) > 0).all()


def test_blocks_of_the_inverse_are_those_of_the_whole():
    matrix = unit_matrix(np.random.default_rng(0).normal(size=(60, 18)))
    index = block_indices(np.arange(3), 6)
    whole = np.linalg.inv(matrix + 1e-10 * np.eye(18))[index[:, :, None], index[:, None, :]]
    np.testing.assert_allclose(_inverse_blocks(matrix, 1e-10, index), whole, rtol=1e-10, atol=1e-12)
