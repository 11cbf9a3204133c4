"""No start of the library's own that hardly moves is worse than the best background alone."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import huber, xlogy

import surfacefit as sf
from surfacefit._fit import solved_amplitudes

Y, X = np.mgrid[:12, :14]
RNG = np.random.default_rng(0)
NONE = {"solver": sf.LevenbergMarquardt(max_steps=0), "reset": False}
AT_ONCE = {"max_time": 1e-9}
# Heights above zero where a low level and components on it are a poor start.
MAPS = {
    "noise": 3 + RNG.normal(size=Y.shape),
    "a dip": 5 - 3 * np.exp(-((Y - 6) ** 2 + (X - 7) ** 2) / 8) + 0.1 * RNG.normal(size=Y.shape),
    "a plateau": 1.0 + (X > 3) + 0.01 * RNG.normal(size=Y.shape),
    "waves": np.sin(X) * np.cos(Y) + 2,
}
SIGMA = RNG.uniform(0.5, 2, Y.shape)


def plane_cost(heights):
    columns = np.column_stack([np.ones(Y.size), Y.ravel(), X.ravel()])
    return 0.5 * np.linalg.lstsq(columns, heights.ravel(), rcond=None)[1][0]


def huber_cost(heights):
    return minimize_scalar(lambda level: huber(0.2, heights - level).sum(), (1, 5), tol=1e-12).fun


def poisson_cost(heights):
    level = heights.mean()
    return np.sum(level - heights + xlogy(heights, heights / level))


def line(numbers, points):
    return numbers[0] + numbers[1] * points[..., 1]


def line_cost(heights):
    columns = np.column_stack([np.ones(Y.size), X.ravel()])
    return 0.5 * np.linalg.lstsq(columns, heights.ravel(), rcond=None)[1][0]


# Options, and the cost of the best background alone.
OPTIONS = {
    "a constant": ({}, lambda z: 0.5 * np.sum((z - z.mean()) ** 2)),
    "either sign": ({"amplitudes": "signed"}, lambda z: 0.5 * np.sum((z - z.mean()) ** 2)),
    "one shape": ({"covariance_type": "tied"}, lambda z: 0.5 * np.sum((z - z.mean()) ** 2)),
    "low amplitudes": ({"bounds": sf.Bounds(amplitudes=(None, 0.5))}, lambda z: 0.5 * np.sum((z - z.mean()) ** 2)),
    "sigma": ({"sigma": SIGMA}, lambda z: 0.5 * np.sum(((z - np.average(z, weights=SIGMA**-2)) / SIGMA) ** 2)),
    "none": ({"background": None}, lambda z: 0.5 * np.sum(z**2)),
    "held": ({"background": 1.5, "fixed": "background"}, lambda z: 0.5 * np.sum((z - 1.5) ** 2)),
    "bounded": (
        {"bounds": sf.Bounds(background=(None, 1.8))},
        lambda z: 0.5 * np.sum((z - min(1.8, z.mean())) ** 2),
    ),
    "a plane": ({"background": "plane"}, plane_cost),
    "a function": ({"background": (line, [0.0, 0.0])}, line_cost),
    "huber": ({"loss": "huber", "f_scale": 0.2}, huber_cost),
    "poisson": ({"loss": "poisson"}, poisson_cost),
}


@pytest.mark.parametrize("init", ["peaks", "grid", "random", "em", sf.RandomStarts(2)], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_a_start_without_steps_is_no_worse_than_the_best_background(name, init):
    options, cost = OPTIONS[name]
    for heights in MAPS.values():
        result = sf.fit(heights, 4, init=init, **options, **NONE)
        assert result.steps == 0
        assert result.status is sf.Status.MAX_STEPS
        assert result.cost <= cost(heights) * (1 + 1e-5)
        np.testing.assert_allclose(result.rmse**2, np.mean(result.residuals**2), rtol=1e-6)


@pytest.mark.parametrize(("init", "n_components"), [("auto", 4), ("auto", "auto"), ("random", 4)])
def test_a_clock_that_allows_one_step_leaves_no_worse_fit(init, n_components):
    for heights in MAPS.values():
        result = sf.fit(heights, n_components, init=init, **AT_ONCE)
        assert result.status is sf.Status.MAX_TIME
        assert result.rmse <= heights.std() * (1 + 1e-9)


def test_ctrl_c_before_any_number_was_tried(monkeypatch):
    def interrupted(choice):
        raise KeyboardInterrupt

    monkeypatch.setattr("surfacefit._search.choosing.Choice._walk", interrupted)
    for heights in MAPS.values():
        result = sf.fit(heights)
        assert result.status is sf.Status.INTERRUPTED
        assert result.rmse <= heights.std() * (1 + 1e-9)


@pytest.mark.parametrize("engine", ["dense", "tiled"])
@pytest.mark.parametrize(
    "options", [{}, {"amplitudes": "signed"}, {"bounds": sf.Bounds(amplitudes=(0.1, 0.5))}], ids=str
)
def test_amplitudes_of_many_components_share_a_factor(engine, options, monkeypatch):
    one_by_one = [sf.fit(heights, 4, init="random", engine=engine, **options, **NONE) for heights in MAPS.values()]
    monkeypatch.setattr(solved_amplitudes, "MOST_AMPLITUDES_SOLVED", 1)
    for heights, better in zip(MAPS.values(), one_by_one, strict=True):
        result = sf.fit(heights, 4, init="random", engine=engine, **options, **NONE)
        assert better.cost <= result.cost * (1 + 1e-3)
        if "bounds" in options:
            assert (result.surface.amplitudes >= 0.1 * (1 - 1e-9)).all()
            assert (result.surface.amplitudes <= 0.5 * (1 + 1e-9)).all()
        else:
            assert result.rmse <= heights.std() * (1 + 1e-9)


def test_amplitudes_that_are_solved_are_those_of_linear_least_squares():
    """But for the ridge, for components of either sign."""
    heights = MAPS["waves"]
    result = sf.fit(heights, 4, init="grid", amplitudes="signed", **NONE)
    points = np.stack([Y, X], axis=-1).reshape(-1, 2)
    each = [result.surface.component(k)(points) / result.surface.amplitudes[k] for k in range(4)]
    best = np.linalg.lstsq(np.column_stack([*each, np.ones(Y.size)]), heights.ravel(), rcond=None)[1][0] / 2
    assert best <= result.cost <= best * 1.001


def test_a_start_of_the_users_is_given_back_as_it_is():
    start = sf.GaussianSurface([9.0], [[3.0, 3.0]], [4 * np.eye(2)], 9.0)
    result = sf.fit(MAPS["noise"], 1, init=start, **NONE)
    np.testing.assert_allclose(result.surface.amplitudes, [9.0])
    assert result.rmse > MAPS["noise"].std()
