"""The published recipe of image splatting in three colours: `benchmarks/splatting.py` with its whole model.

As there, but for the block of a Gaussian, which is that of the recipe: three colours, a centre and a Cholesky factor,
8 numbers. The mean square of the error is that over pixels and channels. All channels share one pass over the tiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._channels.maps import channel_maps
from surfacefit._channels.setup import ChannelModel, PreparedChannels, channel_setup
from surfacefit._engines.engines import EngineChoice
from surfacefit._problem.base import half_square
from surfacefit._solvers.loop import Limits, SolverRun

from .splatting import CUTOFF, LEAST_WIDTH, PUBLISHED_STEPS, SHAPE_BOUND, FreeFactor, Splatting

# Of a block: three colours, then the centre.
CENTERS = slice(3, 5)


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelSplatting(Splatting):
    """The recipe's steps on a problem of three channels; ``heights`` (C, N) are those of the image, from 0 to 1, and a
    weighted residual of one is ``unit`` of its levels.
    """

    heights: Any = None
    unit: Any = None
    max_steps: int = field(default=PUBLISHED_STEPS, metadata={"static": True})

    @property
    def centers(self) -> slice:
        return CENTERS

    def _evaluated(self, problem: Any, params: Array, raw: Array) -> tuple[Array, Array]:
        residuals, jacobian = problem.linearize(params)
        model = self.unit * residuals.reshape(self.heights.shape) + self.heights
        there = problem.weights > 0
        inside = there & (model >= self.low) & (model <= self.high)
        gradient = jacobian.rmv(jnp.where(inside.ravel(), residuals, 0))
        clipped = jnp.where(there, jnp.clip(model, self.low, self.high) - self.heights, 0) / self.unit
        return half_square(clipped.ravel()), self._by_raw(gradient, raw)


class ChannelSplattingRun:
    """The recipe on an image (rows, columns, 3): call `advance` as often as there is time."""

    def __init__(self, image: np.ndarray, n_components: int, seed: int = 0):
        self.image, self.trace = image, list[tuple[float, int, float]]()
        self.spent = 0.0
        with precision(np.dtype(np.float32)):
            self.prepared = _prepared(image, n_components)
            self.solver = _solver(self.prepared, image)
            start = self.solver.params(jnp.asarray(_random(n_components, seed)))
            self.stop: Callable[[float, int, float], bool] = lambda seconds, steps, psnr: False
            self.begun = time.process_time()
            limits = Limits(callback=self._seen)
            self.run = SolverRun(self.prepared.problem, start, self.solver, limits, self.prepared.planner)

    def advance(self, stop: Callable[[float, int, float], bool]) -> None:
        """On until ``stop(CPU seconds, steps, PSNR)`` says so; compiling counts."""
        self.stop, self.begun = stop, time.process_time()
        with precision(np.dtype(np.float32)):
            self.run.advance(PUBLISHED_STEPS)
        self.spent += time.process_time() - self.begun

    def surfaces(self) -> list[sf.GaussianSurface]:
        """The Gaussians of the best step in each channel, in pixels."""
        host, scaling = self.prepared.host, self.prepared.scalings[0]
        params = np.asarray(self.run.carry.best.params, float)
        parts = host.components(params)
        factors = np.asarray(parts.factors) * scaling.point_scale[:, None]
        amplitudes = np.asarray(host.amplitude_matrix(params)) * self.prepared.height_scales
        centers = np.asarray(parts.centers) * scaling.point_scale + scaling.point_shift
        return [sf.GaussianSurface(a, centers, factors @ factors.swapaxes(1, 2)) for a in amplitudes.T]

    def _seen(self, best: Any) -> bool:
        """A row of the trace; the PSNR is that of the best step so far."""
        square = 2 * float(best.cost) * self.prepared.unit**2 / self.image.size
        self.trace.append((self.spent + time.process_time() - self.begun, int(best.steps), -10 * np.log10(square)))
        return self.stop(*self.trace[-1])


def _random(n_components: int, seed: int) -> np.ndarray:
    """The recipe's start in its own numbers (P,)."""
    rng = np.random.default_rng(seed)
    colours, centers, shapes = (rng.uniform(size=(n_components, n)) for n in (3, 2, 3))
    blocks = np.concatenate([colours, np.arctanh(2 * centers - 1), shapes], axis=1)
    return blocks.astype(np.float32).ravel()


def _prepared(image: np.ndarray, n_components: int) -> PreparedChannels:
    """The problem of the fit, with the recipe's free numbers."""
    model = ChannelModel(n_components, amplitudes="signed", background=None)
    data = channel_maps(image, None, None, None, None, False)
    prepared = channel_setup(data, model, np.dtype(np.float32), EngineChoice(sf.Tiled(cutoff=CUTOFF)))
    floor = jnp.asarray(LEAST_WIDTH / prepared.scalings[0].point_scale, np.float32)
    parts = replace(prepared.parts, covariance=FreeFactor(), floor=floor)
    return replace(prepared, problem=replace(prepared.problem, parameterization=parts))


def _solver(prepared: PreparedChannels, image: np.ndarray) -> ChannelSplatting:
    """The recipe in the units of the fit; a row's factor is in units of its row's axis."""
    scaling, half, kind = prepared.scalings[0], np.array(image.shape[:2]) / 2, np.float32
    point_scale = np.asarray(scaling.point_scale)
    axes = point_scale[[0, 1, 1]]
    scale = np.concatenate([1 / prepared.height_scales, half / point_scale, 1 / axes])
    middle = (half - 0.5 - scaling.point_shift) / point_scale
    shift = np.concatenate([np.zeros(3), middle, SHAPE_BOUND / axes])
    return ChannelSplatting(
        scale=jnp.asarray(scale, kind),
        shift=jnp.asarray(shift, kind),
        slope=jnp.asarray(2 * prepared.unit**2 / image.size, kind),
        low=jnp.asarray(0.0, kind),
        high=jnp.asarray(1.0, kind),
        heights=prepared.problem.heights * prepared.height_scales.astype(kind)[:, None],
        unit=jnp.asarray(prepared.unit, kind),
    )
