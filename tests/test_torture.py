"""Hard data, from complaints of users: never NaN, never worse than the start, always a true status."""

import dataclasses
import os
import warnings
from itertools import product

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mappings import do_not_run_out

import surfacefit as sf

SIDE = 24
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)
KINDS = [("float64", "dense"), ("float32", "tiled")]
if os.environ.get("SURFACEFIT_THOROUGH"):  # the other two of four: twice the time
    KINDS += [("float32", "dense"), ("float64", "tiled")]


def bump(amplitude, center, widths):
    return amplitude * np.exp(-0.5 * (((Y - center[0]) / widths[0]) ** 2 + ((X - center[1]) / widths[1]) ** 2))


def start(*rows):
    amplitudes, centers, widths = zip(*rows, strict=True)
    return sf.GaussianSurface(
        amplitudes, np.array(centers, float), [np.diag(np.square(np.array(w, float))) for w in widths]
    )


def with_values(array, values, rng=0):
    array = np.array(array, float)
    places = np.random.default_rng(rng).choice(array.size, len(values), replace=False)
    array.ravel()[places] = values
    return array


CLEAN = bump(3, (7, 8), (3, 2)) + bump(2, (16, 15), (2, 4)) + bump(1, (6, 18), (2, 2)) + 0.5
NOISY = CLEAN + 0.05 * np.random.default_rng(0).normal(size=CLEAN.shape)
THREE = start((2, (8, 8), (2.5, 2.5)), (2, (15, 16), (3, 3)), (1, (7, 17), (2, 2)))
TWINS = start((1.5, (7, 8), (3, 2)), (1.5, (7, 8), (3, 2)), (2, (16, 15), (2, 4)))
ROBUST = {"loss": "cauchy", "f_scale": 0.1}

CASES = {
    "a start that is nearly round": (NOISY,
        {"init": start((2, (8, 8), (3, 3 + 1e-9)), (2, (15, 16), (3, 3)), (1, (7, 17), (2, 2)))}),
    "a perfect Gaussian without noise": (CLEAN, {"init": THREE}),
    "the answer as start": (CLEAN, {"init": start((3, (7, 8), (3, 2)), (2, (16, 15), (2, 4)), (1, (6, 18), (2, 2)))}),
    "a start on a bound": (NOISY,
        {"init": THREE, "bounds": sf.Bounds(amplitudes=(0, 2), centers=(0, 17), widths=(2, 6))}),
    "amplitudes of zero": (NOISY, {"init": start((0, (8, 8), (3, 3)), (0, (15, 16), (3, 3)), (0, (7, 17), (2, 2)))}),
    "NaN in the heights": (with_values(NOISY, [np.nan] * 200), {"init": THREE}),
    "NaN in sigma": (NOISY, {"init": THREE, "sigma": with_values(np.ones_like(NOISY), [np.nan] * 200)}),
    "only a corner without NaN": (np.where((Y < 8) & (X < 8), NOISY, np.nan), {"init": THREE}),
    "outliers of a million": (with_values(NOISY, [1e6, -1e6] * 10), {"init": THREE}),
    "outliers of a million, robust": (with_values(NOISY, [1e6, -1e6] * 10), {"init": THREE, **ROBUST}),
    "sigma over twenty decades": (NOISY,
        {"init": THREE, "sigma": 10.0 ** np.linspace(-10, 10, SIDE * SIDE).reshape(SIDE, SIDE)}),
    "zeros": (np.zeros_like(NOISY), {"init": THREE}),
    "a constant": (np.full_like(NOISY, 7.0), {"init": THREE}),
    "a constant of 1e30": (np.full_like(NOISY, 1e30), {"init": THREE}),
    "heights of 1e-30": (1e-30 * NOISY,
        {"init": dataclasses.replace(THREE, amplitudes=1e-30 * np.array(THREE.amplitudes))}),
    "heights of 1e30": (1e30 * NOISY,
        {"init": dataclasses.replace(THREE, amplitudes=1e30 * np.array(THREE.amplitudes))}),
    "a small bump on a height of 1e8": (NOISY + 1e8, {"init": THREE}),
    "coordinates of 1e9": (
        NOISY,
        {"coords": [1e9 + Y[:, 0], 1e9 + X[0]],
         "init": dataclasses.replace(THREE, centers=1e9 + np.array(THREE.centers))},
    ),
    "coordinates of 1e-9": (
        NOISY,
        {
            "coords": [1e-9 * Y[:, 0], 1e9 * X[0]],
            "init": sf.GaussianSurface(
                THREE.amplitudes, np.array(THREE.centers) * [1e-9, 1e9],
                np.array(THREE.covariances) * np.outer([1e-9, 1e9], [1e-9, 1e9])
            ),
        },
    ),
    "amplitudes of 1e-8 and 1e8": (
        1e-8 * CLEAN + bump(1e8, (16, 15), (2, 4)),
        {"init": start((1e-8, (7, 8), (3, 2)), (1e8, (16, 15), (2, 3)), (1e-8, (6, 18), (2, 2)))},
    ),
    "two components that are one": (CLEAN, {"init": TWINS}),
    "components narrower than a pixel": (
        NOISY,
        {"init": start((3, (7.5, 8.5), (0.05, 0.05)), (2, (15, 16), (0.01, 3)), (1, (7, 17), (9, 1e-6)))},
    ),
    "a width below a pixel": (with_values(np.zeros_like(NOISY), [5.0, 3.0, 1.0]), {"init": THREE}),
    "components far outside": (NOISY,
        {"init": start((3, (-50, 8), (3, 2)), (2, (500, 500), (2, 4)), (1, (6, 18), (2, 2)))}),
    "components as wide as the world": (NOISY,
        {"init": start((3, (7, 8), (1e6, 1e6)), (2, (16, 15), (1e6, 1)), (1, (6, 18), (2, 2)))}),
    "nearly singular covariances": (
        NOISY,
        {"init": sf.GaussianSurface([1.0] * 3, THREE.centers, [np.array([[9.0, 9.0 - 1e-8], [9.0 - 1e-8, 9.0]])] * 3)},
    ),
    "a chessboard": ((X + Y) % 2, {"init": THREE}),
    "white noise": (np.random.default_rng(1).normal(size=NOISY.shape), {"init": THREE}),
    "a ramp": (X + 2 * Y, {"init": THREE}),
    "a pit": (-CLEAN, {"init": THREE}),
    "a pit, signed": (-CLEAN, {"init": THREE, "amplitudes": "signed"}),
    "counts of nothing": (np.zeros_like(NOISY), {"init": THREE, "loss": "poisson"}),
    "one count": (with_values(np.zeros_like(NOISY), [1.0]), {"init": THREE, "loss": "poisson"}),
    "counts of 1e9": (
        np.round(1e9 * CLEAN),
        {"init": dataclasses.replace(THREE, amplitudes=1e9 * np.array(THREE.amplitudes)), "loss": "poisson"},
    ),
    "a prior much stronger than the data": (
        NOISY,
        {"init": THREE, "sigma": 1e6, "absolute_sigma": True, "prior": sf.SurfacePrior(scale=1e-3)},
    ),
    "everything fixed": (NOISY,
        {"init": THREE, "background": 0.1, "fixed": ["amplitudes", "centers", "covariances", "background"]}),
    "bounds of no width": (NOISY, {"init": THREE, "bounds": sf.Bounds(centers=(7, 7 + 1e-12))}),
}  # fmt: skip


QUICK = list(product(list(CASES)[::6], KINDS[:1]))
REST = [pytest.param(*pair, marks=pytest.mark.slow) for pair in product(CASES, KINDS) if pair not in QUICK]


@pytest.mark.parametrize(
    ("name", "kind"), QUICK + REST, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_never_nan_never_worse_always_honest(name, kind):
    (dtype, engine), (heights, options) = kind, CASES[name]
    held_out_of_range = dtype == "float32" and name in ("heights of 1e30", "a constant of 1e30")
    heights = np.asarray(heights, dtype) if held_out_of_range else heights
    begin = sf.fit(heights, 3, engine=engine, dtype=dtype, solver=sf.LevenbergMarquardt(max_steps=0), **options)
    result = sf.fit(heights, 3, engine=engine, dtype=dtype, solver=sf.LevenbergMarquardt(max_steps=60), **options)
    sound(result)
    total, before = result.cost + result.penalty, begin.cost + begin.penalty
    assert total <= before * (1 + 1e-5) + 1e-30


@pytest.mark.parametrize(
    ("points", "n_dim"),
    [("collinear", 2), ("a column of equal points", 2), ("all equal", 2), ("collinear", 3), ("few", 1)],
)
def test_scattered_points_that_span_nothing(points, n_dim):
    rng = np.random.default_rng(0)
    along = rng.normal(size=(60 if points != "few" else 4, 1))
    places = {
        "collinear": along * np.ones(n_dim),
        "a column of equal points": np.concatenate([np.zeros((30, n_dim)), rng.normal(size=(30, n_dim))]),
        "all equal": np.ones((60, n_dim)),
        "few": along,
    }[points]
    heights = np.exp(-0.5 * (places**2).sum(axis=1)) + 0.01 * rng.normal(size=len(places))
    sound(sf.fit_points(places, heights, 1, init="grid"))


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 1), (1, 7), (3, 1, 4)])
def test_maps_too_small_say_so_or_fit(shape):
    heights = np.arange(np.prod(shape), dtype=float).reshape(shape)
    options = {"background": None, "covariance_type": "spherical", "init": "grid"}
    if heights.size < 2 + len(shape):
        with pytest.raises(ValueError, match="`heights` must hold at least"):
            sf.fit(heights, 1, **options)
    else:
        sound(sf.fit(heights, 1, **options))


def test_a_frame_of_nan_is_refused():
    with pytest.raises(ValueError, match="no point is left to fit"):
        sf.fit(np.full((5, 5), np.nan), 1)


@pytest.mark.slow
@pytest.mark.parametrize("init", ["auto", "peaks", "growth"])
def test_far_too_many_components(init):
    result = sf.fit(NOISY, 40, init=init, max_time=20)
    sound(result)
    assert result.rmse <= NOISY.std()


def test_a_runaway_component_stays_positive_definite():
    """Found by the search over random maps: one component met all of a constant map, and the other went to infinity."""
    options = {
        "background": None,
        "amplitudes": "signed",
        "loss": "poisson",
        "init": "peaks",
        "seed": 0,
        "dtype": "float64",
    }
    sound(sf.fit(np.full((3, 4, 5), 2.0), 2, solver=sf.LevenbergMarquardt(max_steps=30), **options))


@pytest.mark.parametrize("seed", [307, 562])
def test_what_no_component_can_meet_leaves_numbers_that_square(seed):
    """Nearly all heights below zero, and heights of components above: one width went to 1e56, a slope to 1e-158."""
    rng = np.random.default_rng(seed)
    heights, sigma = rng.normal(size=(3, 4, 5)) * 1e6 - 1e6, 10.0 ** rng.uniform(-3, 3, (3, 4, 5))
    coords = [np.cumsum(10.0 ** rng.uniform(-2, 2, n)) for n in heights.shape]
    options = {"background": None, "covariance_type": "diag", "init": "random", "seed": seed % 10, "dtype": "float64"}
    result = sf.fit(heights, 2, sigma=sigma, coords=coords, solver=sf.LevenbergMarquardt(max_steps=30), **options)
    sound(result)
    assert result.surface.principal_widths.max() < 1e12


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e-11, 1.0, 1e12, 1e30])
@pytest.mark.parametrize("kind", ["counts", "large known errors", "small known errors"])
@pytest.mark.parametrize("heights", ["constant", "bump"])
def test_known_errors_far_from_the_heights_are_numbers_in_single_precision(heights, kind, unit):
    """Found by the search over random maps: the variance of counts of 1e-11 was 1e53 in the units of the fit."""
    x = np.arange(12.0)
    options = {
        "counts": {"loss": "poisson"},
        "large known errors": {"sigma": 1e40 * unit, "absolute_sigma": True},
        "small known errors": {"sigma": 1e-40 * unit, "absolute_sigma": True},
    }[kind]
    values = unit * (0.1 + (np.exp(-0.5 * ((x - 5) / 2) ** 2) if heights == "bump" else 0 * x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solver = sf.LevenbergMarquardt(max_steps=30)
        sound(sf.fit(values, 1, init="grid", dtype="float32", solver=solver, progress=False, **options))


def sound(result):
    """Finite numbers in the units of the user, a status that is one, errors that are numbers or infinite."""
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.surface))
    assert np.isfinite([result.cost, result.penalty, result.rmse, result.r2]).all()
    assert (np.linalg.eigvalsh(result.surface.covariances) > 0).all()
    assert result.status not in (sf.Status.RUNNING, sf.Status.REPLAN)
    assert result.success == (result.status.name in SUCCESSES)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(result.standard_errors.surface))
    assert result.flags.shape == (result.n_components,)
    assert "status" in result.summary()


SUCCESSES = {"CONVERGED_COST", "CONVERGED_STEP", "CONVERGED_GRADIENT", "CONVERGED_SLOWLY", "EXACT", "PRECISION"}


def configurations(count):
    """Random choices among what a fit compiles for, few enough that thousands of examples share their programs."""
    rng = np.random.default_rng(0)
    choices = {
        "shape": [(12,), (30,), (6, 7), (9, 9), (3, 4, 5)],
        "n_components": [1, 2, 4],
        "dtype": ["float32", "float64"],
        "background": [None, "constant", "plane"],
        "covariance_type": ["full", "diag", "spherical", "tied"],
        "amplitudes": ["positive", "signed"],
        "loss": ["linear", "linear", "huber", "soft_l1", "cauchy", "poisson"],
        "engine": ["dense", "dense", "tiled"],
        "bounds": [None, None, sf.Bounds(centers=(0, 3)), sf.Bounds(amplitudes=(0, 2), background=(-1, 1))],
    }
    return [{name: values[rng.integers(len(values))] for name, values in choices.items()} for _ in range(count)]


EXAMPLES = int(os.environ.get("SURFACEFIT_EXAMPLES", "40"))
CONFIGURATIONS = configurations(8 if EXAMPLES < 1000 else 16)


@st.composite
def problems(draw):
    """Maps of one to three dimensions, of any scale and offset, with gaps, ties and sigma."""
    options = dict(draw(st.sampled_from(CONFIGURATIONS)))
    shape, rng = options.pop("shape"), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "bump", "integers", "constant", "spike"]))
    heights = {
        "noise": rng.normal(size=shape),
        "bump": np.exp(-0.5 * np.sum((np.stack(np.indices(shape)) - 3.0) ** 2, axis=0) / 4),
        "integers": rng.integers(0, 5, shape).astype(float),
        "constant": np.ones(shape),
        "spike": (np.arange(int(np.prod(shape))) == 4).reshape(shape).astype(float),
    }[kind]
    heights = heights * 10.0 ** draw(st.integers(-12, 12)) + draw(st.sampled_from([0.0, 1.0, -1e6]))
    pattern = np.random.default_rng(draw(st.integers(0, 1)))  # a number of points is a program to compile
    gaps = pattern.random(shape) < draw(st.sampled_from([0.0, 0.0, 0.3]))
    options |= {
        "init": draw(st.sampled_from(["grid", "peaks", "random"])),
        "mask": pattern.random(shape) < 0.2 if draw(st.booleans()) else None,
        "sigma": 10.0 ** rng.uniform(-3, 3, shape) if draw(st.booleans()) and options["loss"] != "poisson" else None,
        "coords": [np.cumsum(10.0 ** rng.uniform(-2, 2, n)) for n in shape] if draw(st.booleans()) else None,
        "seed": draw(st.integers(0, 9)),
    }
    return np.where(gaps, np.nan, heights), options.pop("n_components"), options


def fitted_or_refused(problem):
    """A sound fit, or one of the documented errors; any warning is an error."""
    heights, count, options = problem
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = sf.fit(heights, count, solver=sf.LevenbergMarquardt(max_steps=30), progress=False, **options)
        except ValueError as error:
            if str(error).startswith(("`", "no point is left")):
                return
            raise
        sound(result)


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(problems())
def test_any_map_is_fitted_or_refused(problem):
    fitted_or_refused(problem)
    do_not_run_out()
