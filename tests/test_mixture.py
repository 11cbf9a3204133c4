"""Mixtures: every step as in scikit-learn and in plain NumPy, weights as repeated points, and hard data."""

import subprocess
import sys
import warnings
from copy import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

import surfacefit as sf
from surfacefit._constraints.mixture_regularization import MixtureRegularization, collapsed, n_distinct
from surfacefit._mixture import expectation_maximization as em
from surfacefit._mixture import mixture_data

TYPES = ("full", "diag", "spherical", "tied")
NAN = np.nan
REG = 1e-4


def blobs(n_dim, count=3, size=150, seed=0):
    rng = np.random.default_rng(seed)
    centers, widths = rng.uniform(-4, 4, (count, n_dim)), rng.uniform(0.4, 1.5, count)
    return np.concatenate([c + w * rng.normal(size=(size, n_dim)) for c, w in zip(centers, widths, strict=True)])


def start_of(points, count=3, seed=1):
    n_dim = points.shape[1]
    means = points[np.random.default_rng(seed).choice(len(points), count, replace=False)]
    return np.arange(1, count + 1) / np.arange(1, count + 1).sum(), means, np.tile(1.5 * np.eye(n_dim), (count, 1, 1))


POINTS = blobs(2)
START = start_of(POINTS)


def by_sklearn(points, start, kind, n_steps):
    weights, means, covariances = start
    full = np.linalg.inv(covariances)
    precisions = {
        "full": full,
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
        "tied": full[0],
    }[kind]
    mixture = GaussianMixture(
        len(weights),
        covariance_type=kind,
        weights_init=weights,
        means_init=means,
        precisions_init=precisions,
        reg_covar=REG,
        max_iter=n_steps,
        tol=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(points)


def by_loops(points, masses, start, kind, n_steps):
    """EM from the textbook, one component at a time: log-likelihood per unit weight of each iterate."""
    (weights, means, covariances), history = start, []
    n_dim, total = points.shape[1], masses.sum()
    for _ in range(n_steps):
        density = np.empty((len(points), len(weights)))
        for k, (w, m, s) in enumerate(zip(weights, means, covariances, strict=True)):
            squares = ((points - m) @ np.linalg.inv(s) * (points - m)).sum(axis=1)
            density[:, k] = w * np.exp(-0.5 * squares) / np.sqrt(np.linalg.det(2 * np.pi * s))
        history.append(masses @ np.log(density.sum(axis=1)) / total)
        shares = masses[:, None] * density / density.sum(axis=1, keepdims=True)
        counts = shares.sum(axis=0)
        weights, means = counts / total, shares.T @ points / counts[:, None]
        scatter = np.array([(shares[:, k, None] * (points - m)).T @ (points - m) for k, m in enumerate(means)])
        covariances = scatter / counts[:, None, None]
        if kind == "tied":
            covariances = np.tile(scatter.sum(axis=0) / total, (len(weights), 1, 1))
        elif kind == "diag":
            covariances = covariances * np.eye(n_dim)
        elif kind == "spherical":
            covariances = np.trace(covariances, axis1=1, axis2=2)[:, None, None] / n_dim * np.eye(n_dim)
        covariances = covariances + REG * np.eye(n_dim)
    return np.array(history)


def exact(points, **options):
    """Twenty plain steps from START."""
    settings = {"init": START, "tol": 0, "max_steps": 20, "reset": False}
    return sf.fit_mixture(points, 3, **{**settings, **options})


def same(one, other, rtol=1e-9, atol=1e-9):
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=atol)


def never_falls(result, rounding=1e-9):
    objective, restarted = result.history["objective"], result.history["restarted"]
    falls = np.diff(objective) < -rounding * np.abs(objective[1:])
    return not (falls & ~restarted[1:]).any()


def all_finite(result):
    arrays = (result.weights, result.means, result.covariances, result.log_likelihood, *result.history.values())
    return all(np.isfinite(array).all() for array in arrays)


@pytest.mark.parametrize(
    ("n_dim", "kind"), [*((n_dim, kind) for n_dim in (1, 2, 3) for kind in TYPES), (6, "full"), (6, "diag")]
)
def test_every_step_is_that_of_sklearn_and_of_the_textbook(n_dim, kind):
    points = blobs(n_dim)
    start = start_of(points)
    result = sf.fit_mixture(
        points, 3, init=start, covariance_type=kind, reg_covar=REG, tol=0, max_steps=25, reset=False
    )
    theirs = by_sklearn(points, start, kind, 25)
    shared = min(25, len(result.history["log_likelihood"]))
    assert shared > 15  # where steps change nothing but rounding, ours end
    np.testing.assert_allclose(
        result.history["log_likelihood"][:shared], theirs.lower_bounds_[:shared], rtol=0, atol=1e-10
    )
    plain = by_loops(points, np.ones(len(points)), start, kind, shared)
    np.testing.assert_allclose(result.history["log_likelihood"][:shared], plain, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.means, theirs.means_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(result.to_sklearn().covariances_, theirs.covariances_, rtol=1e-8)


def test_weights_as_in_the_textbook(rng):
    masses = rng.uniform(0.2, 3, len(POINTS))
    result = exact(POINTS, weights=masses, reg_covar=REG)
    np.testing.assert_allclose(
        result.history["log_likelihood"][:20], by_loops(POINTS, masses, START, "full", 20), rtol=0, atol=1e-10
    )
    assert result.total_weight == pytest.approx(masses.sum())


@pytest.mark.parametrize(
    "options", [{}, {"prior": sf.MixturePrior(scale=0.3, concentration=2.0)}, {"init": "kmeans++", "reset": True}]
)
def test_a_point_of_weight_two_is_the_point_twice(rng, options):
    twice = rng.random(len(POINTS)) < 0.3
    if "init" in options:
        options = {**options, "init": START}
    weighted = exact(POINTS, weights=1.0 + twice, **options)
    repeated = exact(np.vstack([POINTS, POINTS[twice]]), **options)
    same(weighted, repeated)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-12)
    assert weighted.bic == pytest.approx(repeated.bic, rel=1e-12)


@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_points_of_weight_zero_are_not_there(init):
    weights = np.r_[np.ones(len(POINTS)), np.zeros(5)]
    with_far = np.vstack([POINTS, np.full((5, 2), 1e9)])
    same(sf.fit_mixture(with_far, 3, weights=weights, init=init), sf.fit_mixture(POINTS, 3, init=init))


def test_the_order_of_points_and_the_chunks_do_not_matter(rng, monkeypatch):
    order = rng.permutation(len(POINTS))
    whole = exact(POINTS)
    same(whole, exact(POINTS[order]))
    monkeypatch.setattr(mixture_data, "POINT_CHUNK_ELEMENTS", 3 * 64)
    points, weights = np.zeros((1000, 2)), np.ones(1000)
    assert mixture_data.point_chunks(points, weights, 3, np.float32).points.shape == (4, 256, 2)
    same(whole, exact(POINTS))
    np.testing.assert_allclose(whole.log_density(POINTS).sum(), whole.log_likelihood, rtol=1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_units_do_not_matter(kind):
    plain = exact(POINTS, covariance_type=kind)
    moved = exact(POINTS * 1e6 + 5e6, covariance_type=kind, init=(START[0], START[1] * 1e6 + 5e6, START[2] * 1e12))
    np.testing.assert_allclose(moved.means, plain.means * 1e6 + 5e6, rtol=1e-7)
    np.testing.assert_allclose(moved.covariances, plain.covariances * 1e12, rtol=1e-6, atol=1e5)
    shared = min(len(moved.history["objective"]), len(plain.history["objective"]))
    expected = plain.history["objective"][:shared] - 2 * np.log(1e6)
    np.testing.assert_allclose(moved.history["objective"][:shared], expected, rtol=0, atol=1e-9)
    default = sf.fit_mixture(POINTS * 1e6 + 5e6, 3, covariance_type=kind)
    np.testing.assert_allclose(
        default.means, sf.fit_mixture(POINTS, 3, covariance_type=kind).means * 1e6 + 5e6, rtol=1e-6
    )


# --- Regularization ---


def tight_trial(seed):
    """Ten clusters of 1,000 points, 0.02 wide in a square of side 20, under a random linear map; unit starts at random
    integers.
    """
    rng = np.random.default_rng(seed)
    centers, linear = rng.uniform(-10, 10, (10, 2)), rng.normal(size=(2, 2))
    points = (np.repeat(centers, 1000, axis=0) + 0.02 * rng.normal(size=(10000, 2))) @ linear.T
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    means = rng.integers(low, high + 1, (10, 2)).astype(float)
    return points, (np.full(10, 0.1), means, np.tile(np.eye(2), (10, 1, 1)))


@pytest.mark.parametrize("seed", range(5))
def test_tight_clusters_never_fail(seed):
    points, start = tight_trial(seed)
    result = sf.fit_mixture(points, 10, init=start)
    assert all_finite(result)
    assert never_falls(result)
    assert result.converged, result.message
    assert (np.linalg.eigvalsh(result.covariances) > 0).all()


def test_without_regularization_a_singular_covariance_is_reported_and_the_last_good_mixture_kept():
    points = np.r_[np.zeros((30, 2)), POINTS]
    start = (np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.01 * np.eye(2), np.eye(2)]))
    result = sf.fit_mixture(points, 2, init=start, min_width=0, reset=False)
    assert result.status == sf.Status.SINGULAR
    assert not result.converged
    assert "`reset=True`" in result.message
    assert all_finite(result)


def collapsing(kind="full", **options):
    """Thirty points in one place, with a component on top of them."""
    points = np.r_[np.zeros((30, 2)), POINTS + 6]
    start = (np.array([0.5, 0.5]), np.array([[0.0, 0.0], [7.0, 7.0]]), np.array([0.01 * np.eye(2), np.eye(2)]))
    return sf.fit_mixture(points, 2, init=start, covariance_type=kind, **options)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize("min_width", [1e-3, 0.05])
def test_floor_holds_in_every_direction_and_the_likelihood_still_rises(kind, min_width):
    result = collapsing(kind, min_width=min_width, reset=False)
    assert never_falls(result)
    assert result.at_floor.tolist() == [True, False]
    assert "At the floor `min_width`: components 0" in result.message
    points = result.points
    data = {
        "full": np.cov(points.T, ddof=0),
        "diag": np.diag(points.var(axis=0)),
        "spherical": points.var(axis=0).mean() * np.eye(2),
    }[kind]
    np.testing.assert_allclose(result.covariances[0], min_width**2 * data, rtol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("min_width", [0.0, 1e-3])
def test_prior_keeps_covariances_regular_and_the_objective_rises(kind, min_width):
    result = collapsing(kind, prior=sf.MixturePrior(), min_width=min_width, reset=False)
    assert result.converged
    assert all_finite(result)
    assert never_falls(result)
    assert (result.history["objective"] != result.history["log_likelihood"]).all()


def test_map_of_one_component_is_the_textbooks():
    scale, freedom = np.array([[2.0, 0.5], [0.5, 1.0]]), 7.0
    prior = sf.MixturePrior(scale=scale, degrees_of_freedom=freedom)
    result = sf.fit_mixture(POINTS, 1, prior=prior)
    offsets = POINTS - POINTS.mean(axis=0)
    np.testing.assert_allclose(
        result.covariances[0], (offsets.T @ offsets + scale) / (len(POINTS) + freedom + 3), rtol=1e-9
    )
    precision = np.linalg.inv(result.covariances[0])
    log_prior = 0.5 * (freedom + 3) * np.linalg.slogdet(precision)[1] - 0.5 * np.trace(scale @ precision)
    assert result.history["objective"][-1] == pytest.approx((result.log_likelihood + log_prior) / len(POINTS), rel=1e-9)


def test_dirichlet_prior_pulls_weights_together():
    flat, pulled = sf.fit_mixture(POINTS, 3), sf.fit_mixture(POINTS, 3, prior=sf.MixturePrior(concentration=1e6))
    np.testing.assert_allclose(pulled.weights, 1 / 3, atol=1e-3)
    assert never_falls(pulled)
    assert flat.converged


@pytest.mark.parametrize("min_width", [0.0, 1e-3])
def test_reset_moves_collapsed_components(min_width):
    result = collapsing(min_width=min_width)
    assert result.resets.sum() > 0
    assert result.resets.max() <= 5
    assert never_falls(result)
    assert all_finite(result)
    assert f"Reset {result.resets.sum()} time" in result.message


def test_a_component_without_points_is_moved_to_where_it_is_needed():
    points = np.vstack([POINTS + 20, POINTS - 20])
    start = (np.full(2, 0.5), np.array([[20.0, 20.0], [1e4, -1e4]]), np.tile(np.eye(2), (2, 1, 1)))
    lost = sf.fit_mixture(points, 2, init=start, reset=False)
    found = sf.fit_mixture(points, 2, init=start)
    assert lost.weights[1] == 0
    assert all_finite(lost)
    assert found.resets.tolist() == [0, 1]
    np.testing.assert_allclose(found.weights, 0.5, atol=0.01)


def test_the_best_iterate_before_a_reset_is_not_lost():
    """A reset that cannot win: the two distinct points of a third cluster are what the component held."""
    points = np.vstack([POINTS, np.tile([[50.0, 50.0], [51.0, 50.0]], (60, 1))])
    start = (np.full(2, 0.5), np.array([[0.0, 0.0], [50.5, 50.0]]), np.tile(np.eye(2), (2, 1, 1)))
    result = sf.fit_mixture(points, 2, init=start)
    assert result.resets[1] > 0
    assert result.log_likelihood / result.total_weight >= result.history["log_likelihood"].max() - 1e-9
    assert result.converged


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_points_on_a_line_without_regularization_are_reported_as_singular(kind):
    points = POINTS[:, :1] * [1.0, -3.0]
    result = sf.fit_mixture(points, 2, covariance_type=kind, min_width=0, reset=False)
    assert result.status == sf.Status.SINGULAR
    assert all_finite(result)
    assert result.log_likelihood == pytest.approx(result.log_density(points).sum())


def test_points_on_a_line_keep_their_component():
    x = np.linspace(0, 1, 60)
    points = np.column_stack([x, 2 * x + 1])
    result = sf.fit_mixture(points, 2)
    assert result.resets.tolist() == [0, 0]
    assert result.at_floor.all()
    assert all_finite(result)
    assert never_falls(result)


def test_distinct_points_are_counted(rng):
    points = rng.normal(size=(40, 3))
    assert n_distinct(np.vstack([points, points[:7]])) == 40
    assert collapsed(points[:3], np.ones(3), 4)
    assert not collapsed(points[:4], np.ones(4), 4)
    assert collapsed(points[:4], np.array([1, 1, 1, 1e-9]), 4)


@pytest.mark.parametrize("reset", [True, False])
def test_a_start_far_from_all_points_is_reset_or_reported(reset):
    start = (START[0], START[1] + 1e200, START[2])
    result = sf.fit_mixture(POINTS, 3, init=start, reset=reset)
    assert result.status == (sf.Status.CONVERGED_COST if reset else sf.Status.SINGULAR)
    assert not np.isnan(result.log_likelihood)
    for array in (result.weights, result.means, result.covariances):
        assert np.isfinite(array).all()


HARD = {
    "one point": (np.zeros((1, 2)), 1),
    "one place": (np.ones((20, 3)), 1),
    "two places": (np.r_[np.zeros(9), np.ones(5)], 2),
    "integers": (np.random.default_rng(0).integers(0, 4, (200, 2)), 6),
    "as many components as points": (np.random.default_rng(0).normal(size=(8, 2)), 8),
    "constant axis": (np.column_stack([np.arange(30.0), np.full(30, 7.0)]), 2),
    "far outlier": (np.r_[POINTS, [[1e8, 0]]], 3),
    "tiny": (POINTS * 1e-100, 3),
    "huge": (POINTS * 1e100, 3),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hard_data_give_a_finite_mixture(name, dtype):
    points, count = HARD[name]
    result = sf.fit_mixture(points, count, dtype=dtype)
    assert all_finite(result)
    assert result.weights.sum() == pytest.approx(1)
    assert never_falls(result, 1e-9 if dtype == "float64" else 1e-5)


ODD = {
    "rounded": np.round,
    "half in one place": lambda x: np.where(np.arange(len(x))[:, None] < len(x) // 2, x[0], x),
    "heavy tails": lambda x: x**5,
    "uneven units": lambda x: x * [1e6, 1e-5] + [1e4, -1e2],
    "on a line": lambda x: x[:, :1] * [1.0, -3.0],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "options", [{}, {"min_width": 0.1, "init": "random"}, {"prior": sf.MixturePrior()}, {"reset": False}]
)
def test_odd_data_with_any_regularization_never_fail(rng, name, kind, options):
    points, weights = ODD[name](rng.normal(size=(450, 2))), rng.exponential(size=450)
    result = sf.fit_mixture(points, 3, weights=weights, covariance_type=kind, **options)
    assert all_finite(result)
    assert never_falls(result)
    assert result.log_likelihood == pytest.approx(
        weights @ result.log_density(points), rel=1e-4, abs=1e-4 * weights.sum()
    )


def test_single_precision():
    result = sf.fit_mixture(POINTS.astype(np.float32), 3, init=START)
    double = sf.fit_mixture(POINTS, 3, init=START, tol=1e-9)
    assert result.converged
    np.testing.assert_allclose(result.log_likelihood, double.log_likelihood, rtol=1e-4)
    assert result.means.dtype == np.float64
    assert never_falls(result, 1e-5)


# --- Heights of a grid as weights ---


def grid_of(*axes):
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(float)


GRIDS = {
    "even": (grid_of(np.arange(9) * 0.5, 3 + np.arange(7) * 200.0), [0.5, 200.0]),
    "of single precision": (
        grid_of(np.linspace(0, 1, 300), np.linspace(0, 0.3, 31)).astype(np.float32),
        [1 / 299, 0.01],
    ),
    "with holes": (np.delete(grid_of(np.arange(9), np.arange(9)), np.arange(20, 60), axis=0), [1.0, 1.0]),
    "one row": (grid_of(np.arange(9), [2.0]), [1.0, 0.0]),
    "three slices": (grid_of(np.arange(3), np.arange(9)), [1.0, 1.0]),
    "uneven along one axis": (grid_of(np.arange(9), np.arange(9) ** 2 + 0.3 * np.sin(np.arange(9))), [1.0, 0.0]),
    "by chance": (np.array([[0.0], [0.7]]), [0.0]),
    "no grid": (np.random.default_rng(0).normal(size=(200, 2)), [0.0, 0.0]),
}


@pytest.mark.parametrize("case", list(GRIDS))
def test_the_cell_of_points_on_a_grid_is_found(case):
    points, cell = GRIDS[case]
    found = mixture_data.weighted_points(points, np.ones(len(points)))
    np.testing.assert_allclose(found.cell, cell, rtol=1e-4)
    assert not mixture_data.weighted_points(points, None).cell.any()


@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_no_component_falls_on_a_cell_of_a_grid(kind):
    """A clipped density with one bright cell: without a floor of half a cell the components there are spikes, whose
    surface is thousands of times higher than the heights.
    """
    rng, steps = np.random.default_rng(3), np.array([0.5, 4.0])
    points = grid_of(*(np.arange(30) * step for step in steps))
    places = rng.uniform(5, 25, size=(4, 2))
    density = np.exp(-((points / steps - places[:, None]) ** 2).sum(axis=2) / 8).sum(axis=0)
    heights = np.maximum(density + 0.15 * rng.normal(size=900) - 0.25, 0)
    heights[487] += 5
    result = sf.fit_mixture(points, 6, weights=heights, covariance_type=kind, max_steps=60)
    least = steps if kind != "spherical" else steps.max()
    in_cells = np.linalg.eigvalsh(result.covariances / np.outer(least, least))
    assert in_cells.min() >= 0.25 * (1 - 1e-9)
    assert result.at_floor.any() == (kind != "tied")
    assert never_falls(result)
    surface = result.surface(total=heights.sum() * np.prod(steps))(points)
    assert np.sqrt(np.mean((surface - heights) ** 2) / np.mean(heights**2)) < 1


def test_the_wider_of_both_floors_holds_in_every_direction():
    """Data of width 1 and 100 cells: half a cell is the floor across, a share of 0.05 along."""
    rng = np.random.default_rng(0)
    data = mixture_data.weighted_points(rng.normal(size=(400, 2)) * [1.0, 100.0], np.ones(400))
    units = mixture_data.units_of(replace(data, cell=np.ones(2)), "full", 0.05)
    floor = units.physical_covariances(units.floor**2 * np.eye(2))
    shares, cells = 0.05**2 * mixture_data.covariance_of(data), 0.25 * np.eye(2)
    for least in (shares, cells):
        assert np.linalg.eigvalsh(floor - least).min() > -1e-9
    np.testing.assert_allclose(np.sqrt(np.diag(floor)), [0.5, np.sqrt(shares[1, 1])], rtol=1e-3)
    np.testing.assert_allclose(units.forward @ units.backward, np.eye(2), atol=1e-12)


# --- Starts as they are ---


@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_no_steps_give_the_start_back(kind):
    """To the last digit, and with components that steps would reset or keep from being so narrow."""
    shape = np.diag([1e-9, 1e-9]) if kind != "tied" else np.eye(2)
    start = np.array([0.5, 0.499, 0.001]), START[1] + [[0.1, 0.2], [0.3, 0.7], [90.0, 0.0]], np.tile(shape, (3, 1, 1))
    result = sf.fit_mixture(POINTS, 3, init=start, covariance_type=kind, max_steps=0)
    for found, given in zip((result.weights, result.means, result.covariances), start, strict=True):
        np.testing.assert_array_equal(found, given)
    assert (result.steps, result.resets.tolist(), result.status) == (0, [0, 0, 0], sf.Status.MAX_STEPS)
    assert result.log_likelihood == pytest.approx(result.log_density(POINTS).sum(), rel=1e-9)
    again = sf.fit_mixture(POINTS, 3, init=result, covariance_type=kind, max_steps=0)
    np.testing.assert_array_equal(again.weights, result.weights)


def test_single_precision_stays_single():
    points = POINTS.astype(np.float32)
    result = sf.fit_mixture(points, 3, init=START)
    assert result.points.dtype == np.float32
    np.testing.assert_array_equal(result.points, points)
    for values in (result.log_density(points), result.responsibilities(points)):
        assert values.dtype == np.float32
    assert result.log_density(POINTS).dtype == np.float64


# --- Limits ---


def test_a_callback_sees_and_stops():
    seen = []
    result = sf.fit_mixture(
        POINTS, 3, init=START, tol=0, callback=lambda progress: seen.append(progress) or len(seen) == 2
    )
    assert result.status == sf.Status.STOPPED
    assert seen[1].steps == result.steps
    assert seen[1].log_likelihood == pytest.approx(result.log_likelihood)
    same(seen[1].mixture(), result)


def test_limits_keep_the_best():
    def interrupt(progress):
        raise KeyboardInterrupt

    interrupted = sf.fit_mixture(POINTS, 3, init=START, tol=0, callback=interrupt)
    assert interrupted.status == sf.Status.INTERRUPTED
    late = sf.fit_mixture(POINTS, 3, init=START, tol=0, max_time=1e-6)
    assert late.status == sf.Status.MAX_TIME
    short = sf.fit_mixture(POINTS, 3, init=START, max_steps=2)
    assert (short.status, short.steps, len(short.history["objective"])) == (sf.Status.MAX_STEPS, 2, 3)
    none = sf.fit_mixture(POINTS, 3, init=START, max_steps=0)
    np.testing.assert_allclose(none.means, START[1])
    for result in (interrupted, late, short, none):
        assert all_finite(result)
        assert not result.converged
        assert result.log_likelihood == pytest.approx(result.log_density(POINTS).sum(), rel=1e-9)


def test_time_is_kept(clock):
    """On data so large that ten looks at the clock are a limit: none is taken after it but to say how long it took."""
    clock.tick, begun = 0.05, clock.now
    assert sf.fit_mixture(POINTS, 3, init=START, tol=0, max_time=0.5).status == sf.Status.MAX_TIME
    assert 0.5 <= clock.now - begun < 0.8


# --- Results ---


@pytest.mark.parametrize("kind", TYPES)
def test_to_sklearn_and_back(kind):
    result = sf.fit_mixture(POINTS, 3, init=START, covariance_type=kind)
    theirs = result.to_sklearn()
    np.testing.assert_allclose(theirs.score_samples(POINTS), result.log_density(POINTS), rtol=1e-9)
    np.testing.assert_allclose(theirs.predict_proba(POINTS), result.responsibilities(POINTS), atol=1e-10)
    np.testing.assert_array_equal(theirs.predict(POINTS), result.predict(POINTS))
    assert theirs.aic(POINTS) == pytest.approx(result.aic)
    assert theirs.bic(POINTS) == pytest.approx(result.bic)
    assert (theirs.converged_, theirs.n_iter_) == (True, result.steps)
    back = sf.MixtureResult.from_sklearn(theirs, POINTS)
    same(back, result)
    assert back.log_likelihood == pytest.approx(result.log_likelihood)
    again = sf.fit_mixture(POINTS, 3, init=back, covariance_type=kind)
    assert again.steps <= 2


def test_what_is_no_mixture_of_sklearn_is_refused():
    theirs = sf.fit_mixture(POINTS, 2, max_steps=1).to_sklearn()
    for name, value, message in (
        ("means_", np.zeros(3), r"`mixture.means_` must have shape \(K, d\), got \(3,\)"),
        ("means_", np.zeros((2, 5)), r"`mixture.covariances` must have shape \(2, 5, 5\)"),
        ("covariance_type", "round", r"`mixture.covariance_type` must be one of"),
        ("covariances_", -theirs.covariances_, r"`mixture.covariances` must be symmetric positive definite"),
        ("weights_", np.array([-1.0, 2.0]), r"`mixture.weights` must be zero or positive"),
    ):
        broken = copy(theirs)
        setattr(broken, name, value)
        with pytest.raises(ValueError, match=message):
            sf.MixtureResult.from_sklearn(broken)


def test_a_mixture_fitted_by_sklearn_comes_over():
    theirs = GaussianMixture(3, random_state=0, tol=1e-7, max_iter=500).fit(POINTS)
    ours = sf.MixtureResult.from_sklearn(theirs)
    assert np.isnan(ours.log_likelihood)
    np.testing.assert_allclose(ours.log_density(POINTS), theirs.score_samples(POINTS), rtol=1e-9)
    assert str(ours)


def test_without_sklearn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ImportError, match=r"pip install surfacefit\[sklearn\]"):
        exact(POINTS, max_steps=1).to_sklearn()


def test_the_library_imports_without_sklearn():
    code = "import sys, surfacefit; assert not any(name.startswith('sklearn') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_surface_has_the_density_and_the_volume():
    result = sf.fit_mixture(POINTS, 3, init=START)
    np.testing.assert_allclose(np.log(result.surface(1.0)(POINTS)), result.log_density(POINTS), rtol=1e-9)
    assert result.surface().volume == pytest.approx(len(POINTS))
    same(sf.fit_mixture(POINTS, 3, init=result.surface(), max_steps=0), result)


def test_samples_follow_the_mixture():
    result = sf.fit_mixture(POINTS, 3, init=START)
    points, labels = result.sample(200_000, seed=3)
    np.testing.assert_allclose(np.bincount(labels) / len(labels), result.weights, atol=0.01)
    for k in range(3):
        np.testing.assert_allclose(points[labels == k].mean(axis=0), result.means[k], atol=0.05)
        np.testing.assert_allclose(np.cov(points[labels == k].T), result.covariances[k], atol=0.05)
    np.testing.assert_array_equal(result.sample(9, seed=3)[0], result.sample(9, seed=3)[0])


def test_shapes_of_points():
    line = sf.fit_mixture(POINTS[:, 0], 2)
    assert line.log_density(0.5).shape == ()
    assert line.log_density(np.zeros((4, 5))).shape == (4, 5)
    assert line.responsibilities(np.zeros((4, 5))).shape == (4, 5, 2)
    plane = sf.fit_mixture(POINTS, 3)
    assert plane.predict(np.zeros((4, 5, 2))).shape == (4, 5)
    np.testing.assert_allclose(plane.responsibilities(POINTS).sum(axis=-1), 1)
    with pytest.raises(ValueError, match=r"`points` must have a last axis of length 2 .*, got shape \(4, 3\)"):
        plane.log_density(np.zeros((4, 3)))


@pytest.mark.parametrize("kind", TYPES)
def test_parameters_are_counted_as_in_sklearn(kind):
    result = sf.fit_mixture(POINTS, 3, covariance_type=kind, max_steps=1)
    assert result.n_parameters == by_sklearn(POINTS, START, kind, 1)._n_parameters()


def test_views():
    result = sf.fit_mixture(POINTS, 3, init=START)
    text = result.summary(2)
    assert "mixture of 3 Gaussians in 2-D" in text
    assert "... and 1 lighter component\n" in text
    assert "log_likelihood" in repr(result)
    assert len(result.plot().axes) == 1
    assert len(result.plot(POINTS[:50]).axes[0].collections) == 2
    line = sf.fit_mixture(POINTS[:, 0], 2, weights=np.ones(len(POINTS)))
    assert [text.get_text() for text in line.plot().axes[0].get_legend().get_texts()] == [
        "points",
        "density",
        "components",
    ]
    with pytest.raises(ValueError, match="`points` must be given"):
        sf.MixtureResult.from_sklearn(result.to_sklearn()).plot()
    with pytest.raises(ValueError, match="this mixture has 3"):
        sf.fit_mixture(blobs(3), 2, max_steps=1).plot()


def test_the_core_passes_vmap_over_starts():
    dtype = np.dtype(np.float32)
    starts = [start_of(POINTS, seed=seed) for seed in range(3)]
    chunks = mixture_data.point_chunks(POINTS, np.ones(len(POINTS)), 3, dtype)
    zero, none, off = jnp.zeros((), dtype), jnp.zeros((2, 2), dtype), jnp.zeros(3, bool)
    regularization = MixtureRegularization(jnp.asarray(1e-6, dtype), none, none, zero, zero, "full")
    rules = em.StopRules(jnp.asarray(1e-5, dtype), zero, zero, off, off)
    mixtures = [mixture_data.mixture_of(*start, dtype) for start in starts]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mixtures)

    def run(mixture):
        return em.expectation_maximization(chunks, em.begin(mixture), rules, regularization, 200)[0]

    together = jax.jit(jax.vmap(run))(stacked)
    alone_of = jax.jit(run)
    for k, mixture in enumerate(mixtures):
        alone = alone_of(mixture)
        np.testing.assert_allclose(together.state.objective[k], alone.state.objective, rtol=1e-4)


# --- Input validation ---


def fit(*args, **options):
    return lambda: sf.fit_mixture(*args, **options)


def changed(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


ONES = np.ones(len(POINTS))
REFUSED = {
    "negative weight": (
        fit(POINTS, 2, weights=changed(ONES, 3, -1)),
        ValueError,
        r"`weights` must be zero or positive.* got -1.0 at index 3",
    ),
    "nan weight": (
        fit(POINTS, 2, weights=changed(ONES, 0, NAN)),
        ValueError,
        r"`weights` must be .*finite, got nan at index 0",
    ),
    "no weight": (
        fit(POINTS, 2, weights=0 * ONES),
        ValueError,
        r"`weights` must not all be zero: none of the 450 points is left",
    ),
    "weights length": (
        fit(POINTS, 2, weights=ONES[1:]),
        ValueError,
        r"`weights` must have shape \(450,\).* got \(449,\)",
    ),
    "nan point": (
        fit(changed(POINTS, (4, 1), NAN), 2),
        ValueError,
        r"`points` must be finite, got nan at index \(4, 1\)",
    ),
    "extent": (fit(POINTS * 1e200, 2), ValueError, r"`points` must spread over 1e-140 to 1e\+140.* got .*: rescale"),
    "rank": (fit(np.zeros((3, 2, 2)), 1), ValueError, r"`points` must have shape \(N, d\).* got \(3, 2, 2\)"),
    "empty": (fit(np.zeros((0, 2)), 1), ValueError, r"`points` must have shape .* got \(0, 2\)"),
    "complex": (fit(POINTS + 0j, 1), TypeError, r"`points` must hold real numbers"),
    "few points": (fit(POINTS[:3], 4), ValueError, r"`n_components`=4 is more than the 3 distinct `points`"),
    "few distinct": (
        fit(np.tile(POINTS[:3], (5, 1)), 4),
        ValueError,
        r"`n_components`=4 is more than the 3 distinct `points`",
    ),
    "no components": (fit(POINTS, 0), ValueError, r"`n_components` must be at least 1, got 0"),
    "half a component": (fit(POINTS, 1.5), TypeError, r"`n_components` must be an integer, got 1.5"),
    "type": (
        fit(POINTS, 2, covariance_type="ful"),
        ValueError,
        r"`covariance_type` must be one of .*; did you mean 'full'\?",
    ),
    "init": (
        fit(POINTS, 2, init="kmeans"),
        ValueError,
        r"`init` must be one of .*; did you mean 'kmeans\+\+'\?; or give \(weights",
    ),
    "init kind": (fit(POINTS, 2, init=3), ValueError, r"`init` must be one of"),
    "init length": (fit(POINTS, 3, init=START[:2]), ValueError, r"`init` must hold three arrays"),
    "init count": (
        fit(POINTS, 2, init=START),
        ValueError,
        r"`init.weights` must have shape \(2,\) for K=2 components in d=2, got \(3,\)",
    ),
    "init negative": (
        fit(POINTS, 3, init=(-START[0], *START[1:])),
        ValueError,
        r"`init.weights` must be zero or positive",
    ),
    "init singular": (
        fit(POINTS, 3, init=(*START[:2], 0 * START[2])),
        ValueError,
        r"`init.covariances` must be symmetric positive definite",
    ),
    "init nan": (fit(POINTS, 3, init=(START[0], NAN * START[1], START[2])), ValueError, r"`init.means` must be finite"),
    "start weights": (
        fit(POINTS, 3, init=(np.array([1.0, 2.0, 3.0]), *START[1:])),
        ValueError,
        r"`init.weights` must .* sum to one, got \[1.0, 2.0, 3.0\] with the sum 6: divide",
    ),
    "width": (fit(POINTS, 2, min_width=-1), ValueError, r"`min_width` must be zero or positive, and finite, got -1"),
    "wide": (fit(POINTS, 2, min_width=2), ValueError, r"`min_width` is a share .* below 1, got 2"),
    "reg_covar": (fit(POINTS, 2, reg_covar=NAN), ValueError, r"`reg_covar` must be zero or positive"),
    "prior kind": (fit(POINTS, 2, prior="weak"), TypeError, r"`prior` must be None or a surfacefit.MixturePrior"),
    "prior freedom": (
        fit(POINTS, 2, prior=sf.MixturePrior(degrees_of_freedom=1)),
        ValueError,
        r"degrees_of_freedom` must exceed d - 1 = 1, got 1",
    ),
    "prior alpha": (
        fit(POINTS, 2, prior=sf.MixturePrior(concentration=0.5)),
        ValueError,
        r"`prior.concentration` must be at least 1",
    ),
    "prior scale": (
        fit(POINTS, 2, prior=sf.MixturePrior(scale=-1)),
        ValueError,
        r"`prior.scale` must be positive and finite",
    ),
    "prior shape": (
        fit(POINTS, 2, prior=sf.MixturePrior(scale=np.eye(3))),
        ValueError,
        r"`prior.scale` must be a number or have shape \(2, 2\)",
    ),
    "prior definite": (
        fit(POINTS, 2, prior=sf.MixturePrior(scale=-np.eye(2))),
        ValueError,
        r"`prior.scale` must be symmetric positive definite",
    ),
    "reset": (fit(POINTS, 2, reset="yes"), TypeError, r"`reset` must be True or False, got 'yes'"),
    "tol": (fit(POINTS, 2, tol=-1), ValueError, r"`tol` must be zero or positive"),
    "steps": (fit(POINTS, 2, max_steps=-1), ValueError, r"`max_steps` must be at least 0"),
    "dtype": (fit(POINTS, 2, dtype="float16"), ValueError, r"`dtype` must be one of"),
    "time": (fit(POINTS, 2, max_time=0), ValueError, r"`max_time` must be positive"),
    "callback": (fit(POINTS, 2, callback=3), TypeError, r"`callback` must be a function"),
    "option": (
        fit(POINTS, 2, wieghts=ONES),
        TypeError,
        r"fit_mixture\(\) has no option `wieghts`; did you mean 'weights'\?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("suffix", ["json", "npz"])
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_mixture_comes_back_from_a_file_exactly(kind, suffix, tmp_path):
    result = sf.fit_mixture(POINTS, 3, covariance_type=kind)
    path = tmp_path / f"mixture.{suffix}"
    result.save(path)
    back = sf.MixtureResult.load(path)
    assert back.summary() == result.summary()
    for name, value in vars(result).items():
        if name == "history":
            for column in value:
                np.testing.assert_array_equal(back.history[column], value[column])
                assert back.history[column].dtype == value[column].dtype
        else:
            np.testing.assert_array_equal(getattr(back, name), value)
    np.testing.assert_array_equal(back.responsibilities(POINTS), result.responsibilities(POINTS))


def test_a_mixture_without_points_has_a_file_too(tmp_path):
    theirs = GaussianMixture(2, random_state=0).fit(POINTS)
    bare = sf.MixtureResult.from_sklearn(theirs)
    bare.save(tmp_path / "bare.json")
    back = sf.MixtureResult.load(tmp_path / "bare.json")
    assert back.points is None
    assert np.isnan(back.log_likelihood)


def test_files_of_fits_and_of_mixtures_are_told_apart(tmp_path):
    sf.fit_mixture(POINTS, 2).save(tmp_path / "mixture.json")
    with pytest.raises(ValueError, match=r"it is a surfacefit mixture, which `surfacefit\.MixtureResult\.load` reads"):
        sf.load(tmp_path / "mixture.json")
    sf.fit(np.eye(6), 1, init="peaks").save(tmp_path / "fit.npz")
    with pytest.raises(ValueError, match=r"it is a surfacefit result, which `surfacefit\.load` reads"):
        sf.MixtureResult.load(tmp_path / "fit.npz")


def test_a_mixture_shows_itself_in_a_notebook():
    page = sf.fit_mixture(POINTS, 2)._repr_html_()
    assert page.startswith("<div><b>surfacefit: mixture of 2 Gaussians")
    assert "log-likelihood" in page
