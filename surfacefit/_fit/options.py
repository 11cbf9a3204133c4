"""The keywords of `fit` become two records of checked options: what is fitted, and how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._data.data import SurfaceData
from .._instrument.beam_option import with_beam
from .._model.surface import GaussianSurface
from .._problem.model_spec import ModelSpec
from .._problem.option import Given, checked
from .._results.criteria import AutoComponents, auto_components
from .._results.result import FitResult
from .._search.initialization import GROWN
from .._solvers import SuperimposedSignals
from .run_spec import RunSpec


class Specs(NamedTuple):
    """A fit's checked options; ``auto`` says how the number of components is to be chosen, None if it is given."""

    model: ModelSpec
    run: RunSpec
    auto: AutoComponents | None


def checked_options(options: Mapping[str, Any], data: SurfaceData) -> Specs:
    """The records of options given by keyword; raises ValueError or TypeError for what cannot be meant."""
    number = auto_components(options["n_components"])
    options = with_beam({**options, "init": _surface_of(options["init"])}, data)
    init = options["init"]
    grown = isinstance(init, str) and init in GROWN
    search = options["search"]
    auto = number if isinstance(number, AutoComponents) else None
    if auto is not None and not grown:
        given = "a surface" if isinstance(init, GaussianSurface) else repr(init)
        raise ValueError(
            f"`n_components` that is to be chosen grows from nothing, got init={given}: leave `init` out, or give a"
            " number"
        )
    given_options = Given(
        options=options,
        data=data,
        n_components=1 if isinstance(number, AutoComponents) else number,
        moves_components=grown or isinstance(search, np.ndarray) or bool(search),  # what is no number is refused later
    )
    specs = Specs(checked(ModelSpec, given_options), checked(RunSpec, given_options), auto)
    _check_tied_run(specs)
    return specs


def _check_tied_run(specs: Specs) -> None:
    """Refuses what cannot run in fewer free numbers than there are parameters."""
    if not specs.model.constraints.ties:
        return
    if isinstance(specs.run.solver, SuperimposedSignals):
        raise ValueError(
            f"`solver` must be 'lm', 'dogleg' or 'adam' beside `tie`, got {specs.run.solver!r}, which fits components"
            " one by one"
        )
    if specs.run.engine.mesh is not None:
        raise ValueError("`engine` must be on one device beside `tie`, got a mesh: leave the mesh out")


def _surface_of(init: Any) -> Any:
    """The surface of a result that is given as the start; anything else as it is."""
    return init.surface if isinstance(init, FitResult) else init
