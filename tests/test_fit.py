"""Input validation and the whole way: bad input is refused before any work, odd input is fitted well."""

import dataclasses
import inspect
import re
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import same_surfaces

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._fit.options import checked_options
from surfacefit._fit.run_spec import RunSpec
from surfacefit._problem.model_spec import ModelSpec

Y, X = np.mgrid[:12, :15].astype(float)
HILL = 3 * np.exp(-0.5 * (((Y - 5) / 2) ** 2 + ((X - 8) / 3) ** 2)) + 1
POINTS = np.column_stack([Y.ravel(), X.ravel()])
NAN = np.nan


PAIR = sf.GaussianSurface([2.0, 1.0], [[5.0, 8.0], [9.0, 3.0]], [np.diag([4.0, 9.0])] * 2, 1.0)


def with_value(array, index, value):
    changed = np.array(array, float)
    changed[index] = value
    return changed


REFUSED = {
    "a file": (lambda: sf.fit("map.npy", 1), TypeError, r"`heights` must be an array of numbers, got 'map.npy': read the file first, by `surfacefit.read`"),
    "a path": (lambda: sf.fit_points(POINTS, Path("map.npy"), 1), TypeError, r"`heights` must be .* got PosixPath\('map.npy'\)|WindowsPath: read the file first"),
    "points of a file": (lambda: sf.fit_points("p.csv", HILL.ravel(), 1), TypeError, r"`points` must be an array of numbers, got 'p.csv': read the file"),
    "an object around an array": (lambda: sf.fit(SimpleNamespace(data=HILL), 1), TypeError, r"`heights` must be an array of numbers, got a SimpleNamespace: give its `.data`"),
    "several arrays": (lambda: sf.fit({"z": HILL}, 1), TypeError, r"`heights` must be an array of numbers, got a dict: give one of its arrays"),
    "nothing": (lambda: sf.fit(None, 1), TypeError, r"`heights` must be an array of numbers, got None"),
    "large heights": (lambda: sf.fit(HILL * 1e300, 1), ValueError, r"`heights` must be of a size from 1/1e\+140 to 1e\+140, so that squares are numbers, got 4e\+300: rescale"),
    "small heights": (lambda: sf.fit(HILL * 1e-300, 1), ValueError, r"`heights` must be of a size from .* got 4e-300: rescale"),
    "large coordinates": (lambda: sf.fit(HILL, 1, coords=(np.arange(12) * 1e300, np.arange(15))), ValueError, r"`coords` must spread over .* got 1.1e\+301 x 14: rescale"),
    "close points": (lambda: sf.fit_points(POINTS * 1e-100, HILL.ravel(), 1), ValueError, r"`points` must spread over .* all axes multiplied too, got 1.1e-99 x 1.4e-99"),
    "large sigma": (lambda: sf.fit(HILL, 1, sigma=1e300), ValueError, r"`sigma` must be between .* got 1e\+300 to 1e\+300: rescale"),
    "small sigma": (lambda: sf.fit(HILL * 1e100, 1, sigma=1e-100), ValueError, r"`sigma` must be between .* and so must `heights` / `sigma`"),
    "sigma of text": (lambda: sf.fit(HILL, 1, sigma="1.0"), TypeError, r"`sigma` must be an array of numbers, got '1.0'$"),
    "large background": (lambda: sf.fit(HILL, 1, background=1e300), ValueError, r"`background` must not exceed 1e\+140"),
    "slopes of a plane": (lambda: sf.fit(HILL, 1, background=sf.PlaneBackground(0.0, np.zeros(3), np.zeros(2))), ValueError, r"`background.slopes` must have shape \(2,\), got \(3,\)"),
    "origin of a plane": (lambda: sf.fit(HILL, 1, background=sf.PlaneBackground(0.0, np.zeros(2), np.zeros(3))), ValueError, r"`background.origin` must have shape \(2,\), got \(3,\)"),
    "a plane of NaN": (lambda: sf.fit(HILL, 1, background=sf.PlaneBackground(NAN, np.zeros(2), np.zeros(2))), ValueError, r"`background.value` must be finite, got nan$"),
    "a constant of text": (lambda: sf.fit(HILL, 1, background=sf.ConstantBackground("1")), TypeError, r"`background.value` must be an array of numbers, got '1'"),
    "several constants": (lambda: sf.fit(HILL, 1, background=sf.ConstantBackground(np.zeros(2))), ValueError, r"`background.value` must have shape \(\), got \(2,\)"),
    "a background function without heights": (lambda: sf.fit(HILL, 1, background=sf.FunctionBackground(lambda q, x: x, [1.0])), ValueError, r"`background` must map .* got shape \(3, 2\)"),
    "background of the start": (lambda: sf.fit(HILL, 2, background="plane", init=dataclasses.replace(PAIR, background=sf.PlaneBackground(0.0, np.zeros(1), np.zeros(2)))), ValueError, r"`init.background.slopes` must have shape \(2,\)"),
    "coords of no axis": (lambda: sf.fit(HILL, 1, coords=np.array(2)), TypeError, r"`coords` must be a sequence of 2 one-dimensional arrays"),
    "coords of no axis in 1-D": (lambda: sf.fit(HILL[5], 1, coords=np.array(2)), TypeError, r"`coords` must be a sequence of 1 one-dimensional arrays"),
    "numbers of components": (lambda: sf.fit(HILL, range(1, 5)), TypeError, r"`n_components` must be an integer, got range\(1, 5\): give one number, 'auto', or AutoComponents"),
    "number of text": (lambda: sf.fit(HILL, "3"), TypeError, r"`n_components` must be an integer, got '3': give one number, 'auto'"),
    "most of text": (lambda: sf.fit(HILL, sf.AutoComponents(most="3")), TypeError, r"`n_components.most` must be an integer, got '3'"),
    "target of text": (lambda: sf.fit(HILL, sf.AutoComponents("rmse", target="0.1")), TypeError, r"`n_components.target` must be a number, got '0.1'"),
    "K": (lambda: sf.fit(HILL, K=2), TypeError, r"fit\(\) has no option `K`: give `n_components`"),
    "weights": (lambda: sf.fit(HILL, 1, weights=HILL), TypeError, r"fit\(\) has no option `weights`: give `sigma` = 1 / sqrt\(weights\)"),
    "x": (lambda: sf.fit(HILL, 1, x=1), TypeError, r"fit\(\) has no option `x`: give `coords`, one array an axis, or use `fit_points`"),
    "max_iter": (lambda: sf.fit(HILL, 1, max_iter=1), TypeError, r"fit\(\) has no option `max_iter`: give it to the solver"),
    "K of a mixture": (lambda: sf.fit_mixture(POINTS, K=2), TypeError, r"fit_mixture\(\) has no option `K`: give `n_components`"),
    "max_iter of a mixture": (lambda: sf.fit_mixture(POINTS, 2, max_iter=3), TypeError, r"fit_mixture\(\) has no option `max_iter`: give `max_steps`"),
    "progress": (lambda: sf.fit(HILL, 1, progress=np.array([True, False])), TypeError, r"`progress` must be True or False"),
    "progress of a mixture": (lambda: sf.fit_mixture(POINTS, 2, progress="yes"), TypeError, r"`progress` must be True or False"),
    "tol of text": (lambda: sf.fit_mixture(POINTS, 2, tol="1"), TypeError, r"`tol` must be a number, got '1'"),
    "max_time of text": (lambda: sf.fit(HILL, 1, max_time="3"), TypeError, r"`max_time` must be a number, got '3'"),
    "max_time True": (lambda: sf.fit(HILL, 1, max_time=True), TypeError, r"`max_time` must be a number, got True"),
    "search of text": (lambda: sf.fit(HILL, 1, search="1"), TypeError, r"`search` must be a number, got '1'"),
    "min_width of text": (lambda: sf.fit(HILL, 1, min_width="0.3"), TypeError, r"`min_width` must be a number, got '0.3'"),
    "min_width beyond the data": (lambda: sf.fit(HILL, 1, min_width=1e300), ValueError, r"`min_width` is in sampling distances and must not exceed the data's extent of 14, got 1e\+300"),
    "max_memory of text": (lambda: sf.fit(HILL, 1, max_memory="2"), TypeError, r"`max_memory` must be a number, got '2'"),
    "f_scale of text": (lambda: sf.fit(HILL, 1, loss="huber", f_scale="1"), TypeError, r"`f_scale` must be a number, got '1'"),
    "ftol of text": (lambda: sf.fit(HILL, 1, solver=sf.LevenbergMarquardt(ftol="1e-3")), TypeError, r"`solver.ftol` must be a number, got '1e-3'"),
    "aspect of text": (lambda: sf.fit(HILL, 1, bounds=sf.Bounds(aspect="2")), TypeError, r"`bounds.aspect` must be a number, got '2'"),
    "patience beyond counting": (lambda: sf.fit(HILL, 1, solver=sf.LevenbergMarquardt(patience=2**63)), ValueError, r"`solver.patience` must be at most 2147483647, got 9223372036854775808"),
    "prior of next to nothing": (lambda: sf.fit(HILL, 1, sigma=1.0, absolute_sigma=True, prior=sf.SurfacePrior(amplitude=1e-320)), ValueError, r"`prior.amplitude` must be from 1/1e\+140 to"),
    "large f_scale": (lambda: sf.fit(HILL, 1, loss="huber", f_scale=1e200), ValueError, r"`f_scale` must be from 1/1e\+140 to 1e\+140, got 1e\+200"),
    "dtype a dict": (lambda: sf.fit(HILL, 1, dtype={"a": [1]}), ValueError, r"`dtype` must be one of 'float32', 'float64'"),
    "large reg_covar": (lambda: sf.fit_mixture(POINTS, 2, reg_covar=1e308), ValueError, r"`reg_covar` must not exceed 1e\+70, so that determinants are numbers, got 1e\+308"),
    "init a list": (lambda: sf.fit(HILL, 1, init=[PAIR]), ValueError, r"`init` must be one of .* got \[GaussianSurface.*; or give a GaussianSurface, a FitResult"),
    "empty": (lambda: sf.fit(np.zeros((0, 3)), 1), ValueError, r"`heights` must not be empty, got shape \(0, 3\)"),
    "0-d": (lambda: sf.fit(3.0, 1), ValueError, r"`heights` must be an array with at least one axis, got the single value 3.0"),
    "complex": (lambda: sf.fit(HILL + 0j, 1), TypeError, r"`heights` must hold real numbers, got dtype complex128: fit its real part"),
    "object": (lambda: sf.fit(HILL.astype(object), 1), TypeError, r"`heights` must hold real numbers, got dtype object: convert it first"),
    "string": (lambda: sf.fit([["1", "2"]], 1), TypeError, r"`heights` must hold real numbers, got dtype <U1"),
    "ragged": (lambda: sf.fit([[1, 2], [3]], 1), ValueError, r"`heights` must be a rectangular array"),
    "infinite": (lambda: sf.fit(with_value(HILL, (2, 3), np.inf), 1), ValueError, r"`heights` must not be infinite, got inf at index \(2, 3\): mask"),
    "lengths": (lambda: sf.fit_points(POINTS, HILL.ravel()[:-1], 1), ValueError, r"`points` and `heights` must have the same length, got 180 and 179"),
    "points rank": (lambda: sf.fit_points(np.zeros((4, 2, 2)), np.zeros(4), 1), ValueError, r"`points` must have shape \(N, d\).* got \(4, 2, 2\)"),
    "points nan": (lambda: sf.fit_points(with_value(POINTS, (3, 1), NAN), HILL.ravel(), 1), ValueError, r"`points` must be finite, got nan at index \(3, 1\)"),
    "points heights rank": (lambda: sf.fit_points(POINTS, HILL, 1), ValueError, r"`heights` of scattered points must have shape \(N,\), got \(12, 15\)"),
    "coords falling and rising": (lambda: sf.fit(HILL, 1, coords=([11, *range(11)], np.arange(15))), ValueError, r"`coords\[0\]` must be strictly increasing or strictly decreasing, got 0 then 1 at index 1"),
    "coords repeated": (lambda: sf.fit(HILL, 1, coords=(np.arange(12), np.r_[0, 0:14])), ValueError, r"`coords\[1\]` must be strictly increasing or strictly decreasing, got 0 then 0 at index 0"),
    "coords length": (lambda: sf.fit(HILL, 1, coords=(np.arange(12), np.arange(14))), ValueError, r"`coords\[1\]` must have shape \(15,\) to match `heights`, got \(14,\)"),
    "coords count": (lambda: sf.fit(HILL, 1, coords=(np.arange(12),)), ValueError, r"`coords` must hold one array for each of the 2 axes of `heights`, got 1"),
    "sigma zero": (lambda: sf.fit(HILL, 1, sigma=with_value(HILL, (0, 2), 0)), ValueError, r"`sigma` must be positive and finite .* got 0.0 at index \(0, 2\)"),
    "sigma negative": (lambda: sf.fit(HILL, 1, sigma=-0.3), ValueError, r"`sigma` must be positive .* got -0.3"),
    "sigma infinite": (lambda: sf.fit(HILL, 1, sigma=np.inf), ValueError, r"`sigma` must be positive .* got inf at index \(0, 0\)"),
    "sigma minus infinity": (lambda: sf.fit(HILL, 1, sigma=with_value(HILL, (1, 1), -np.inf)), ValueError, r"`sigma` must be positive .* got -inf at index \(1, 1\)"),
    "all sigma infinite": (lambda: sf.fit(HILL, 1, sigma=np.full(HILL.shape, np.inf)), ValueError, r"no point is left to fit: of 180 `heights`, 180 are NaN \(or their `sigma` is NaN or infinite\)"),
    "sigma shape": (lambda: sf.fit(HILL, 1, sigma=np.ones(5)), ValueError, r"`sigma` must be a number or have the shape of `heights` \(12, 15\), got \(5,\)"),
    "absolute_sigma": (lambda: sf.fit(HILL, 1, absolute_sigma=True), ValueError, r"`absolute_sigma` says what `sigma` means, but `sigma` is None"),
    "mask shape": (lambda: sf.fit(HILL, 1, mask=np.zeros((3, 3), bool)), ValueError, r"`mask` must have the shape of `heights` \(12, 15\), got \(3, 3\)"),
    "mask ragged": (lambda: sf.fit(HILL, 1, mask=[[True], [True, False]]), ValueError, r"`mask` must be a rectangular array of booleans"),
    "masked coordinate": (lambda: sf.fit(HILL[5], 1, coords=np.ma.masked_equal(np.arange(15), 3)), ValueError, r"`coords\[0\]` must be finite, got nan at index 3"),
    "masked points": (lambda: sf.fit_points(np.ma.masked_equal(POINTS, 7), HILL.ravel(), 1), ValueError, r"`points` must be finite, got nan at index"),
    "a start beyond numbers that square": (lambda: sf.fit(HILL, 2, init=dataclasses.replace(PAIR, amplitudes=np.array([1e200, 1.0]))), ValueError, r"`init.amplitudes` must not exceed 1e\+140, so that squares are numbers, got 1e\+200 at index 0: rescale"),
    "mask values": (lambda: sf.fit(HILL, 1, mask=HILL), ValueError, r"`mask` must be boolean"),
    "all masked": (lambda: sf.fit(HILL, 1, mask=np.ones(HILL.shape, bool)), ValueError, r"no point is left to fit: of 180 `heights`, 0 are NaN \(or their `sigma` is NaN or infinite\) and 180 are masked"),
    "all nan": (lambda: sf.fit(HILL * NAN, 1), ValueError, r"no point is left to fit: of 180 `heights`, 180 are NaN"),
    "no components": (lambda: sf.fit(HILL, 0), ValueError, r"`n_components` must be at least 1, got 0"),
    "half a component": (lambda: sf.fit(HILL, 2.5), TypeError, r"`n_components` must be an integer, got 2.5"),
    "true components": (lambda: sf.fit(HILL, True), TypeError, r"`n_components` must be an integer, got True"),
    "too many": (lambda: sf.fit(HILL, 40), ValueError, r"`n_components`=40 means 241 parameters, more than the 180 points to fit: at most n_components=29 fit"),
    "two heights": (lambda: sf.fit([1.0, 2.0]), ValueError, r"`heights` must hold at least 4 points for one component, got 2"),
    "background in NumPy": (lambda: sf.fit(HILL, 1, background=(lambda p, x: np.sin(p[0] * x[:, 0]), [1.0])), TypeError, r"`background` must be a function that JAX can trace, .* write it with `jax.numpy`"),
    "background of floats": (lambda: sf.fit(HILL, 1, background=(lambda p, x: float(p[0]) * x[:, 0], [1.0])), TypeError, r"`background` must be a function that JAX can trace"),
    "unknown option": (lambda: sf.fit(HILL, 1, backgroud=None), TypeError, r"fit\(\) has no option `backgroud`; did you mean 'background'\?"),
    "unknown option of points": (lambda: sf.fit_points(POINTS, HILL.ravel(), 1, solvr="lm"), TypeError, r"fit_points\(\) has no option `solvr`; did you mean 'solver'\?"),
    "unknown solver": (lambda: sf.fit(HILL, 1, solver="adm"), ValueError, r"`solver` must be one of 'lm', .*, got 'adm'; did you mean 'adam'\?"),
    "solver class": (lambda: sf.fit(HILL, 1, solver=sf.Adam), ValueError, r"`solver` must be one of"),
    "unknown covariance": (lambda: sf.fit(HILL, 1, covariance_type="ful"), ValueError, r"`covariance_type` must be one of .*; did you mean 'full'\?"),
    "tied centres": (lambda: sf.fit(HILL, 1, tied="centers"), ValueError, r"`tied` must be None or 'covariances' .* nothing else can be tied, got 'centers'"),
    "tied amplitudes of points": (lambda: sf.fit_points(POINTS, HILL.ravel(), 1, tied=["amplitudes"]), ValueError, r"`tied` must be .* got \['amplitudes'\]"),
    "tied and diag": (lambda: sf.fit(HILL, 1, tied="covariances", covariance_type="diag"), ValueError, r"`tied`='covariances' means one full covariance for all, got covariance_type='diag'"),
    "part of a tied shape": (lambda: sf.fit(HILL, 2, tied="covariances", fixed={"covariances": [True, False]}, init=PAIR), ValueError, r"must be the same for all where they share one shape"),
    "absolute_sigma of text": (lambda: sf.fit(HILL, 1, sigma=1.0, absolute_sigma="yes"), TypeError, r"`absolute_sigma` must be True or False, got 'yes'"),
    "learning rate": (lambda: sf.fit(HILL, 1, solver=sf.Adam(learning_rate=-1)), ValueError, r"`solver.learning_rate` must be positive and finite, got -1"),
    "slope of Adam": (lambda: sf.fit(HILL, 1, solver=sf.Adam(gtol=-1)), ValueError, r"`solver.gtol` must be zero or positive"),
    "decay of Adam": (lambda: sf.fit(HILL, 1, solver=sf.Adam(b1=1.0)), ValueError, r"`solver.b1` must be below 1, got 1.0"),
    "second decay of Adam": (lambda: sf.fit(HILL, 1, solver=sf.Adam(b2=-0.1)), ValueError, r"`solver.b2` must be zero or positive"),
    "infinite background": (lambda: sf.fit(HILL, 1, background=np.inf), ValueError, r"`background` must be finite, got inf"),
    "true background": (lambda: sf.fit(HILL, 1, background=True), TypeError, r"`background` must be None, 'constant', 'plane', a number"),
    "em as a solver": (lambda: sf.fit(HILL, 1, solver="em"), ValueError, r"got 'em': .* `init='em'`, .* `fit_mixture\(points, K, weights=heights\)`"),
    "no starts": (lambda: sf.fit(HILL, 1, init=sf.RandomStarts(0)), ValueError, r"`init.n` must be at least 1, got 0"),
    "starts class": (lambda: sf.fit(HILL, 1, init=sf.RandomStarts), ValueError, r"`init` must be one of"),
    "search an array": (lambda: sf.fit(HILL, 1, search=np.array([1.0, 2.0])), TypeError, "`search` must be a number"),
    "search an array from many": (lambda: sf.fit(HILL, 1, init=sf.RandomStarts(3), search=np.ones(2)), TypeError, "`search` must be a number"),
    "search from many": (lambda: sf.fit(HILL, 1, init=sf.RandomStarts(3), search=2), ValueError, r"`search` looks around one start, got search=2 with RandomStarts"),
    "a number from many": (lambda: sf.fit(HILL, init=sf.RandomStarts(3)), ValueError, r"`n_components` that is to be chosen grows from nothing, got init=RandomStarts"),
    "reset": (lambda: sf.fit(HILL, 1, reset="no"), TypeError, r"`reset` must be True or False, got 'no'"),
    "unknown init": (lambda: sf.fit(HILL, 1, init="peak"), ValueError, r"`init` must be one of .*; did you mean 'peaks'\?"),
    "unknown background": (lambda: sf.fit(HILL, 1, background="plain"), ValueError, r"`background` must be one of .*; did you mean 'plane'\?"),
    "background without start": (lambda: sf.fit(HILL, 1, background=lambda q, x: x[:, 0]), TypeError, r"give `background=\(function, start\)`"),
    "background of wrong shape": (lambda: sf.fit(HILL, 1, background=(lambda q, x: x, [1.0])), ValueError, r"`background` must map .* got shape \(3, 2\)"),
    "unknown dtype": (lambda: sf.fit(HILL, 1, dtype="float16"), ValueError, r"`dtype` must be one of 'float32', 'float64', got 'float16'"),
    "max_time": (lambda: sf.fit(HILL, 1, max_time=0), ValueError, r"`max_time` must be positive and finite, got 0"),
    "min_width": (lambda: sf.fit(HILL, 1, min_width=-1), ValueError, r"`min_width` must be positive and finite, got -1"),
    "max_steps": (lambda: sf.fit(HILL, 1, solver=sf.LevenbergMarquardt(max_steps=1.5)), TypeError, r"`solver.max_steps` must be an integer, got 1.5"),
    "callback": (lambda: sf.fit(HILL, 1, callback=3), TypeError, r"`callback` must be a function of one `Progress`, got 3"),
    "init components": (lambda: sf.fit(HILL, 2, init=sf.GaussianSurface([1.0], [[0, 0]], [np.eye(2)])), ValueError, r"`init.amplitudes` must have shape \(2,\)"),
    "init negative": (lambda: sf.fit(HILL, 1, init=sf.GaussianSurface([-1.0], [[0, 0]], [np.eye(2)])), ValueError, r"`init.amplitudes` must not be negative, got -1"),
    "init not definite": (lambda: sf.fit(HILL, 1, init=sf.GaussianSurface([1.0], [[0, 0]], [[[1, 2], [2, 1.0]]])), ValueError, r"symmetric positive definite"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_any_work(case, monkeypatch):
    call, kind, message = REFUSED[case]
    monkeypatch.setattr("surfacefit._fit.fitting.initialize", lambda *a: pytest.fail("work was done"))
    with pytest.raises(kind, match=message):
        call()


DATA = ["heights", "coords", "mask", "sigma", "absolute_sigma"]
JOINED = {
    "tied": "covariance_type",
    "shape": "constraints",
    "bounds": "constraints",
    "fixed": "constraints",
    "tie": "constraints",
    "max_memory": "engine",
}


def test_a_result_is_a_start():
    first = sf.fit(HILL, 1, init="peaks")
    again = sf.fit(HILL, 1, init=first)
    assert again.steps <= 3
    same_surfaces(again.surface, first.surface, 1e-9)
    mixture = sf.fit_mixture(POINTS, 1, weights=HILL.ravel(), init=first, max_steps=0)
    np.testing.assert_allclose(mixture.means, first.surface.centers, rtol=1e-6)


def test_numbers_of_other_kinds_are_numbers():
    solver = sf.LevenbergMarquardt(max_steps=3, ftol=Fraction(1, 10**8), gtol=2**70, xtol=Decimal("1e-9"))
    assert sf.fit(HILL, 1, init="peaks", solver=solver, min_width=Decimal("0.25")).steps <= 3


def test_numbers_may_come_as_arrays_without_axes():
    sf.fit(HILL, 1, init="peaks", min_width=np.array(0.25), max_time=jnp.asarray(60.0), seed=np.int64(3))
    assert sf.AutoComponents(most=np.array(2)).checked() == sf.AutoComponents(most=2)


def test_every_option_of_fit_has_a_field_and_a_line_of_docstring():
    names = [name for name in inspect.signature(sf.fit).parameters if name not in DATA]
    held = {one.name for record in (ModelSpec, RunSpec) for one in dataclasses.fields(record)}
    assert {JOINED.get(name, name) for name in names} == held
    documented = re.findall(r"^(\w+) : ", inspect.getdoc(sf.fit).split("Returns")[0], re.MULTILINE)
    assert documented == list(inspect.signature(sf.fit).parameters)


def test_defaults_of_the_records_are_those_of_fit():
    options = {name: one.default for name, one in inspect.signature(sf.fit).parameters.items()}
    data = grid_data(HILL)
    specs = checked_options({**options, "n_components": 2}, data)
    assert specs.model == ModelSpec(n_components=2)
    assert vars(specs.run) == vars(RunSpec(dtype=np.dtype(np.float64)))


def test_points_take_the_options_of_a_grid():
    grid, points = (inspect.signature(function).parameters for function in (sf.fit, sf.fit_points))
    assert list(points)[:3] == ["points", "heights", "n_components"]
    assert set(points) == {*grid, "points"} - {"coords"}
    for name in set(grid) - {"coords"}:
        assert (points[name].default, points[name].kind) == (grid[name].default, grid[name].kind)
    with pytest.raises(TypeError, match="fit_points\\(\\) has no option `coords`"):
        sf.fit_points(POINTS, HILL.ravel(), 1, coords=None)


SMALL = sf.LevenbergMarquardt(max_steps=200)
BRIGHT = np.zeros((9, 11))
BRIGHT[4, 6] = 5.0

ANSWERED = {
    "constant map": (np.full((8, 9), 7.0), {}, 1e-9),
    "constant map, no background": (np.full((8, 9), 7.0), {"background": None, "contained": False}, 1e-2),
    "all zero": (np.zeros((8, 9)), {}, 1e-12),
    "all zero, no background": (np.zeros((8, 9)), {"background": None}, 1e-3),
    "one bright pixel": (BRIGHT, {}, 1e-3),
    "one row": (HILL[5:6], {}, 1e-6),
    "one column": (HILL[:, 8:9], {}, 1e-6),
    "d = 1": (HILL[5], {}, 1e-6),
    "heights of 1e-12": (HILL * 1e-12, {}, 1e-6),
    "heights of 1e12": (HILL * 1e12, {}, 1e-6),
    "far coordinates": (HILL, {"coords": (5e6 + 10 * np.arange(12), 5e6 + 10 * np.arange(15))}, 1e-6),
    "integers": ((HILL * 1000).round().astype(np.int16), {}, 1e-3),
    "booleans": (HILL > 2, {}, 0.5),
    "float16": (HILL.astype(np.float16), {}, 1e-3),
    "a list": (HILL.tolist(), {}, 1e-6),
    "a JAX array": (jnp.asarray(HILL, jnp.float32), {}, 1e-5),
    "plane": (HILL + 0.1 * Y - 0.2 * X, {"background": "plane"}, 1e-6),
    "sigma of wide range": (HILL, {"sigma": 10.0 ** np.linspace(-6, 6, 180).reshape(12, 15)}, 1e-2),
}


SEARCHED = [(case, None) for case in ("constant map", "all zero, no background", "one bright pixel")]
TRIED_IN_SINGLE = [
    "constant map",
    "one bright pixel",
    "heights of 1e-12",
    "heights of 1e12",
    "far coordinates",
    "plane",
    "sigma of wide range",
]


@pytest.mark.parametrize(
    ("dtype", "case"), [*((None, case) for case in ANSWERED), *(("float32", case) for case in TRIED_IN_SINGLE)]
)
def test_odd_input_gets_a_good_answer(case, dtype):
    heights, options, tolerance = ANSWERED[case]
    search = None if (case, dtype) in SEARCHED else 0
    result = sf.fit(heights, 1, solver=SMALL, dtype=dtype, search=search, **options)
    size = np.abs(np.asarray(heights, float)).max() or 1.0
    tolerance = max(tolerance, 1e-4 if dtype == "float32" else 0.0)
    if case == "sigma of wide range" and dtype == "float32":
        tolerance = 0.5  # weights over twelve decades are beyond single precision: an answer, not a good one
    assert result.rmse <= tolerance * size
    for leaf in jax.tree.leaves(result.surface):
        assert np.isfinite(leaf).all()
    assert np.isfinite(result.cost)
    assert np.isfinite(result.r2)
    assert result.message
    assert result.summary()


def test_duplicate_and_scattered_points_are_as_a_grid():
    grid = sf.fit(HILL, 1, search=0)
    points, heights = np.tile(POINTS, (2, 1)), np.tile(HILL.ravel(), 2)
    twice = sf.fit_points(points, heights, 1, search=0)
    same_surfaces(twice.surface, grid.surface, 1e-6)
    assert twice.n_points == 360


@pytest.mark.parametrize("how", ["nan", "mask", "masked array", "infinite sigma"])
def test_what_is_ignored_plays_no_part(how):
    hole = (Y > 6) & (X > 9)
    spoiled = np.where(hole, 1e6, HILL)
    options = {}
    if how == "nan":
        spoiled = np.where(hole, NAN, HILL)
    elif how == "mask":
        options["mask"] = hole
    elif how == "infinite sigma":
        options["sigma"] = np.where(hole, np.inf, 1.0)
    else:
        spoiled = np.ma.array(spoiled, mask=hole)
    result = sf.fit(spoiled, 1, search=0, **options)
    assert result.n_points == 180 - hole.sum()
    assert (result.n_nan, result.n_masked) == ((hole.sum(), 0) if how in ("nan", "infinite sigma") else (0, hole.sum()))
    np.testing.assert_allclose(result.predict(), HILL, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(result.residuals), hole)


def test_sigma_weighs_as_counting_does():
    noisy = HILL + np.random.default_rng(0).normal(size=HILL.shape) * 0.1
    sigma = np.where(X < 8, 1.0, 1 / np.sqrt(2))
    weighted = sf.fit(noisy, 1, sigma=sigma, search=0)
    twice = X.ravel() >= 8
    counted = sf.fit_points(
        np.vstack([POINTS, POINTS[twice]]), np.r_[noisy.ravel(), noisy.ravel()[twice]], 1, init=weighted.surface
    )
    same_surfaces(weighted.surface, counted.surface, 1e-4)
    np.testing.assert_allclose(weighted.cost, 0.5 * np.sum((weighted.residuals / sigma) ** 2), rtol=1e-9)


def test_precision_follows_the_input():
    assert sf.fit(HILL, 1, search=0).settings.dtype == "float64"
    assert sf.fit(HILL.astype(np.float32), 1, search=0).settings.dtype == "float32"
    assert sf.fit((10 * HILL).astype(np.uint8), 1, search=0).settings.dtype == "float64"
    assert sf.fit(HILL, 1, dtype=np.float32, search=0).settings.dtype == "float32"
    assert sf.fit(HILL, 1, search=0).rmse < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
@pytest.mark.parametrize("solver", ["lm", sf.Adam(max_steps=1500, learning_rate=0.05)])
def test_each_covariance_type_finds_its_own_truth(covariance_type, solver):
    covariances = {
        "full": [[[4, 1.5], [1.5, 5]], [[3, -0.5], [-0.5, 2]]],
        "diag": [[[4, 0], [0, 9]], [[3, 0], [0, 2]]],
        "spherical": [[[4, 0], [0, 4]], [[2, 0], [0, 2]]],
        "tied": [[[4, 1.5], [1.5, 5]]] * 2,
    }[covariance_type]
    truth = sf.GaussianSurface(
        np.array([3.0, 2.0]), np.array([[7.0, 6.0], [12.0, 17.0]]), np.array(covariances, float), 1.0
    )
    y, x = np.mgrid[:20, :24]
    heights = truth(np.stack([y, x], axis=-1))
    result = sf.fit(heights, 2, covariance_type=covariance_type, solver=solver, init="growth")
    same_surfaces(result.surface, truth, 1e-5 if solver == "lm" else 0.1)
    shape = {"full": 3, "diag": 2, "spherical": 1, "tied": 0}[covariance_type]
    assert result.n_parameters == 2 * (3 + shape) + (3 if covariance_type == "tied" else 0) + 1


def test_tied_covariances_by_either_name():
    heights = PAIR(np.stack([Y, X], axis=-1))
    by_type, by_name = (
        sf.fit(heights, 2, init=PAIR, **options) for options in ({"covariance_type": "tied"}, {"tied": "covariances"})
    )
    assert by_name.settings.covariance_type == "tied"
    assert by_name.n_parameters == by_type.n_parameters == 2 * 3 + 3 + 1
    np.testing.assert_array_equal(by_name.surface.covariances, by_type.surface.covariances)
    assert sf.fit(heights, 2, init=PAIR, covariance_type="tied", tied="covariances").settings.covariance_type == "tied"


def test_a_background_function_with_its_start():
    heights = HILL + 5 * np.exp(-0.3 * Y)
    rising = (lambda q, x: q[0] + q[1] * jnp.exp(-q[2] * x[..., 0]), [0.0, 1.0, 0.1])
    result = sf.fit(heights, 1, background=rising, search=0)
    np.testing.assert_allclose(result.surface.background.parameters, [1, 5, 0.3], rtol=1e-5)
    np.testing.assert_allclose(result.predict(), heights, rtol=1e-7)


def test_a_number_as_background_is_where_a_constant_starts():
    none = sf.LevenbergMarquardt(max_steps=0)
    for value in (0.25, np.float32(0.25), 2):
        assert float(
            sf.fit(HILL, 1, background=value, init="peaks", solver=none).surface.background.value
        ) == pytest.approx(float(value))
    assert float(sf.fit(HILL, 1, background=0.25, search=0).surface.background.value) == pytest.approx(1.0)
    held = sf.fit(HILL, 1, background=0.9, fixed="background", init="peaks")
    assert float(held.surface.background.value) == pytest.approx(0.9, abs=1e-12)


def test_the_start_of_a_surface_is_kept_exactly_at_no_steps():
    start = sf.GaussianSurface([3.0], [[5.0, 8.0]], [np.diag([4.0, 9.0])], 1.0)
    result = sf.fit(HILL, 1, init=start, solver=sf.LevenbergMarquardt(max_steps=0))
    same_surfaces(result.surface, start, 1e-12)
    assert result.rmse < 1e-12
    assert (result.steps, result.success) == (0, False)


def test_callback_sees_progress_and_can_stop():
    seen = []
    noisy = HILL + np.random.default_rng(0).normal(size=HILL.shape)
    result = sf.fit(noisy, 3, init="grid", callback=lambda progress: seen.append(progress) or len(seen) == 2)
    assert result.status == sf.Status.STOPPED
    assert not result.success
    assert [p.steps for p in seen] == sorted({p.steps for p in seen})
    assert seen[-1].steps == result.steps
    np.testing.assert_allclose(seen[-1].rmse, result.rmse, rtol=1e-6)
    np.testing.assert_allclose(seen[-1].surface().centers, result.surface.centers)


def test_max_time_and_ctrl_c_return_the_best_so_far():
    noisy = HILL + np.random.default_rng(0).normal(size=HILL.shape)
    limited = sf.fit(noisy, 3, max_time=1e-3, search=0)
    assert limited.status == sf.Status.MAX_TIME
    assert np.isfinite(limited.rmse)

    def interrupt(progress):
        if progress.steps >= 3:
            raise KeyboardInterrupt

    stopped = sf.fit(noisy, 3, init="grid", callback=interrupt)
    assert stopped.status == sf.Status.INTERRUPTED
    assert "interrupted" in stopped.message
    assert stopped.rmse < noisy.std()


@pytest.mark.slow
def test_timings_add_up_and_tell_compiling_apart():
    jax.clear_caches()
    first, again = (sf.fit(HILL, 1, init="grid", reset=False).timings for _ in range(2))
    for parts in (first, again):
        assert min(dataclasses.astuple(parts)) >= 0
        assert parts.start + parts.compile + parts.run == pytest.approx(parts.total, rel=1e-9)
    assert first.compile > 0 == again.compile


def test_sizes_of_about_the_same_compile_once(compiled, own_sizes):
    sf.fit(np.random.default_rng(0).normal(size=(10, 14)), 1, init="grid", reset=False)
    before = len(compiled)
    sf.fit(
        np.random.default_rng(0).normal(size=(11, 13)),
        1,
        init="grid",
        reset=False,
        solver=sf.LevenbergMarquardt(ftol=1e-5, max_steps=77),
    )
    assert not {"jit(begin)", "jit(_recorded)"} & set(compiled[before:])


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sf.fit(HILL.astype(np.float32), 1, progress=True)


def test_a_masked_sigma_leaves_its_points_out():
    hidden = X == 8
    data = grid_data(HILL, sigma=np.ma.masked_array(np.where(hidden, -1, 2), hidden))
    np.testing.assert_array_equal(data.used, ~hidden)
    np.testing.assert_array_equal(data.weights, np.full((~hidden).sum(), 0.5))
