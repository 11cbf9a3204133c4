"""Perturbations: what is good in two minima is combined, and visited minima are remembered."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of

import surfacefit as sf
import surfacefit._search.perturbations
import surfacefit._search.search
from surfacefit._base.memory import MemoryShort
from surfacefit._base.precision import precision
from surfacefit._search.context import HURRIED, FitHalted
from surfacefit._search.perturbations import (
    MAX_MINIMA,
    Minima,
    _draw_kind,
    _wanted,
    crossover,
    is_better,
    perturbed,
    remove_and_regrow,
    split_and_merge,
)
from surfacefit._search.refits import refit, run_parallel
from surfacefit._search.residual_views import ResidualViews
from surfacefit._search.search import Effort, search
from surfacefit._search.states import State
from surfacefit._search.surrogate import surrogate

CENTERS = np.array([[8.0, 8.0], [8.0, 40.0], [24.0, 8.0], [24.0, 40.0]])
PLACES = np.stack(np.mgrid[:32, :48].astype(float), axis=-1)


def state(cost):
    return State(cost, np.zeros((2, 6)), np.zeros(0))


def surface(centers=CENTERS):
    return sf.GaussianSurface(np.full(len(centers), 2.0), centers, np.tile(4.0 * np.eye(2), (len(centers), 1, 1)))


def test_a_crossover_takes_the_good_half_of_either():
    """Two components of four sit double on a bump: on the left in one minimum, on the right in the other."""
    heights = surface()(PLACES)
    with precision(DOUBLE):
        context = search_context(heights, 4)

        def stuck(rows):
            centers = CENTERS[rows] + np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
            return refit(
                context,
                state_of(context, surface(centers)).blocks,
                np.zeros(0),
                60,
            )

        one, other = stuck([0, 0, 1, 3]), stuck([0, 2, 1, 1])
        rng = np.random.default_rng(0)
        costs = [crossover(context, *pair, rng).cost for pair in ((one, other), (other, one)) * 8]
        exact = state_of(context, surface(CENTERS))
        empty = context.views.background_only()
    assert min(one.cost, other.cost) > 0.01 * empty.cost
    assert exact.cost < 1e-12 * empty.cost
    assert min(costs) < 1e-6 * one.cost


def test_a_split_and_a_merge_move_a_component_to_where_one_is_missing():
    """Two components share one bump, and one lies over two: no component near the two is one too many."""
    truth = surface(np.array([[8.0, 8.0], [24.0, 36.0], [24.0, 42.0]]))
    doubled = np.array([[8.0, 7.5], [8.0, 8.5], [24.0, 39.0]])
    with precision(DOUBLE):
        context = search_context(truth(PLACES), 3)
        stuck = refit(context, state_of(context, surface(doubled)).blocks, np.zeros(0), 60)
        tries = [split_and_merge(context, stuck, np.random.default_rng(seed)) for seed in range(4)]
        empty = context.views.background_only()
    assert stuck.cost > 0.01 * empty.cost
    assert all(one.size == 3 for one in tries)
    assert min(one.cost for one in tries) < 1e-6 * stuck.cost


def test_most_perturbations_of_many_components_split_and_merge():
    with precision(DOUBLE):
        context = search_context(surface()(PLACES), 4)
    small = replace(context, original=context)
    rng = np.random.default_rng(0)
    drawn = [_draw_kind(small, 32, 1, rng) for _ in range(200)]
    assert drawn.count(split_and_merge) > 140


def test_perturbations_that_found_nothing_give_way_to_a_walk_from_one_that_leads_far_away():
    with precision(DOUBLE):
        context = search_context(surface()(PLACES), 4)
    small = replace(context, original=context)
    counts = {failures: _wanted(small, 32, failures) for failures in (1, 2, 9)}
    assert counts == {1: 12, 2: 1, 9: 1}
    assert _wanted(small, 8, 9) == _wanted(small, 8, 1) == 24  # of few components perturbations are cheap
    rng = np.random.default_rng(0)
    few, many = ([_draw_kind(small, size, 2, rng) for _ in range(200)] for size in (25, 250))
    assert few.count(remove_and_regrow) > 140
    assert 8 < many.count(remove_and_regrow) < 60


def test_volumes_are_walked_at_once_and_fits_in_a_hurry_never():
    places = np.stack(np.mgrid[:6, :6, :6].astype(float), axis=-1)
    with precision(DOUBLE):
        context = search_context(np.exp(-np.sum((places - 2.5) ** 2, axis=-1) / 4), 4)
        flat = search_context(surface()(PLACES), 4)
    assert _wanted(replace(context, original=context), 25, 1) == 1
    assert _wanted(replace(flat, original=flat, pace=HURRIED), 32, 9) == 12


@pytest.mark.parametrize(("ends", "begins"), [([1.0, 1.0, 1.5, 1.2], 1.5), ([1.0] * 4, 1.0)])
def test_a_walk_begins_where_the_search_has_not_been(monkeypatch, ends, begins):
    """A round of one perturbation draws again where that comes back to a visited minimum, but not for ever."""
    left = list(ends)
    many = State(1.0, np.zeros((25, 6)), np.zeros(0))
    made = surfacefit._search.perturbations
    monkeypatch.setattr(made, "_perturb", lambda *given: many._replace(cost=left.pop(0)))
    with precision(DOUBLE):
        context = search_context(surface()(PLACES), 4)
    begun = perturbed(context, Minima(many), np.random.default_rng(0), 2, lambda state: False)
    assert begun.cost == begins


def test_minima_keep_the_best_and_a_few_that_are_near():
    met = Minima(state(1.0))
    met.add(state(cost) for cost in (1.5, *np.linspace(1.0, 1.055, 2 * MAX_MINIMA)))
    assert met.best.cost == 1.0
    assert len(met.others) == MAX_MINIMA
    assert max(other.cost for other in met.others.values()) < 1.06
    met.add([state(0.9)])
    assert met.best.cost == 0.9
    assert [other.cost for other in met.others.values()] == [0.9]


def test_states_of_nearly_the_same_cost_are_one():
    met = Minima(state(1.0))
    assert met.is_visited(state(1.0002))
    assert not met.is_visited(state(1.02))
    met.visit(state(1.02))
    assert met.is_visited(state(1.02))
    assert met.best.cost == 1.0
    assert not is_better(state(0.9995), met.best)
    assert met.partner(np.random.default_rng(0)).cost == 1.02


def test_a_minimum_alone_has_no_partner():
    assert Minima(state(1.0)).partner(np.random.default_rng(0)) is None


def test_a_cost_of_zero_is_a_minimum_too():
    met = Minima(state(0.0))
    met.add([state(np.inf), state(1e-320)])
    assert met.best.cost == 0.0


def test_parallel_refits_give_what_they_give_alone():
    """In the precision of the fit, which JAX keeps for each thread; a task that memory is short for is left out."""
    heights = surface()(PLACES)
    with precision(DOUBLE):
        context = search_context(heights, 4)
        starts = [state_of(context, surface(CENTERS + off)).blocks for off in (0.5, 1.0, -1.0)]
        alone = [refit(context, blocks, np.zeros(0), 5) for blocks in starts]

        def short():
            raise MemoryShort("too wide")

        steps = context.progress.steps
        together = run_parallel(
            context, [*(partial(refit, context, blocks, np.zeros(0), 5) for blocks in starts), short]
        )
    assert [state.cost for state in together] == [state.cost for state in alone]
    assert context.progress.steps == 2 * steps


def test_a_search_on_averages_ends_with_what_memory_allows(monkeypatch):
    """A surrogate has no tiles, so that its components may be too wide for the tiles of the whole problem."""
    places = np.stack(np.mgrid[:64, :96].astype(float), axis=-1)
    with precision(DOUBLE):
        context = search_context(surface()(places) + 0.1 * np.random.default_rng(0).normal(size=(64, 96)), 4)
        state, small = state_of(context, surface(CENTERS + 1.0)), surrogate(context)
        with_cost = ResidualViews.with_cost

        def short_if_whole(of_whole, function):
            def call(one, *arguments):
                if of_whole(one):
                    raise MemoryShort("too wide")
                return function(one, *arguments)

            return call

        monkeypatch.setattr(ResidualViews, "with_cost", short_if_whole(lambda views: views is context.views, with_cost))
        monkeypatch.setattr(surfacefit._search.search, "refit", short_if_whole(lambda one: one is context, refit))
        search(context, small, state, Effort(2, np.inf), np.random.default_rng(0))
        assert context.progress.best is state
        context.progress.callback = lambda *shown: True
        with pytest.raises(FitHalted):
            search(context, small, state, Effort(2, np.inf), np.random.default_rng(0))


def test_an_exact_fit_is_not_perturbed():
    heights = surface()(PLACES)
    with precision(DOUBLE):
        context = search_context(heights, 4)
        best = state_of(context, surface(CENTERS))
        met = Minima(best, 1e-12 * context.views.background_only().cost)
        assert met.exact
        assert perturbed(context, met, np.random.default_rng(0), 0, lambda state: False) is best
        assert context.progress.steps == 0


def test_ctrl_c_in_one_refit_ends_a_long_one_in_parallel():
    heights = surface()(PLACES)
    with precision(DOUBLE):
        context = search_context(np.random.default_rng(0).normal(size=heights.shape), 4)
        blocks = state_of(context, surface(CENTERS)).blocks
        context.solver = sf.LevenbergMarquardt(ftol=0, xtol=0, gtol=0, slack=0)

        def interrupted():
            raise KeyboardInterrupt

        def long():
            while not context.progress.cancelled:
                refit(context, blocks, np.zeros(0), 10)
            return refit(context, blocks, np.zeros(0), 1000)

        with pytest.raises(KeyboardInterrupt):
            run_parallel(context, [interrupted, long])
        steps = context.progress.steps
        assert refit(context, blocks, np.zeros(0), 10).cost < np.inf
        assert not context.progress.cancelled
        assert context.progress.steps == steps + 10
