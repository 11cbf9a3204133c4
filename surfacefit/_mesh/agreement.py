"""That the processes of a fit mean the same one: versions, options and heights are compared before any work."""

from __future__ import annotations

import hashlib
import pickle
import platform
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from .._data.data import SurfaceData
from .._problem.model_spec import ModelSpec
from .._system.processes import check_alike, from_first, is_first, waited

# Fields of a run that may differ: only the first process shows progress and calls back.
OWN_FIELDS = ("callback", "progress")
# Characters of a value that an error shows.
SHOWN_CHARACTERS = 100


def are_several(mesh: Mesh | None) -> bool:
    """Whether several processes fit together."""
    return mesh is not None and jax.process_count() > 1


def is_watched(mesh: Mesh | None) -> bool:
    """Whether this process shows progress and calls back: of several that fit together, the first."""
    return not are_several(mesh) or is_first()


def check_processes(data: SurfaceData, model: ModelSpec, run: Any) -> None:
    """Raises ValueError in every process where their versions, options or heights differ."""
    if not are_several(run.engine.mesh):
        return
    values = {name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy")}
    values["surfacefit"], values["python"] = _own_version(), platform.python_version()
    for record in (model, run):
        values |= {one.name: _shown(getattr(record, one.name)) for one in fields(record) if one.name not in OWN_FIELDS}
    arrays = {"coords": (data.axes, data.points), "heights": (data.heights, data.used), "sigma": (data.sigma,)}
    values |= {name: _digest([np.asarray(one) for one in some if one is not None]) for name, some in arrays.items()}
    waited(partial(check_alike, values), run.engine.timeout)


def of_first(mesh: Mesh | None, timeout: float, made: Callable[[], Any]) -> Any:
    """What the first process makes; all make it, so that none waits long."""
    found = made()
    return waited(partial(from_first, found), timeout) if are_several(mesh) else found


def _own_version() -> str:
    from .. import __version__

    return __version__


def _shown(value: Any) -> str:
    """A value in short, with a digest of all of it."""
    text = " ".join(repr(value).split())
    try:
        whole = pickle.dumps(value)
    except Exception:  # a function of the user's own, which only its name tells from another
        return getattr(value, "__name__", type(value).__name__)
    return f"{text[:SHOWN_CHARACTERS]} (digest {_digest(whole)})"


def _digest(value: Any) -> str:
    return hashlib.sha256(value if isinstance(value, bytes) else pickle.dumps(value)).hexdigest()[:8]
