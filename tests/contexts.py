"""Search contexts of small problems."""

import numpy as np

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._fit.start_request import start_request
from surfacefit._model.surface import map_components
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._search.context import SearchContext

DOUBLE = np.dtype(np.float64)


def search_context(heights, count, engine=None, model=None, **options):
    """A context in double precision, to be used under `precision(DOUBLE)`.

    ``model`` are fields of `ModelSpec`, ``options`` are those of `grid_data`.
    """
    spec = ModelSpec(**{"n_components": count, "background": None, **(model or {})})
    prepared = problem_setup(
        grid_data(heights, **options), spec, DOUBLE, EngineChoice(engine or sf.Dense(), float("inf"))
    )
    return SearchContext(prepared, start_request(prepared, 0))


def params_of(context, surface):
    """Parameters of a surface in the user's units."""
    surface = map_components(surface, np.asarray)
    return context.packing.params(to_internal(surface, context.prepared.scaling))


def state_of(context, surface):
    """The state of a surface in the user's units, with its cost."""
    return context.views.state(params_of(context, surface))
