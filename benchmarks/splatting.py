"""The published recipe of 2-D Gaussian splatting on surfacefit's tiled engine: many first-order steps from random.

After GaussianImage (Zhang et al., ECCV 2024, arXiv 2403.08551), as its code has it for the Kodak set
(github.com/Xinjie-Q/GaussianImage at d53393b, `train.py` and `gaussianimage_cholesky.py`): centres uniform over the
image, as tanh of free numbers; lower Cholesky factors in pixels, uniform in [0.5, 1.5] x [0, 1] x [0.5, 1.5]; colours
uniform in [0, 1], of either sign later on; no background; the mean square of the error of the image clipped to
[0, 1]; 50,000 steps of Adan with a rate of 1e-3 that is halved every 20,000. Here there is one colour, luminance.

Adan is that of the recipe's code (Xie et al., arXiv 2208.06677, without decay of weights). That of optax 0.2.8 weighs
the change of the gradient by 1 - b2 where the recipe's weighs it by b2, which with b2 = 0.92 is another method.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._base.status import Status
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._model.amplitudes import AMPLITUDE_TYPES
from surfacefit._model.block_layout import ALPHA, center_columns
from surfacefit._problem.base import half_square
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.prepared import Prepared
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._solvers.base import SolverBase
from surfacefit._solvers.loop import Limits, SolverRun

# Steps of the published recipe.
PUBLISHED_STEPS = 50_000
# The recipe's learning rate, and the steps after which it is halved again and again.
LEARNING_RATE, HALVED_AFTER = 1e-3, 20_000
# Adan's decays (of the gradient, of its change, of the square), and the term beside its root: the code's defaults.
DECAYS, EPSILON = (0.98, 0.92, 0.99), 1e-8
# Pixels; the recipe adds them to the free entries of the Cholesky factors (row, column, below the diagonal).
SHAPE_BOUND = np.array([0.5, 0.5, 0.0])
# Pixels; a narrower width is taken for this one. The recipe has no such limit: a width of zero is not drawn there.
LEAST_WIDTH = 0.05
# Steps ahead, at the pace of this one, for which a new plan has room: most of the first ones would ask for another.
STEPS_AHEAD = 30.0
# Height, in units of the image's root mean square, below which a Gaussian may be left out. The recipe leaves out what
# is below 1 / 255 of a Gaussian's own height; this is a tenth of a grey level on most images.
CUTOFF = 1e-3


@register_dataclass
@dataclass(frozen=True)
class FreeFactor:
    """A covariance type whose free numbers are the entries of the Cholesky factor, in the units of the fit."""

    shared: bool = field(default=False, metadata={"static": True})

    def n_parameters(self, n_dim: int) -> int:
        return 3

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        widths = jnp.maximum(parameters[..., :2], floor)
        first = jnp.stack([widths[..., 0], jnp.zeros_like(widths[..., 0])], axis=-1)
        return jnp.stack([first, jnp.stack([parameters[..., 2], widths[..., 1]], axis=-1)], axis=-2)

    def parameters(self, covariance: Any, floor: Any) -> Any:
        factors = np.linalg.cholesky(covariance)
        return np.stack([factors[..., 0, 0], factors[..., 1, 1], factors[..., 1, 0]], axis=-1)


class AdanMoments(NamedTuple):
    """Running means of the gradient, of its change, and of the square of both; the gradient before."""

    mean: Array
    change: Array
    square: Array
    before: Array


class SplattingState(NamedTuple):
    """The recipe's own numbers ``raw`` (P,), and what the loop reads of a solver's state."""

    params: Array
    cost: Array
    optimality: Array
    damping: Array
    status: Array
    wanted: Array
    raw: Array
    gradient: Array
    moments: AdanMoments
    n_taken: Array


def adan(gradient: Array, moments: AdanMoments, taken: Array) -> tuple[Array, AdanMoments]:
    """The direction of a step of Adan, to be multiplied by the rate, and the moments after it."""
    b1, b2, b3 = DECAYS
    change = jnp.where(taken == 0, jnp.zeros_like(gradient), gradient - moments.before)
    new = AdanMoments(
        mean=b1 * moments.mean + (1 - b1) * gradient,
        change=b2 * moments.change + (1 - b2) * change,
        square=b3 * moments.square + (1 - b3) * (gradient + b2 * change) ** 2,
        before=gradient,
    )
    first, second, third = (1 - b ** (taken + 1).astype(gradient.dtype) for b in DECAYS)
    root = jnp.sqrt(new.square / third) + EPSILON
    return -(new.mean / first + b2 * new.change / second) / root, new


@register_dataclass
@dataclass(frozen=True, eq=False)
class Splatting(SolverBase):
    """The recipe's steps on a problem in the units of a fit.

    ``scale``, ``shift`` (p,) turn a block of the recipe's numbers (colour, centre in [-1, 1], factor in pixels) into
    those of the fit; ``slope`` is that of the mean square by the cost; ``low``, ``high`` are black and white.
    """

    scale: Any
    shift: Any
    slope: Any
    low: Any
    high: Any
    max_steps: int = field(default=PUBLISHED_STEPS, metadata={"static": True})

    @property
    def uses_normal(self) -> bool:
        return False

    @property
    def takes_all_steps(self) -> bool:
        return True

    @property
    def centers(self) -> slice:
        """Columns of a block that hold the centre."""
        return center_columns(2)

    def params(self, raw: Array) -> Array:
        """The numbers of the fit (P,) that the recipe's numbers (P,) stand for."""
        blocks = raw.reshape(-1, len(self.scale))
        blocks = blocks.at[:, self.centers].set(jnp.tanh(blocks[:, self.centers]))
        return (self.scale * blocks + self.shift).ravel()

    def init(self, problem: Any, params: Array) -> SplattingState:
        raw = self._raw(params)
        cost, gradient = self._evaluated(problem, params, raw)
        zero = jnp.zeros_like(raw)
        running, taken = jnp.asarray(int(Status.RUNNING)), jnp.asarray(0)
        rate = jnp.asarray(LEARNING_RATE, raw.dtype)
        size = jnp.abs(gradient).max()
        moments = AdanMoments(zero, zero, zero, zero)
        return SplattingState(params, cost, size, rate, running, params, raw, gradient, moments, taken)

    def step(self, problem: Any, state: SplattingState) -> SplattingState:
        rate = LEARNING_RATE * 0.5 ** (state.n_taken // HALVED_AFTER).astype(state.raw.dtype)
        direction, moments = adan(state.gradient, state.moments, state.n_taken)
        raw = state.raw + rate * direction
        trial = self.params(raw)
        wanted = self.params(state.raw + STEPS_AHEAD * rate * direction)
        replan = state._replace(status=jnp.asarray(int(Status.REPLAN)), wanted=wanted)

        def moved() -> SplattingState:
            cost, gradient = self._evaluated(problem, trial, raw)
            size, running = jnp.abs(gradient).max(), jnp.asarray(int(Status.RUNNING))
            return SplattingState(trial, cost, size, rate, running, wanted, raw, gradient, moments, state.n_taken + 1)

        return jax.lax.cond(problem.plan_is_valid(trial), moved, lambda: replan)

    def _evaluated(self, problem: Any, params: Array, raw: Array) -> tuple[Array, Array]:
        """The cost of the clipped image, and the slopes of the mean square by the recipe's numbers."""
        residuals, jacobian = problem.linearize(params)
        model = residuals + problem.heights
        inside = (model >= self.low) & (model <= self.high)
        gradient = jacobian.rmv(jnp.where(inside, residuals, 0))
        clipped = problem.weights * (jnp.clip(model, self.low, self.high) - problem.heights)
        return half_square(clipped), self._by_raw(gradient, raw)

    def _by_raw(self, gradient: Array, raw: Array) -> Array:
        """The slopes of the mean square by the recipe's numbers (P,), from those of the cost by the fit's."""
        blocks, centers = raw.reshape(-1, len(self.scale)), self.centers
        slopes = jnp.ones_like(blocks).at[:, centers].set(1 - jnp.tanh(blocks[:, centers]) ** 2)
        return (self.slope * self.scale * slopes * gradient.reshape(blocks.shape)).ravel()

    def _raw(self, params: Array) -> Array:
        blocks = (params.reshape(-1, len(self.scale)) - self.shift) / self.scale
        return blocks.at[:, self.centers].set(jnp.arctanh(blocks[:, self.centers])).ravel()


class SplattingRun:
    """The recipe on one image: call `advance` as often as there is time."""

    def __init__(self, image: np.ndarray, n_components: int, seed: int = 0, steps: int = PUBLISHED_STEPS):
        self.image, self.n_components = image, n_components
        self.trace: list[tuple[float, int, float]] = []
        with precision(np.dtype(np.float32)):
            self.prepared = _prepared(image, n_components)
            self.solver = _solver(self.prepared, image, steps)
            start = self.solver.params(jnp.asarray(random_numbers(self.prepared, n_components, seed)))
            self.stop: Callable[[float, int, float], bool] = lambda seconds, steps, psnr: False
            self.begun, self.spent = 0.0, 0.0
            limits = Limits(callback=self._seen)
            self.run = SolverRun(self.prepared.problem, start, self.solver, limits, self.prepared.planner)

    def advance(self, steps: int, stop: Callable[[float, int, float], bool]) -> None:
        """Up to ``steps`` since the start; ends where ``stop(CPU seconds, steps, PSNR)`` says so."""
        self.stop, self.begun = stop, time.process_time()
        with precision(np.dtype(np.float32)):
            self.run.advance(steps)
        self.spent += time.process_time() - self.begun

    def surface(self) -> sf.GaussianSurface:
        """The Gaussians of the best step, in pixels."""
        blocks = np.asarray(self.run.carry.best.params, float).reshape(-1, 6)[: self.n_components]
        scaling = self.prepared.scaling
        factors = np.zeros((len(blocks), 2, 2))
        factors[:, [0, 1], [0, 1]] = np.maximum(blocks[:, 3:5] * scaling.point_scale, LEAST_WIDTH)
        factors[:, 1, 0] = blocks[:, 5] * scaling.point_scale[1]
        centers = blocks[:, center_columns(2)] * scaling.point_scale + scaling.point_shift
        return sf.GaussianSurface(
            blocks[:, ALPHA] * scaling.height_scale, centers, factors @ np.swapaxes(factors, 1, 2)
        )

    def _seen(self, best: Any) -> bool:
        """A row of the trace; the PSNR is that of the best step so far."""
        square = 2 * float(best.cost) * float(self.prepared.scaling.height_scale) ** 2 / self.image.size
        seconds = self.spent + time.process_time() - self.begun
        self.trace.append((seconds, int(best.steps), -10 * np.log10(square)))
        return self.stop(*self.trace[-1])


def random_numbers(prepared: Prepared, n_components: int, seed: int) -> np.ndarray:
    """The recipe's start in its own numbers (P,), those of idle components zero."""
    rng = np.random.default_rng(seed)
    colours, centers, shapes = (rng.uniform(size=(n_components, n)) for n in (1, 2, 3))
    blocks = np.concatenate([colours, np.arctanh(2 * centers - 1), shapes], axis=1)
    room = prepared.problem.parameterization.n_components - n_components
    return np.pad(blocks, [(0, room), (0, 0)]).astype(np.float32).ravel()


def _prepared(image: np.ndarray, n_components: int) -> Prepared:
    """The problem of the fit, with the recipe's free numbers."""
    kind = np.dtype(np.float32)
    model = ModelSpec(n_components=n_components, background=None, amplitudes="signed")
    prepared = problem_setup(grid_data(image), model, kind, EngineChoice(sf.Tiled(cutoff=CUTOFF)))
    parts = replace(
        prepared.problem.parameterization,
        covariance=FreeFactor(),
        amplitude=AMPLITUDE_TYPES["signed"],
        floor=jnp.asarray(LEAST_WIDTH / prepared.scaling.point_scale, kind),
    )
    return replace(prepared, problem=replace(prepared.problem, parameterization=parts, box=None))


def _solver(prepared: Prepared, image: np.ndarray, steps: int) -> Splatting:
    """The recipe in the units of the fit; a row's factor is in units of its row's axis."""
    scaling, half = prepared.scaling, np.array(image.shape) / 2
    axes = np.array([scaling.point_scale[0], scaling.point_scale[1], scaling.point_scale[1]])
    scale = np.concatenate([[1 / scaling.height_scale], half / scaling.point_scale, 1 / axes])
    middle = (half - 0.5 - scaling.point_shift) / scaling.point_scale
    shift = np.concatenate([[0.0], middle, SHAPE_BOUND / axes])
    kind = np.float32
    return Splatting(
        scale=jnp.asarray(scale, kind),
        shift=jnp.asarray(shift, kind),
        slope=jnp.asarray(2 * scaling.height_scale**2 / image.size, kind),
        low=jnp.asarray(0.0, kind),
        high=jnp.asarray(1 / scaling.height_scale, kind),
        max_steps=steps,
    )
