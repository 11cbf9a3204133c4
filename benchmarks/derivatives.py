"""The suite `derivatives`: derivatives through a fit against refits, and what a gradient costs in steps of the fit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.precision import precision
from surfacefit._constraints.bounds import Bounds, Constraints
from surfacefit._constraints.prior import checked_prior
from surfacefit._data.data import grid_data, point_data
from surfacefit._derivatives.implicit import Implicit, attached, polished
from surfacefit._engines.engines import EngineChoice
from surfacefit._losses import LOSSES
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._solvers import Limits, SolverRun, solve

from .options import Options

# Random problems whose derivatives are compared with refits: the number of the acceptance.
N_PROBLEMS = 50
# Scattered points of such a problem.
N_POINTS = 240
# Largest change of a parameter, in units of order one, by which the differences of refits are taken; four of them
# cancel errors up to the fourth power.
DIFFERENCE = 2e-3
# Kinds of random problem, and how many of each are drawn, one after the other: compiling takes nearly all of the time.
# Dimensions, numbers of components and losses go round with periods that meet only after sixty kinds.
KINDS_OF_PROBLEM, PROBLEMS_A_KIND = 17, 3
# Engines compared, each with minima of its own.
ENGINES = {"dense": sf.Dense(), "tiled": sf.Tiled(tile_size=32)}
# Derivative below which nothing follows, as counts have no weights: rounding of differences.
NOTHING = 1e-6
# Components a side of the planted lattice whose gradient is timed: 1,024 in all, ten pixels apart.
LATTICE_SIDE = 32
# Start of the timed fit, in widths off the truth, as in the tests of large fits.
START_OFFSET_WIDTHS = 0.15
# Relative accuracy of refits: rounding.
REFIT = Implicit(rtol=1e-12, polish=40)
DOUBLE = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Case:
    """A problem at its minimum: what it is, the problem, its parameters (P,), and which of them are held."""

    text: str
    problem: sf.SurfaceProblem
    params: jax.Array
    held: np.ndarray


def run(options: Options) -> str:
    """All figures as a list."""
    lines = []
    with precision(DOUBLE):
        for line in _lines(options):
            print(f"- {line}", flush=True)
            lines.append(f"- {line}")
    return "\n".join(lines)


def _lines(options: Options) -> Iterator[str]:
    yield from against_refits(3 if options.quick else N_PROBLEMS)
    yield large_residuals()
    yield without_residuals()
    if not options.quick:
        yield from cost_of_a_gradient()


def against_refits(count: int) -> Iterator[str]:
    """The largest relative errors over random problems, by what moves, with each engine."""
    worst: dict[str, dict[str, tuple[float, str]]] = {name: {} for name in ENGINES}
    left_out: Counter[str] = Counter()
    tried, held = 0, 0
    while tried - left_out.total() < count:
        drawn = random_problem(tried)
        tried += 1
        cases = {name: drawn.case(engine) for name, engine in ENGINES.items()}
        reasons = [f"{name}: {case}" for name, case in cases.items() if isinstance(case, str)]
        if reasons:
            left_out[f"{drawn.text} ({reasons[0]})"] += 1
            continue
        for name, case in cases.items():
            assert isinstance(case, Case)
            held += name == "dense" and bool(case.held.any())
            for what, change in changes(case, tried):
                error = relative_error(case, change)
                if error > worst[name].get(what, (-1.0, ""))[0]:
                    worst[name][what] = (error, case.text)
    dropped = f"; left out: {', '.join(left_out)}" if left_out else ""
    yield (
        f"{count} random problems (of {tried} drawn{dropped}; d = 1..3, K = 1..4, every loss, covariance type and"
        f" background), a bound holds in {held}: derivatives of all parameters against central differences of warm"
        " refits, largest relative error by what moves"
    )
    for name, found in worst.items():
        yield f"{name}, {count} problems: " + ", ".join(
            f"{what} {error:.1e} ({text})" for what, (error, text) in found.items()
        )


@dataclass(frozen=True, eq=False)
class Drawn:
    """A random problem: what it is, its data and model, and parameters (P,) near its minimum."""

    text: str
    data: Any
    spec: ModelSpec
    start: np.ndarray

    def case(self, engine: Any) -> Case | str:
        """The problem at its minimum with an engine, or why it has none that is strict."""
        prepared = problem_setup(self.data, self.spec, DOUBLE, EngineChoice(engine))
        problem, params = prepared.problem, jnp.asarray(self.start)
        if prepared.planner is not None:
            problem = prepared.planner(problem, params, params)
        problem = jax.tree.map(jnp.asarray, problem)
        params, minimum = _refit(problem, params)
        if bool(minimum.undetermined.any()):
            return "the data do not determine a parameter"
        if not float(minimum.gradient) < 1e-9:
            return f"no minimum, the gradient of the cost is {float(minimum.gradient):.0e}"
        stays = float(jnp.abs(_refit(problem, params)[0] - params).max())
        if not stays < 1e-9:  # as where a width creeps to its floor
            return f"no strict minimum, Newton steps still move it by {stays:.0e}"
        layout, held = problem.parameterization.layout, np.array(minimum.held)
        held[: layout.n_own].reshape(layout.n_components, -1)[self.spec.n_components :] = False
        return Case(self.text, problem, params, held)


def random_problem(seed: int) -> Drawn:
    """One of `KINDS_OF_PROBLEM`, which share their programs, with other data each time and a bound that may hold."""
    rng, kind = np.random.default_rng(seed), seed // PROBLEMS_A_KIND % KINDS_OF_PROBLEM
    n_dim, count, loss = 1 + kind % 3, 1 + kind % 4, LOSSES[kind % len(LOSSES)]
    covariance_type = ("full", "diag", "tied", "spherical")[kind // 3 % 4]
    points, truth = rng.uniform(0, 10, (N_POINTS, n_dim)), _apart(rng, count, n_dim, covariance_type)
    exact = truth(points)
    if loss == "poisson":
        data = point_data(points, rng.poisson(np.maximum(20 * exact, 0)).astype(float))
        truth = replace(truth, amplitudes=20 * truth.amplitudes, background=20 * truth.background)
    else:
        sigma = 0.1 * rng.uniform(0.5, 2, N_POINTS)
        data = point_data(points, exact + sigma * rng.normal(size=N_POINTS), None, sigma, True)
    bounded = bool(rng.integers(2))
    highest = np.where(rng.integers(2, size=count), 0.9, 2.0) if bounded else np.full(count, 100.0)
    spec = ModelSpec(
        n_components=count,
        covariance_type=covariance_type,
        loss=loss,
        f_scale=2.0,
        prior=checked_prior(sf.SurfacePrior(scale=4.0, amplitude=3.0), n_dim, True) if loss == "linear" else None,
        constraints=Constraints(Bounds(amplitudes=(np.zeros(count), highest * truth.amplitudes)), {}),
        background=("constant", "plane")[kind // 2 % 2],
    )
    text = f"d={n_dim}, K={count}, {covariance_type}, {loss}{', bounded' if bounded else ''}"
    return Drawn(text, data, spec, _least(data, spec, truth))


def _least(data: Any, spec: ModelSpec, truth: sf.GaussianSurface) -> np.ndarray:
    """Parameters where a fit with the dense engine ends that starts at the truth."""
    prepared = problem_setup(data, spec, DOUBLE, EngineChoice(sf.Dense()))
    parts = prepared.host.parameterization
    start = prepared.host.projected(parts.pack(to_internal(_with_background(truth, prepared), prepared.scaling)))
    return np.asarray(_minimum(jax.tree.map(jnp.asarray, prepared.problem), jnp.asarray(start))[0])


def _apart(rng: np.random.Generator, count: int, n_dim: int, kind: str) -> sf.GaussianSurface:
    """A surface of components side by side along the first axis."""
    centers = rng.uniform(4, 6, (count, n_dim))
    centers[:, 0] = 10 * (np.arange(count) + rng.uniform(0.4, 0.6, count)) / count
    roots = np.eye(n_dim) + 0.15 * rng.normal(size=(1 if kind == "tied" else count, n_dim, n_dim))
    shapes = (2.2 / np.sqrt(count)) ** 2 * roots @ roots.swapaxes(1, 2)
    if kind in ("diag", "spherical"):
        shapes = np.stack([np.diag(np.diag(s)) if kind == "diag" else s[0, 0] * np.eye(n_dim) for s in shapes])
    shapes = np.broadcast_to(shapes, (count, n_dim, n_dim))
    return sf.GaussianSurface(rng.uniform(1, 2, count), centers, shapes, 0.3)


def _with_background(truth: sf.GaussianSurface, prepared: Any) -> sf.GaussianSurface:
    model = prepared.background
    return replace(truth, background=model.with_vector(np.r_[truth.background, model.vector()[1:]]))


@quick_jit
def _minimum(problem: sf.SurfaceProblem, params: jax.Array) -> Any:
    solution = solve(problem, params, sf.LevenbergMarquardt(), adjoint=REFIT)
    return solution.params, solution.minimum


@quick_jit
def _refit(problem: sf.SurfaceProblem, params: jax.Array) -> Any:
    return polished(REFIT, problem, params)


@quick_jit
def _derivative(problem: sf.SurfaceProblem, params: jax.Array, change: dict[str, Any]) -> jax.Array:
    some = {name: getattr(problem, name) for name in change}
    moved: jax.Array = jax.jvp(
        lambda given: attached(Implicit(), replace(problem, **given), params)[0], (some,), (change,)
    )[1]
    return moved


def changes(case: Case, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each kind of input a random change of that alone, with zeros for the others."""
    rng, problem = np.random.default_rng(seed), case.problem
    names = ["points", "heights", "weights", "box"]
    if problem.penalty is not None:
        names.append("penalty")
    some = {name: getattr(problem, name) for name in names}
    zeros = jax.tree.map(jnp.zeros_like, some)
    for name in names if case.held.any() else [name for name in names if name != "box"]:
        at_zero = 0.0 if name in ("weights", "heights") else 1.0  # points of weight zero are none, no count is below it
        yield name, zeros | {name: jax.tree.map(lambda a, one=at_zero: _random(rng, a, one), some[name])}


def _random(rng: np.random.Generator, array: jax.Array, at_zero: float) -> jax.Array:
    """Changes in proportion to the entries, or to ``at_zero`` where one is zero; none where one is infinite."""
    finite = jnp.isfinite(array)
    size = jnp.where(finite, jnp.where(array == 0, at_zero, jnp.abs(array)), 0.0)
    return jnp.asarray(0.1 * rng.normal(size=array.shape)) * size


def relative_error(case: Case, change: dict[str, Any]) -> float:
    """Of the derivative along a change, from differences of refits that are correct to the fourth order.

    Of several steps those two are taken that agree best: over a long one a loss may have a kink, or a bound let go.
    """
    slope = _derivative(case.problem, case.params, change)
    longest = DIFFERENCE / max(1.0, float(jnp.abs(slope).max()))

    def at(t: float) -> np.ndarray:
        moved = {
            name: jax.tree.map(lambda a, b: a + t * b, getattr(case.problem, name), change[name]) for name in change
        }
        start = case.params + t * jnp.where(case.held, slope, 0)
        return np.asarray(_refit(replace(case.problem, **moved), start)[0])

    found = [
        (8 * (at(t) - at(-t)) - (at(2 * t) - at(-2 * t))) / (12 * t)
        for t in (longest, longest / 10, longest / 100, longest / 1000)
    ]
    best = int(np.argmin([np.abs(one - other).max() for one, other in pairwise(found)]))
    largest = max(float(np.abs(found[best]).max()), NOTHING)
    return float(np.abs(slope - found[best]).max()) / largest


def large_residuals() -> str:
    """One Gaussian fitted to a flat-topped profile: the misfit is a third of the height."""
    x = jnp.linspace(-4.0, 4.0, 81)[:, None]
    heights = jnp.exp(-((x[:, 0] / 1.8) ** 6)) + 0.35 * jnp.sin(3 * x[:, 0])
    start = sf.GaussianSurface(jnp.array([1.0]), jnp.array([[0.1]]), jnp.array([[[1.5]]]))
    problem, params = sf.SurfaceProblem.from_start(x, heights, start)
    params, _ = _minimum(problem, params)
    change = jnp.asarray(np.random.default_rng(0).normal(size=81))

    def width(adjoint: Implicit) -> float:
        moved = jax.jvp(
            lambda z: attached(adjoint, replace(problem, heights=z), params)[0], (problem.heights,), (change,)
        )[1]
        return float(moved[2])

    step = 1e-4
    refits = [float(_refit(replace(problem, heights=heights + t * change), params)[0][2]) for t in (step, -step)]
    truth, exact, plain = (refits[0] - refits[1]) / (2 * step), width(Implicit()), width(Implicit("gauss-newton"))
    return (
        "large residuals, a Gaussian fitted to a flat top: derivative of the width along a random change of the heights"
        f" {exact:.6f} exact, {plain:.6f} by Gauss-Newton, {truth:.6f} by refits: Gauss-Newton is off by"
        f" {abs(plain / truth - 1):.0%}, exact by {abs(exact / truth - 1):.0e}"
    )


def without_residuals() -> str:
    """D Sigma D^T = (J^T W J)^-1 where the heights are met exactly, with D = dp / dz and Sigma = W^-1."""
    rng = np.random.default_rng(1)
    points, truth = rng.uniform(0, 10, (N_POINTS, 2)), _apart(rng, 2, 2, "full")
    sigma = rng.uniform(0.5, 2, N_POINTS)
    problem, params = sf.SurfaceProblem.from_start(
        jnp.asarray(points), jnp.asarray(truth(points)), truth, sigma=jnp.asarray(sigma)
    )
    slopes = jax.jit(
        jax.jacfwd(lambda z: attached(Implicit(), replace(problem, heights=z), params)[0])  # type: ignore[arg-type]
    )(problem.heights)
    rows = np.asarray(jax.jacfwd(problem.residuals)(params))
    covariance, expected = np.asarray(slopes) * sigma @ (np.asarray(slopes) * sigma).T, np.linalg.inv(rows.T @ rows)
    scale = np.sqrt(np.diag(expected))
    error = np.abs((covariance - expected) / np.outer(scale, scale)).max()
    return f"no residuals: D Sigma D^T against (J^T W J)^-1, largest difference in units of the errors {error:.1e}"


def cost_of_a_gradient() -> Iterator[str]:
    """Gradient of one number by all heights at K = 1,024, in mean steps of the fit that leads there."""
    side, pixels = LATTICE_SIDE, 10 * LATTICE_SIDE
    rng, count = np.random.default_rng(0), LATTICE_SIDE**2
    lattice = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    centers = 10 * (lattice + 0.5) + rng.uniform(-2, 2, (count, 2))
    roots = rng.normal(size=(count, 2, 2))
    shapes = 9 * np.eye(2) + 0.5 * roots @ roots.swapaxes(1, 2)
    truth = sf.GaussianSurface(rng.uniform(1, 2, count), centers, shapes, 0.0)
    places = np.stack(np.meshgrid(np.arange(pixels), np.arange(pixels), indexing="ij"), -1).astype(float)
    heights = truth(places) + 0.05 * rng.normal(size=(pixels, pixels))
    off = replace(truth, centers=centers + START_OFFSET_WIDTHS * 3 * rng.normal(size=centers.shape))
    for name, sigma in (("one sigma", None), ("sigma by pixel", rng.uniform(0.5, 2, heights.shape))):
        yield f"K = {count}, {pixels} x {pixels}, {name}: " + _cost(grid_data(heights, sigma=sigma), off)


def _cost(data: Any, start: sf.GaussianSurface) -> str:
    spec = ModelSpec(n_components=start.n_components)
    prepared = problem_setup(data, spec, DOUBLE, EngineChoice(sf.Tiled()))
    params = jnp.asarray(prepared.host.parameterization.pack(to_internal(start, prepared.scaling)))
    solver = sf.LevenbergMarquardt(slack=0.0, distance=np.inf, ftol=1e-12)
    for _ in range(2):  # the second run has compiled all
        run = SolverRun(prepared.problem, params, solver, Limits(), prepared.planner)
        run.advance(1)
        before = time.process_time()
        run.advance(60)
        a_step = (time.process_time() - before) / max(run.steps - 1, 1)
    found = run.carry.best.params
    problem = prepared.planner(run.problem, found, found)  # type: ignore[misc]
    at, minimum = quick_jit(lambda problem, params: polished(Implicit(), problem, params))(problem, found)

    def pull(problem: sf.SurfaceProblem, params: jax.Array, vector: jax.Array) -> jax.Array:
        def number(heights: jax.Array) -> jax.Array:
            return jnp.vdot(vector, attached(Implicit(), replace(problem, heights=heights), params)[0])

        return jax.grad(number)(problem.heights)

    program, vector = quick_jit(pull), jnp.asarray(np.random.default_rng(2).normal(size=found.size))
    seconds = []
    for _ in range(4):
        before = time.process_time()
        slopes = jax.block_until_ready(program(problem, at, vector))
        seconds.append(time.process_time() - before)
    gradient = float(np.median(seconds[1:]))
    return (
        f"{run.steps} steps to {run.status.name}, {a_step:.2f} s of CPU each; gradient by {slopes.size} heights"
        f" {gradient:.2f} s, {gradient / a_step:.1f} steps; gradient of the cost there {float(minimum.gradient):.0e}"
    )
