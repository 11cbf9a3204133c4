"""Amplitudes of either sign: derivatives, pits found from every start and engine, errors, files."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences, random_surface

import surfacefit as sf

Y, X = np.mgrid[:40, :50].astype(float)
PEAK = 3 * np.exp(-((Y - 12) ** 2 + (X - 14) ** 2) / 32)
PIT = -2 * np.exp(-((Y - 27) ** 2 / 18 + (X - 35) ** 2 / 50))
TRUTH = {14.0: 3.0, 35.0: -2.0}


def amplitudes_at(result):
    """Amplitude of the component nearest to each true column."""
    surface = result.surface
    return {x: float(surface.amplitudes[np.argmin(np.abs(surface.centers[:, -1] - x))]) for x in TRUTH}


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_derivatives_hold_for_negative_amplitudes(rng, covariance_type):
    with jax.enable_x64(True):
        amplitudes, centers, covariances = random_surface(rng, 3, 2)
        start = sf.GaussianSurface(amplitudes * np.array([-1, 1, -0.5]), centers, covariances)
        points, heights = rng.uniform(-1, 1, (30, 2)), rng.normal(size=30)
        problem, params = sf.SurfaceProblem.from_start(
            points, heights, start, covariance_type=covariance_type, amplitudes="signed"
        )
        np.testing.assert_allclose(problem.surface(params).amplitudes, start.amplitudes)
        _, jacobian = problem.linearize(params)
        expected = central_differences(lambda p: problem.residuals(jnp.asarray(p)), np.asarray(params))
        np.testing.assert_allclose(jacobian.as_matrix(), expected, atol=1e-7 * np.abs(expected).max())


EVERY = list(product(["auto", "growth", "peaks", "grid", "random"], [None, "constant"]))
FAST = [("auto", "constant"), ("growth", None), ("peaks", None), ("peaks", "constant"), ("grid", None)]


@pytest.mark.parametrize(
    ("init", "background"), [case if case in FAST else pytest.param(*case, marks=pytest.mark.slow) for case in EVERY]
)
def test_peaks_and_pits_are_found(init, background):
    result = sf.fit(
        PEAK + PIT,
        2,
        amplitudes="signed",
        init=init,
        background=background,
        search=2.0 if init in ("grid", "random") else None,
    )
    assert amplitudes_at(result) == pytest.approx(TRUTH, rel=1e-3)
    assert result.rmse < 1e-4


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        ("dense", "float32"),
        ("dense", "float64"),
        ("tiled", "float64"),
        pytest.param("tiled", "float32", marks=pytest.mark.slow),
    ],
)
def test_engines_agree_on_signs(engine, dtype):
    result = sf.fit(PEAK + PIT, 2, amplitudes="signed", engine=engine, dtype=dtype, search=0)
    assert amplitudes_at(result) == pytest.approx(TRUTH, rel=1e-3)


@pytest.mark.slow
def test_positive_amplitudes_cannot_reach_a_pit():
    result = sf.fit(PEAK + PIT, 2, background=None, search=0)
    assert (result.surface.amplitudes >= 0).all()
    assert result.rmse > 0.2


def test_one_dimension_and_scattered_points(rng):
    x = rng.uniform(0, 60, 400)
    z = 2 * np.exp(-((x - 14) ** 2) / 18) - np.exp(-((x - 35) ** 2) / 8)
    result = sf.fit_points(x, z, 2, amplitudes="signed", background=None, search=0)
    assert amplitudes_at(result) == pytest.approx({14.0: 2.0, 35.0: -1.0}, rel=1e-3)


def test_a_signed_fit_goes_on_from_its_own_result_and_from_a_file(tmp_path, rng):
    result = sf.fit(PEAK + PIT + 0.01 * rng.normal(size=X.shape), 2, amplitudes="signed", search=0)
    result.save(tmp_path / "fit.json")
    loaded = sf.load(tmp_path / "fit.json")
    assert loaded.settings.amplitudes == "signed"
    np.testing.assert_array_equal(loaded.standard_errors.amplitudes, result.standard_errors.amplitudes)
    assert (np.abs(result.standard_errors.amplitudes) < 0.02).all()
    again = sf.fit(PEAK + PIT, 2, amplitudes="signed", init=loaded.surface)
    assert amplitudes_at(again) == pytest.approx(TRUTH, rel=1e-3)
    assert "signed amplitudes" in result.summary()
    np.testing.assert_array_equal(
        result.surface.amplitudes > 0, [True, False]
    )  # in the order of volume without its sign


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="`amplitudes` must be"):
        sf.fit(PEAK, 1, amplitudes="singed")
    pit = sf.GaussianSurface([-1.0], [[5.0, 5.0]], [np.eye(2)])
    with pytest.raises(ValueError, match="allow that by amplitudes='signed'"):
        sf.fit(PEAK, 1, init=pit)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_narrow_pits_are_felt_in_every_tile_that_they_reach(dtype):
    """Beside wide low bumps, pits so narrow that each lies in few tiles: left out of one, their misfit would be of
    their height.
    """
    rng = np.random.default_rng(0)
    centers = rng.uniform(8, 88, (12, 2))
    truth = sf.GaussianSurface(np.full(12, -5.0), centers, np.tile(1.5 * np.eye(2), (12, 1, 1)))
    heights = truth(np.argwhere(np.ones((96, 96), bool)).astype(float)).reshape(96, 96).astype(dtype)
    options = {"background": None, "amplitudes": "signed", "engine": sf.Tiled(tile_size=64)}
    there = sf.fit(heights, 12, init=truth, solver=sf.LevenbergMarquardt(max_steps=0), **options)
    assert there.cost < 1e-8 * np.sum(heights**2)
    start = sf.GaussianSurface(np.full(12, -4.0), centers + rng.choice([-1.2, 1.2], (12, 2)), truth.covariances * 1.3)
    result = sf.fit(heights, 12, init=start, **options)
    np.testing.assert_allclose(
        result.cost, 0.5 * np.sum(result.residuals**2), rtol=1e-3, atol=1e-9 * np.sum(heights**2)
    )
    assert result.cost < 1e-8 * np.sum(heights**2)
