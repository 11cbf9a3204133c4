"""Every compiled program, lowered for CUDA on a machine that needs no GPU: nothing that only a CPU can do slips in.

Small fits run as they would beside a GPU, and each program is recorded with the shapes of its arguments. The StableHLO
that each lowers to must call nothing but CUDA's own libraries, and every matrix product must state its precision: by
default a GPU rounds the factors of float32 products to 10 bits.
"""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contexts import DOUBLE, search_context

import surfacefit as sf
from surfacefit._base import compile as compiling
from surfacefit._base import devices
from surfacefit._base.compile import Program, quick_jit
from surfacefit._base.precision import precision
from surfacefit._losses import loss_of
from surfacefit._search.moves import Neighbourhood
from surfacefit._search.refits import refit
from surfacefit._small_fits.chunks import SmallBatch, fit_small
from surfacefit._small_fits.gaussians import SmallModel
from surfacefit._small_fits.levenberg_marquardt import LaneSettings
from surfacefit._solvers import lane_buckets
from surfacefit._solvers.lane_buckets import solve_together

PACKAGE = Path(sf.__file__).parent
# Programs that are only called where arrays are on a CPU; beside a GPU their twins `..._at_once` are.
CPU_ALONE = {
    "_search.local_refits.refits_one_by_one",
    "_statistics.bootstrap.refits_one_by_one",
    "_many.lane_runs.solved_one_by_one",
    "_batch_errors.lane_covariances.covariances_one_by_one",
    "_batch_errors.precise_covariances.rows_one_by_one",
}
# The libraries of CUDA: cusolver_..., cublas_..., cu_...
OF_CUDA = ("cu",)


def name_of(program):
    return f"{program.function.__module__}.{program.function.__qualname__}".removeprefix("surfacefit.")


def own_programs():
    return {name_of(p) for p in compiling.PROGRAMS if p.function.__module__.startswith("surfacefit.")}


def abstract(leaf):
    """Its shape, and the type that it has under JAX's precision of this moment."""
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
        return jax.ShapeDtypeStruct(leaf.shape, dtype, weak_type=getattr(leaf, "weak_type", False))
    return leaf


class Recorder:
    """The first call of each program for each structure and each set of dtypes of its arguments."""

    def __init__(self):
        self.calls = {}

    def record(self, program, args):
        leaves, structure = jax.tree.flatten(args)
        kinds = tuple(str(getattr(leaf, "dtype", leaf)) for leaf in leaves)
        key = (name_of(program), structure, kinds, jax.config.jax_enable_x64)
        self.calls.setdefault(key, (program, jax.tree.map(abstract, args)))

    def lowered(self):
        """StableHLO for CUDA by program."""
        texts = {}
        for (name, _, _, x64), (program, args) in self.calls.items():
            with jax.enable_x64(x64):
                texts.setdefault(name, []).append(for_cuda(program.function, *args, static=program.static_argnums))
        return texts


def for_cuda(function, *args, static=()):
    return jax.jit(function, static_argnums=static).trace(*args).lower(lowering_platforms=("cuda",)).as_text()


def hills(shape, count=3, seed=0):
    rng = np.random.default_rng(seed)
    points = np.stack(np.indices(shape), axis=-1)
    heights = 0.05 * rng.normal(size=shape)
    for center in rng.uniform(0.2, 0.8, (count, len(shape))) * shape:
        heights += 2 * np.exp(-0.5 * (((points - center) / (0.1 * np.array(shape))) ** 2).sum(axis=-1))
    return heights.astype(np.float32)


MAP = hills((24, 26))
GRID = {"init": "grid", "search": 0}


def short(steps=3, **options):
    return sf.LevenbergMarquardt(max_steps=steps, **options)


def dense(patch):
    """Also what is asked of a result afterwards."""
    result = sf.fit(MAP, 3, **GRID, solver=short(40))
    result.predict(np.zeros((2, 2)))
    for method in ("hessian", "sandwich", "correlated"):
        errors = result.uncertainty(method)
    assert np.isfinite(errors.fwhm).any()
    errors.band(np.zeros((1, 2)))
    errors.of(lambda surface: surface.amplitudes.sum())
    result.bootstrap(2)
    sensitivity = result.sensitivity()
    sensitivity.vjp(sensitivity.jvp(MAP))
    sensitivity.left_out(8)


def dense_with_limits_and_a_prior(patch):
    bounds, prior = sf.Bounds(widths=(2.0, 6.0), amplitudes=(0, 3)), sf.SurfacePrior(scale=9.0)
    options = {**GRID, "bounds": bounds, "prior": prior, "sigma": 0.05, "absolute_sigma": True}
    for method in ("cholesky", "qr"):
        result = sf.fit(MAP, 3, **options, solver=short(method=method))
    patch.setattr("surfacefit._statistics.constrained_directions.CLEAR_OF_LIMITS", 0.9)
    patch.setattr("surfacefit._statistics.linearization.MAX_HELD_ENTRIES", 0)
    assert result.uncertainty().amplitudes.shape == (3,)
    assert np.isfinite(result.statistics.bic)


def losses_of_misfits(patch):
    for loss in ("huber", "cauchy", "soft_l1"):
        sf.fit(MAP, 3, **GRID, solver=short(1), loss=loss, f_scale=0.1)
    sf.fit(np.round(np.maximum(5 * MAP, 0)), 3, **GRID, solver=short(1), loss="poisson")


def tiled(patch):
    """Blocks solved directly and by conjugate gradients, products, and a plan that is renewed on the way."""
    patch.setattr("surfacefit._problem.planning.MOST_NODES_A_PLACE", np.inf)
    narrow = sf.GaussianSurface(np.ones(2), np.array([[8.0, 8.0], [15.0, 15.0]]), np.tile(0.3 * np.eye(2), (2, 1, 1)))
    result = sf.fit(MAP, 2, init=narrow, engine="tiled", solver=short(8))
    patch.setattr("surfacefit._linear.normal.blocks.DIRECT_SOLVE_PARAMETERS", 4)
    patch.setattr("surfacefit._problem.planning.DIRECT_SOLVE_PARAMETERS", 4)
    sf.fit(MAP, 4, **GRID, engine="tiled", solver=short())
    sf.fit(MAP, 4, **GRID, engine=sf.Tiled(normal="products"), solver=short(), covariance_type="tied")
    for module in ("covariance_methods", "uncertainty"):
        patch.setattr(f"surfacefit._statistics.{module}.MAX_EXACT_PARAMETERS", 5)
    assert np.isfinite(result.uncertainty().fwhm).any()
    patch.setattr("surfacefit._model.surface.MANY_ELEMENTS", 0)
    result.predict(np.zeros((2, 2)))


def other_solvers(patch):
    for engine in ("dense", "tiled"):
        for solver in (sf.Adam(max_steps=2), sf.SuperimposedSignals(max_steps=2), sf.Dogleg(max_steps=2)):
            sf.fit(MAP, 3, **GRID, engine=engine, solver=solver)
    sf.fit(MAP, 3, **GRID, solver=sf.LevenbergMarquardt(max_steps=0))


def search(patch):
    """A round of trials by local refits, as growth and search make them."""
    with precision(DOUBLE):
        context = search_context(MAP, 3, model={"loss": "huber", "f_scale": 0.1})
        state = context.views.background_only()
        state = refit(context, context.views.blocks_at_peaks(state, 3), state.border, 2)
        around = Neighbourhood(context, state)
        around.losses(np.arange(3))
        around.refit_best(around.additions(2))


def mixtures(patch):
    points = np.random.default_rng(0).normal(size=(60, 2)) + 4 * (np.arange(60) % 2)[:, None]
    mixture = sf.fit_mixture(points, 2)
    mixture.log_density(points)
    mixture.responsibilities(points)
    sf.fit(MAP, 2, init="em", search=0, solver=short(1))


def very_many_small_fits(patch):
    model, points = SmallModel(1, 1, "full", "positive"), np.linspace(-1, 1, 8)[:, None]
    for loss in ("linear", "poisson"):
        batch = SmallBatch(points, np.ones((2, 8)), np.ones((2, 8)), np.full(1, 0.01), loss_of(loss, 1.0, 1.0))
        fit_small(model, batch, np.ones((2, 4)), LaneSettings(max_steps=2), with_errors=True)


def many(patch):
    patch.setattr("surfacefit._batch_errors.batch_errors.LEAST_LANES", 1)
    patch.setattr("surfacefit._batch_errors.precise_covariances.LEAST_PRECISE", 1)
    patch.setattr("surfacefit._batch_errors.lane_covariances.LEAST_SQUARED_PIVOT", 2)
    sf.fit_many(np.stack([MAP, MAP]), 2, init="grid", solver=short(1)).standard_errors  # noqa: B018


def buckets_of_lanes(patch):
    """The second lane starts at its minimum, so that the others go on in a bucket of their own."""
    patch.setattr("surfacefit._solvers.lane_buckets.LEAST_BUCKET", 2)
    patch.setattr("surfacefit._solvers.lane_buckets.STEPS_AT_ONCE", 1)
    x = jnp.linspace(-2, 2, 20)[:, None]
    surfaces = [sf.GaussianSurface(jnp.ones(1), jnp.array([[c]]), jnp.ones((1, 1, 1))) for c in (0.3, 0.0, 0.2)]
    heights = surfaces[1](np.asarray(x))
    pairs = [sf.SurfaceProblem.from_start(x, jnp.asarray(heights, jnp.float32), start) for start in surfaces]
    problems, starts = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *one) for one in zip(*pairs, strict=True))
    solve_together(short(4), problems, starts, 3)
    lane_buckets._resumed(lane_buckets._begun(short(4), problems, starts))


CASES = [
    buckets_of_lanes,
    dense,
    dense_with_limits_and_a_prior,
    losses_of_misfits,
    tiled,
    other_solvers,
    search,
    mixtures,
    very_many_small_fits,
    many,
]


@pytest.fixture(scope="module")
def lowered():
    """StableHLO for CUDA of every program that the cases call."""
    recorder, plain = Recorder(), Program.__call__

    def call(program, *args):
        recorder.record(program, args)
        return plain(program, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "device_of", lambda tree=(): SimpleNamespace(platform="gpu"))
        patch.setattr(devices, "moved", lambda tree, device: tree)
        patch.setattr(Program, "__call__", call)
        for case in CASES:
            with pytest.MonkeyPatch.context() as own:
                case(own)
    return recorder.lowered()


@pytest.mark.slow
def test_every_program_was_lowered(lowered):
    missing = own_programs() - set(lowered) - CPU_ALONE
    assert not missing, f"no case above calls {sorted(missing)}: add one, so that it is lowered for CUDA, too"


def of_the_cpu(text):
    """Calls in StableHLO that CUDA cannot resolve: LAPACK's, Python's."""
    return [name for name in re.findall(r"custom_call @([\w.]+)", text) if not name.startswith(OF_CUDA)]


def imprecise(text):
    """Matrix products whose precision is not stated as the highest."""
    products = [line.strip() for line in text.splitlines() if "stablehlo.dot_general" in line]
    return [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line]


@pytest.mark.slow
def test_no_program_calls_what_only_a_cpu_has(lowered):
    found = {name: sorted({call for text in texts for call in of_the_cpu(text)}) for name, texts in lowered.items()}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.slow
def test_every_matrix_product_states_its_precision(lowered):
    found = {name: [line for text in texts for line in imprecise(text)][:3] for name, texts in lowered.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


MATRIX = jax.ShapeDtypeStruct((3, 3), jnp.float32)


def test_a_primitive_without_cuda_does_not_lower():
    with pytest.raises(NotImplementedError, match="schur"):
        for_cuda(jax.scipy.linalg.schur, MATRIX)


def test_a_call_of_lapack_is_found():
    text = for_cuda(lambda a: jax.ffi.ffi_call("lapack_spotrf_ffi", a)(a), MATRIX)
    assert of_the_cpu(text) == ["lapack_spotrf_ffi"]


def test_a_product_of_default_precision_is_found():
    assert len(imprecise(for_cuda(lambda a: a @ a, MATRIX))) == 1
    assert imprecise(for_cuda(lambda a: jnp.matmul(a, a, precision="highest"), MATRIX)) == []


def test_a_program_that_no_case_calls_is_found():
    def new():
        return 0

    new.__module__ = "surfacefit._new"
    program = quick_jit(new)
    assert name_of(program) in own_programs()


def test_programs_are_made_in_one_place():
    """`jax.jit` elsewhere would be missed by the tests above; the probe of the cache is no program of a fit."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).as_posix() not in ("_base/compile.py", "_system/compile_cache.py"):
            named = [
                ast.unparse(n) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Attribute)
            ]
            assert not {"jax.jit", "jax.pmap"} & set(named), path
