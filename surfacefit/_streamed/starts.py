"""Where a fit of a map on disk starts: a surface that is given, or one that is fitted to averages over blocks."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .._fit.fitting import fitted
from .._fit.run_spec import RunSpec
from .._model.background import BackgroundModel
from .._model.surface import GaussianSurface, checked_surface
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._results.criteria import AutoComponents
from .survey import Survey

# Of a component's variance in blocks squared that averaging adds: that of a box of one block.
BOX_VARIANCE = 1 / 12


def start_of(whole: Survey, model: ModelSpec, run: RunSpec, auto: AutoComponents | None) -> GaussianSurface:
    """The start in the user's units. On averages the model is fitted as on any map that memory holds, by the same
    ``init``; what averaging widens is taken from the widths again.
    """
    if isinstance(run.init, GaussianSurface):
        return checked_surface("init", run.init, model.n_components, len(whole.axes), model.signed)
    quiet = replace(run, callback=None, progress=False)
    floor = min(model.min_width, 1.0)
    found = fitted(whole.averages, replace(model, min_width=floor), quiet, begun=time.perf_counter(), auto=auto)
    return _narrowed(found.surface, whole)


def _narrowed(surface: GaussianSurface, whole: Survey) -> GaussianSurface:
    """With the variance of a block taken from the covariances, as far as they stay definite, at the same volumes."""
    own = (np.asarray(whole.spacing) * whole.block) ** 2 * BOX_VARIANCE * (whole.block > 1)
    covariances = np.asarray(surface.covariances, float)
    least = np.linalg.eigvalsh(covariances / np.sqrt(np.outer(own, own) if own.all() else np.ones((len(own),) * 2)))
    part = np.minimum(1.0, 0.5 * least[:, 0]) if own.all() else np.zeros(len(covariances))
    narrower = covariances - part[:, None, None] * np.diag(own)
    gain = np.sqrt(np.linalg.det(covariances) / np.linalg.det(narrower))
    return replace(surface, amplitudes=np.asarray(surface.amplitudes) * gain, covariances=narrower)


def start_params(prepared: Prepared, inner: GaussianSurface) -> np.ndarray:
    """Parameters (P,) of a start in the units of the fit, moved onto the limits that it exceeds."""
    host = prepared.host
    packed = host.parameterization.pack(replace(inner, background=host.parameterization.background))
    return np.asarray(host.projected(packed), float)


def stored(start: GaussianSurface, background: BackgroundModel) -> list[np.ndarray]:
    """The arrays of a start, in the user's units, with its background."""
    return [np.asarray(a, float) for a in (start.amplitudes, start.centers, start.covariances, background.vector())]


def restored(arrays: list[np.ndarray], background: BackgroundModel) -> GaussianSurface:
    """The start of these arrays, with a background of this kind."""
    amplitudes, centers, covariances, vector = arrays
    return GaussianSurface(amplitudes, centers, covariances, background.with_vector(vector))
