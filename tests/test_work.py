"""Nominal work: what a search does counts, by its size and not by the clock."""

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._search.initialization import StartPlan, _effort
from surfacefit._search.moves import Neighbourhood
from surfacefit._search.pruning import without_least_useful
from surfacefit._search.refits import refit
from surfacefit._search.states import State
from surfacefit._solvers.work import local_seconds, removal_seconds, step_seconds

PLACES = np.stack(np.mgrid[:30, :40].astype(float), axis=-1)
TRUTH = sf.GaussianSurface([3.0, 2.0], np.array([[6.0, 6.0], [13.0, 16.0]]), np.tile(4.0 * np.eye(2), (2, 1, 1)))


@pytest.fixture
def context():
    with precision(DOUBLE):
        yield search_context(TRUTH(PLACES), 2)


def test_joint_steps_count(context):
    state = state_of(context, TRUTH)
    refit(context, state.blocks * 1.01, state.border, 5)
    assert context.progress.work == pytest.approx(context.progress.steps * step_seconds(context.prepared))
    assert context.progress.work > 0


def test_predictions_of_losses_count(context):
    without_least_useful(context, state_of(context, TRUTH), 1)
    assert context.progress.work == pytest.approx(removal_seconds(context.prepared))


def test_local_refits_count_by_their_windows(context):
    around = Neighbourhood(context, state_of(context, TRUTH))
    around.refit(around.removals([0, 1]), 3)
    assert context.progress.work == pytest.approx(local_seconds(2, context.windows.size, 3))
    assert local_seconds(2, 512, 3) < local_seconds(2, 2048, 3)


@pytest.mark.parametrize(
    ("numbers", "count", "work"),
    [(3, 10, 9.0), (6, 10, 9.0), (6, 100, 60.0), (10, 10, 9.0 * (10 / 6) ** 3), (10, 100, 100.0), (28, 100, 100.0)],
)
def test_the_work_of_a_search_grows_with_the_numbers_of_a_component(numbers, count, work):
    """With their cube up to three dimensions, and the most of it with their number."""
    plan, state = StartPlan("auto", None, 0), State(1.0, np.zeros((count, numbers)), np.zeros(0))
    assert _effort(plan, state, 0.0).work == pytest.approx(work)
    assert _effort(plan, state, 1000.0).work == 2000.0
