"""What growth and search work with: the problem, states of it as NumPy arrays, and refits that give up early.

A state may have fewer components than the problem has room for, so that growing compiles nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.devices import on_cpu
from .._base.memory import MemoryShort
from .._base.precision import precision
from .._base.status import Status
from .._base.threads import single_threaded_blas
from .._data.windows import Windows
from .._losses import Linear
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface, map_components
from .._problem import loss_views
from .._problem.capacity import component_capacity
from .._problem.prepared import Prepared, components
from .._problem.problem import SurfaceProblem
from .._solvers import LevenbergMarquardt, Limits, SolverRun
from .._starts import STARTS, Peak, StartRequest, find_peaks
from .local_refits import WINDOW

CHUNK = 10
OUT_OF_REACH = 4.0
SETTLED = 2e-4
AT_ONCE, SMALL = 2, 1200
_COUNTING = Lock()


Made = TypeVar("Made")


class State(NamedTuple):
    """Components in use (K, p) and what they share (s + b,), with their cost."""

    cost: float
    blocks: np.ndarray
    border: np.ndarray

    @property
    def size(self) -> int:
        return len(self.blocks)


class Halt(Exception):
    """Growth or search must end: a limit of the fit was met, or the callback said so."""

    def __init__(self, status: Status):
        super().__init__(status)
        self.status = status


class Enough(Exception):
    """The time to search is over."""


@dataclass(eq=False)
class SearchContext:
    """A problem on which states are refitted. ``best`` is what a fit goes on with if it must end; ``steps`` counts them
    all.

    ``watch`` is shown the best cost, the steps and a way to the surface, and may say that the fit must stop. ``pace``
    is how many steps a refit may take between two looks at the clock.
    The context of a sample counts steps and looks at the clock through ``whole``, which it was taken from; each of
    whose points went into ``block`` (N,), the number of a point here, if these are averages.
    """

    prepared: Prepared
    request: StartRequest
    deadline: float = float("inf")
    watch: Callable[[float, int, Callable[[], GaussianSurface]], bool] = lambda cost, steps, surface: False
    whole: SearchContext | None = None
    block: np.ndarray | None = None
    window: int = WINDOW
    search_until: float = float("inf")
    steps: int = 0
    pace: int = 1
    ending: bool = False
    best: State | None = None
    solver: Any = field(default_factory=lambda: LevenbergMarquardt(slack=0.0))

    @property
    def root(self) -> SearchContext:
        return self.whole or self

    @property
    def parameterization(self) -> Parameterization:
        return self.prepared.problem.parameterization

    def refit(self, blocks: np.ndarray, border: np.ndarray, steps: int, target: float | None = None) -> State:
        """Joint Levenberg-Marquardt steps until the cost settles; with a ``target`` cost they end where that is out of
        reach, too.
        """
        problem = self.problem(len(blocks))
        params = self.pack(blocks, border)
        ends = min(self.root.deadline, self.root.search_until)
        with single_threaded_blas(len(params)):
            solver_run = SolverRun(problem, params, self.solver, Limits(ends), self.prepared.planner)
            last, solver_run.n_next = np.inf, self.pace
            while solver_run.status == Status.RUNNING and solver_run.steps < steps and not self.root.ending:
                outcome = solver_run.advance(min(solver_run.steps + CHUNK, steps))
                cost = solver_run.cost()
                drop, last = last - cost, cost
                hopeless = target is not None and cost - target > OUT_OF_REACH * drop
                settled = (target is None or cost < target) and drop < SETTLED * cost
                if hopeless or settled or outcome == Status.MAX_TIME:
                    break
        self.pace = solver_run.n_next
        with _COUNTING:
            self.root.steps += solver_run.steps
        return self._unpacked(solver_run.cost(), solver_run.carry.best.params, len(blocks))

    def beside(self, tasks: Sequence[Callable[[], State]]) -> list[State]:
        """What several refits come to, with a thread each; those for which memory is short are left out."""
        if len(tasks) == 1:
            states = [attempted(tasks[0])]
        else:
            with ThreadPoolExecutor(len(tasks)) as pool:
                x64 = jnp.result_type(float) == np.float64
                futures = [pool.submit(copy_context().run, attempted, task, x64) for task in tasks]
                try:
                    states = [future.result() for future in futures]
                except BaseException:
                    self.root.ending = True  # the others are waited for: they end after their next few steps
                    raise
                finally:
                    wait(futures)
                    self.root.ending = False
        return [state for state in states if state is not None]

    @property
    def at_once(self) -> int:
        """How many refits to run beside one another: small products do not fill a processor's cores.

        The same on every processor, since what a search finds depends on it.
        """
        small = self.prepared.planner is None and self.parameterization.n_parameters <= SMALL
        return AT_ONCE if small and on_cpu(self.prepared.problem) else 1

    def hold(self, state: State) -> None:
        """Takes a state for the best so far if it is: of more components always, since a prior may cost more than they
        win.
        """
        if (
            self.best is None
            or state.size > self.best.size
            or (state.size == self.best.size and state.cost <= self.best.cost)
        ):
            self.best = state

    def keep(self, state: State) -> None:
        """Takes a state for the best so far if it is. Raises as `look` does."""
        self.hold(state)
        self.look()

    def look(self) -> None:
        """Shows the best so far, and looks at the clock. Raises Halt where the fit must end, Enough where the search
        must.
        """
        root, now = self.root, time.perf_counter()
        best = root.best
        if best is not None and root.watch(best.cost, root.steps, lambda: root.physical(best)):
            raise Halt(Status.STOPPED)
        if now >= root.deadline:
            raise Halt(Status.MAX_TIME)
        if now >= root.search_until:
            raise Enough

    def recosted(self, state: State) -> State:
        """A state of another context, with its cost here."""
        residuals = self._background_residuals(state) if not state.size else self._all_residuals(state)
        return state._replace(cost=0.5 * float(residuals @ residuals))

    @cached_property
    def roomier(self) -> SearchContext:
        """The same with room for a quarter more components; for the dense engine."""
        prepared, count = self.prepared, self.request.n_components + max(1, self.request.n_components // 4)
        parts = replace(self.parameterization, n_components=component_capacity(count))
        model, problem = replace(prepared.model, n_components=count), replace(prepared.problem, parameterization=parts)
        request = replace(self.request, n_components=count)
        return SearchContext(
            replace(prepared, model=model, problem=problem), request, whole=self.root, window=self.window
        )

    def penalty(self, state: State) -> float:
        """What a prior adds to a state's cost."""
        if self.prepared.problem.penalty is None or not state.size:
            return 0.0
        return float(penalty_cost(self.problem(state.size), self.pack(state.blocks, state.border)))

    def empty(self) -> State:
        """No components: the background at its start, a tied shape as on an even lattice."""
        return self.recosted(self._unpacked(np.inf, _pack(self.parameterization, self.even), 0))

    def params(self, surface: GaussianSurface) -> Array:
        """Parameters (P,) of a surface in the units of the fit, over the background at its start."""
        params = _pack(self.parameterization, replace(surface, background=self.parameterization.background))
        return self.prepared.problem.projected(params)

    def state(self, params: Array) -> State:
        """The state of parameters (P,) that use all components asked for."""
        return self.recosted(self._unpacked(np.inf, params, self.request.n_components))

    def make_room(self) -> None:
        """Lets the tiled engine's plans start at the capacities of as many components as were asked for."""
        if self.prepared.planner is not None:
            params = _pack(self.parameterization, self.even)
            self.prepared.planner(self.problem(self.request.n_components), params, params)

    def filled(self, state: State) -> State:
        """With as many components as were asked for, those that are missing of next to no height."""
        missing = self.request.n_components - state.size
        if missing <= 0:
            return state
        low = replace(self.even, amplitudes=np.zeros(self.request.n_components))
        return state._replace(blocks=np.concatenate([state.blocks, self.blocks(low)[:missing]]))

    def residuals(self, state: State) -> np.ndarray:
        """w (f - z) at the data's points (N,)."""
        return self.prepared.by_point(self._all_residuals(state)) if state.size else self._background_residuals(state)

    def pack(self, blocks: np.ndarray, border: np.ndarray) -> Array:
        """Parameters (P,) with room for more components left idle."""
        parts = self.parameterization
        room = np.zeros((parts.n_components - len(blocks), parts.layout.block_size))
        params = jnp.asarray(np.concatenate([blocks.ravel(), room.ravel(), border]), parts.floor.dtype)
        return replace(self.prepared.problem, parameterization=parts).projected(params)

    def surface(self, state: State) -> GaussianSurface:
        """The components in the units of the fit, in NumPy."""
        parts = components(self.parameterization, self.pack(state.blocks, state.border))
        amplitudes, centers, factors = (np.asarray(a[: state.size], float) for a in parts[:3])
        return GaussianSurface(amplitudes, centers, factors @ factors.swapaxes(1, 2))

    def physical(self, state: State) -> GaussianSurface:
        """The state's surface in the user's units."""
        with precision(self.parameterization.floor.dtype):
            surface = self.prepared.surface(self.pack(state.blocks, state.border))
        return replace(surface.component(slice(state.size)), background=surface.background)

    def blocks(self, surface: GaussianSurface) -> np.ndarray:
        """Blocks (n, p) of components in the units of the fit; of tied ones without their shape."""
        count, parts = surface.n_components, self.parameterization
        room = 1 << max(3, (count - 1).bit_length())
        filled = map_components(surface, lambda a: np.concatenate([a, np.repeat(a[-1:], room - count, axis=0)]))
        filled = replace(filled, background=parts.background)
        roomy = replace(parts, n_components=room)
        blocks: np.ndarray = roomy.layout.blocks(np.asarray(_pack(roomy, filled), float))
        return blocks[:count]

    def peaks(self, state: State, count: int) -> list[Peak]:
        """Up to ``count`` peaks of the data above a state."""
        raster, weights = self.request.raster, self.secants(state)
        if weights is not self.weights:
            raster = replace(raster, weights=raster.gathered(weights**2))
        sums = raster.gathered(-weights * self.residuals(state))
        return find_peaks(raster, sums, count, max(1, count // 4), self.request.signed)

    def blocks_at_peaks(self, state: State, count: int) -> np.ndarray:
        """Blocks (n, p) of up to ``count`` components at the peaks of a state's residuals."""
        peaks = self.peaks(state, count)
        return self.blocks(joined(peaks)) if peaks else state.blocks[:0]

    @cached_property
    def even(self) -> GaussianSurface:
        return replace(STARTS["grid"](self.request), background=self.parameterization.background)

    @cached_property
    def points(self) -> np.ndarray:
        return self.prepared.by_point(self.prepared.problem.points).astype(float)

    def secants(self, state: State) -> np.ndarray:
        """Weights (N,) of plain least squares with the residuals of a state."""
        if isinstance(self.prepared.problem.loss, Linear):
            return self.weights
        if not state.size:
            return self._of_background(state, self.prepared.problem.loss.secants)
        return self.prepared.by_point(_secants(*self._planned(state))).astype(float)

    def misfit(self, state: State) -> float:
        """The weighted sum of squares in the user's units, whatever the loss."""
        weights = self.secants(state)
        misfits = self.residuals(state) * self.weights / np.where(weights > 0, weights, 1)
        return float(misfits @ misfits) * self.prepared.cost_unit

    @cached_property
    def weights(self) -> np.ndarray:
        return self.prepared.by_point(self.prepared.problem.weights).astype(float)

    @cached_property
    def windows(self) -> Windows:
        return Windows(self.points, min(self.window, 1 << max(5, (len(self.points) - 1).bit_length())))

    def problem(self, count: int) -> SurfaceProblem:
        """The problem with so many components in use."""
        dtype = self.parameterization.floor.dtype
        active = replace(self.parameterization, n_active=jnp.asarray(float(count), dtype))
        return replace(self.prepared.problem, parameterization=active)

    def _all_residuals(self, state: State) -> np.ndarray:
        """Those of the data in the problem's order, and those of a prior."""
        return np.asarray(_residuals(*self._planned(state))).astype(float)

    def _background_residuals(self, state: State) -> np.ndarray:
        return self._of_background(state, self.prepared.problem.loss.residuals)

    def _planned(self, state: State) -> tuple[SurfaceProblem, Array]:
        """The problem at a state, and its parameters."""
        problem, params = self.problem(state.size), self.pack(state.blocks, state.border)
        if self.prepared.planner is not None:
            problem = self.prepared.planner(problem, params, params)
        return problem, params

    def _of_background(self, state: State, what: Callable[[Array, Array, Array], Array]) -> np.ndarray:
        """What a loss says of the background alone, at the data's points (N,)."""
        problem, parts = self.prepared.problem, self.parameterization
        background = parts.background.with_vector(jnp.asarray(state.border[parts.layout.background], parts.floor.dtype))
        return self.prepared.by_point(what(background(problem.points), problem.heights, problem.weights)).astype(float)

    def _unpacked(self, cost: float, params: Array, count: int) -> State:
        flat, layout = np.asarray(params, float), self.parameterization.layout
        return State(cost if np.isfinite(cost) else np.inf, layout.blocks(flat)[:count], flat[layout.n_own :])


def attempted(task: Callable[[], Made], x64: bool | None = None) -> Made | None:
    """What a task makes, None where memory is short; in a thread of its own JAX's precision must be set anew."""
    with nullcontext() if x64 is None else jax.enable_x64(x64):
        try:
            return task()
        except MemoryShort:  # components may have grown too wide for it
            return None


def joined(peaks: list[Peak]) -> GaussianSurface:
    """Peaks as a surface."""
    amplitudes, centers, covariances = (np.array(column) for column in zip(*peaks, strict=True))
    return GaussianSurface(amplitudes, centers, covariances)


def residuals(problem: SurfaceProblem, params: Array) -> Array:
    return problem.residuals(params)


_residuals = quick_jit(residuals)
_secants = quick_jit(loss_views.secant_weights)
penalty_cost = quick_jit(loss_views.penalty_cost)
_pack = quick_jit(Parameterization.pack)
