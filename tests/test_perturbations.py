"""Kicks: what is good in two minima comes together, and what was met is remembered."""

from functools import partial

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.memory import MemoryShort
from surfacefit._base.precision import precision
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._fit.start_request import start_request
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._search.context import Halt, SearchContext, State
from surfacefit._search.perturbations import KEPT, Minima, better, crossover, perturbed
from surfacefit._search.search import Effort, search
from surfacefit._search.surrogate import surrogate

CENTERS = np.array([[8.0, 8.0], [8.0, 40.0], [24.0, 8.0], [24.0, 40.0]])


def state(cost):
    return State(cost, np.zeros((2, 6)), np.zeros(0))


def surface(centers):
    return sf.GaussianSurface(np.full(len(centers), 2.0), centers, np.tile(4.0 * np.eye(2), (len(centers), 1, 1)))


def search_context(heights, count):
    dtype = np.dtype(np.float64)
    data = grid_data(heights, None, None, None, False)
    prepared = problem_setup(data, ModelSpec(n_components=count, background=None), dtype, EngineChoice(None))
    return SearchContext(prepared, start_request(prepared, 0))


def test_a_splice_takes_the_good_half_of_either():
    """Two components of four sit double on a bump: on the left in one minimum, on the right in the other."""
    heights = surface(CENTERS)(np.argwhere(np.ones((32, 48), bool)).astype(float)).reshape(32, 48)
    with precision(np.dtype(np.float64)):
        context = search_context(heights, 4)

        def stuck(rows):
            centers = CENTERS[rows] + np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
            return context.refit(
                context.blocks(to_internal(surface(centers), context.prepared.scaling)), np.zeros(0), 60
            )

        one, other = stuck([0, 0, 1, 3]), stuck([0, 2, 1, 1])
        rng = np.random.default_rng(0)
        costs = [crossover(context, *pair, rng).cost for pair in ((one, other), (other, one)) * 8]
        exact = context.state(context.params(to_internal(surface(CENTERS), context.prepared.scaling)))
        empty = context.empty()
    assert min(one.cost, other.cost) > 0.01 * empty.cost
    assert exact.cost < 1e-12 * empty.cost
    assert min(costs) < 1e-6 * one.cost


def test_minima_keep_the_best_and_a_few_that_are_near():
    met = Minima(state(1.0))
    met.add(state(cost) for cost in (1.5, *np.linspace(1.0, 1.055, 2 * KEPT)))
    assert met.best.cost == 1.0
    assert len(met.others) == KEPT
    assert max(other.cost for other in met.others.values()) < 1.06
    met.add([state(0.9)])
    assert met.best.cost == 0.9
    assert [other.cost for other in met.others.values()] == [0.9]


def test_states_of_nearly_the_same_cost_are_one():
    met = Minima(state(1.0))
    assert met.visited(state(1.0002))
    assert not met.visited(state(1.02))
    met.visit(state(1.02))
    assert met.visited(state(1.02))
    assert met.best.cost == 1.0
    assert not better(state(0.9995), met.best)
    assert met.partner(np.random.default_rng(0)).cost == 1.02


def test_a_minimum_alone_has_no_partner():
    assert Minima(state(1.0)).partner(np.random.default_rng(0)) is None


def test_a_cost_of_zero_is_a_minimum_too():
    met = Minima(state(0.0))
    met.add([state(np.inf), state(1e-320)])
    assert met.best.cost == 0.0


def test_refits_beside_one_another_come_to_what_they_come_to_alone():
    """In the precision of the fit, which JAX keeps for each thread; a task that memory is short for is left out."""
    heights = surface(CENTERS)(np.argwhere(np.ones((32, 48), bool)).astype(float)).reshape(32, 48)
    with precision(np.dtype(np.float64)):
        context = search_context(heights, 4)
        starts = [
            context.blocks(to_internal(surface(CENTERS + off), context.prepared.scaling)) for off in (0.5, 1.0, -1.0)
        ]
        alone = [context.refit(blocks, np.zeros(0), 5) for blocks in starts]

        def short():
            raise MemoryShort("too wide")

        steps = context.steps
        together = context.beside([*(partial(context.refit, blocks, np.zeros(0), 5) for blocks in starts), short])
    assert [state.cost for state in together] == [state.cost for state in alone]
    assert context.steps == 2 * steps


def test_a_search_on_averages_ends_with_what_memory_allows(monkeypatch):
    """The smaller problem knows no tiles, so that its components may be too wide for the whole one's."""
    truth = surface(CENTERS)
    heights = truth(np.argwhere(np.ones((64, 96), bool)).astype(float)).reshape(64, 96)
    with precision(np.dtype(np.float64)):
        context = search_context(heights + 0.1 * np.random.default_rng(0).normal(size=heights.shape), 4)
        state = context.state(context.params(to_internal(surface(CENTERS + 1.0), context.prepared.scaling)))
        small = surrogate(context)
        whole, refit = SearchContext.recosted, SearchContext.refit

        def short(self, state):
            if self is context:
                raise MemoryShort("too wide")
            return whole(self, state)

        monkeypatch.setattr(SearchContext, "recosted", short)
        monkeypatch.setattr(
            SearchContext, "refit", lambda self, *a: short(self, a) if self is context else refit(self, *a)
        )
        search(context, small, state, Effort(2, np.inf), np.random.default_rng(0))
        assert context.best is state
        context.watch = lambda *shown: True
        with pytest.raises(Halt):
            search(context, small, state, Effort(2, np.inf), np.random.default_rng(0))


def test_an_exact_fit_is_not_kicked():
    heights = surface(CENTERS)(np.argwhere(np.ones((32, 48), bool)).astype(float)).reshape(32, 48)
    with precision(np.dtype(np.float64)):
        context = search_context(heights, 4)
        best = context.state(context.params(to_internal(surface(CENTERS), context.prepared.scaling)))
        met = Minima(best, 1e-12 * context.empty().cost)
        assert met.exact
        assert perturbed(context, met, np.random.default_rng(0), 0) is best
        assert context.steps == 0


def test_ctrl_c_beside_a_long_refit_ends_it():
    heights = surface(CENTERS)(np.argwhere(np.ones((32, 48), bool)).astype(float)).reshape(32, 48)
    with precision(np.dtype(np.float64)):
        context = search_context(np.random.default_rng(0).normal(size=heights.shape), 4)
        blocks = context.blocks(to_internal(surface(CENTERS), context.prepared.scaling))
        context.solver = sf.LevenbergMarquardt(ftol=0, xtol=0, gtol=0, slack=0)

        def interrupted():
            raise KeyboardInterrupt

        def long():
            while not context.ending:
                context.refit(blocks, np.zeros(0), 10)
            return context.refit(blocks, np.zeros(0), 1000)

        with pytest.raises(KeyboardInterrupt):
            context.beside([interrupted, long])
        steps = context.steps
        assert context.refit(blocks, np.zeros(0), 10).cost < np.inf
        assert not context.ending
        assert context.steps == steps + 10
