"""The estimators for scikit-learn: its own checks, and the same numbers as the library and as `GaussianMixture`."""

import pickle
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import surfacefit as sf
from surfacefit.sklearn import GaussianMixtureEM, GaussianSurfaceRegressor, SpatialBlocks

RNG = np.random.default_rng(3)
X = RNG.uniform(-4, 4, (240, 2))
HILLS = sf.GaussianSurface([2.0, 1.0], [[-1.5, 0.0], [1.5, 1.0]], [np.eye(2), 0.7 * np.eye(2)], background=0.5)
Y = HILLS(X) + 0.02 * RNG.normal(size=len(X))
# Three groups with tails, as measured positions have them.
GROUPS = np.vstack([RNG.normal(m, s, (n, 2)) for m, s, n in [([0, 0], 1, 150), ([4, 1], 0.5, 80), ([1, 5], 1.5, 70)]])

# A few of scikit-learn's checks, of as many kinds; all are run by the slow test.
CHECKS = [
    "check_no_attributes_set_in_init",
    "check_estimators_nan_inf",
    "check_sample_weight_equivalence_on_dense_data",
    "check_fit2d_1sample",
    "check_n_features_in",
    "check_sample_weights_shape",
    "check_estimators_unfitted",
]


def hills(n_components=2, **options):
    return GaussianSurfaceRegressor(n_components, search=0, **options)


@pytest.fixture(scope="module")
def fitted():
    return hills().fit(X, Y)


@pytest.fixture
def array_api(monkeypatch):
    """Without this variable scikit-learn leaves out its check that the array API may be on."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("array_api")
@pytest.mark.parametrize("estimator", [GaussianSurfaceRegressor(), GaussianMixtureEM()])
def test_all_checks_of_sklearn_pass(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the background alone, where samples are few; many steps, where they are not
        for outcome in check_estimator(estimator, on_skip=None):
            assert outcome["status"] == "passed", outcome


@pytest.mark.usefixtures("array_api")
@pytest.mark.parametrize("estimator", [hills("auto"), GaussianMixtureEM()])
@pytest.mark.filterwarnings("ignore:the background alone is fitted")
def test_some_checks_of_sklearn_pass(estimator):
    checks = {getattr(check, "func", check).__name__: check for _, check in estimator_checks_generator(estimator)}
    for name in CHECKS:
        checks[name](clone(estimator))


def test_a_regressor_predicts_what_fit_points_finds(fitted):
    result = sf.fit_points(X, Y, 2, search=0)
    np.testing.assert_array_equal(fitted.surface_.centers, result.surface.centers)
    np.testing.assert_array_equal(fitted.predict(X[:5]), result.surface(X[:5]))
    heights, errors = fitted.predict(X[:5], return_std=True)
    np.testing.assert_allclose(errors, result.uncertainty().band(X[:5]), rtol=1e-9)
    residuals = Y - result.surface(X)
    assert fitted.score(X, Y) == pytest.approx(1 - residuals @ residuals / ((Y - Y.mean()) ** 2).sum(), rel=1e-12)
    assert (fitted.n_components_, fitted.n_iter_, fitted.n_features_in_) == (2, result.steps, 2)
    assert np.abs(heights - HILLS(X[:5])).max() < 6 * errors.max()


def test_weights_are_inverse_variances_and_zero_leaves_a_sample_out(fitted):
    weights, sigma = np.where(X[:, 0] > 0, 4.0, 1.0), np.where(X[:, 0] > 0, 0.5, 1.0)
    bad = np.append(Y, 1e3)
    ours = hills().fit(np.vstack([X, [[0, 0]]]), bad, sample_weight=np.append(weights, 0))
    result = sf.fit_points(X, Y, 2, sigma=sigma, search=0)
    np.testing.assert_allclose(ours.predict(X), result.surface(X), atol=1e-6)
    assert ours.result_.data.n_used == len(X)
    known = clone(ours).set_params(absolute_sigma=True).fit(X, Y, weights / 0.02**2)
    assert known.result_.statistics.chi2 == pytest.approx(result.cost * 2 / 0.02**2, rel=1e-6)


def test_a_sample_of_weight_two_counts_twice(rng):
    counts = rng.integers(0, 4, len(X))
    once = hills().fit(X, Y, counts)
    twice = hills().fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts))
    np.testing.assert_array_equal(once.predict(X), twice.predict(X))
    mixtures = [GaussianMixtureEM(3, random_state=1) for _ in range(2)]
    mixtures[0].fit(GROUPS, sample_weight=counts[0] + np.arange(len(GROUPS)) % 3)
    mixtures[1].fit(np.repeat(GROUPS, counts[0] + np.arange(len(GROUPS)) % 3, axis=0))
    np.testing.assert_array_equal(mixtures[0].means_, mixtures[1].means_)


@pytest.mark.parametrize("n_dim", [2, 30])
def test_no_component_gives_the_mean(n_dim, rng):
    points, weights = rng.normal(size=(40, n_dim)), rng.uniform(1, 2, 40)
    alone = hills(0).fit(points, points[:, 0], weights)
    assert (alone.n_components_, alone.surface_.n_dim) == (0, n_dim)
    np.testing.assert_allclose(alone.predict(points), np.average(points[:, 0], weights=weights), rtol=1e-6)
    if n_dim == 30:
        with pytest.warns(UserWarning, match="background alone.*at least 497 points.*or covariance_type='spherical'"):
            chosen = hills("auto").fit(points, points[:, 0], weights)
        np.testing.assert_allclose(chosen.predict(points), alone.predict(points), rtol=1e-6)


def test_a_regressor_keeps_its_numbers_where_it_goes(fitted):
    expected = fitted.predict(X[:9], return_std=True)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict(X[:9], return_std=True), expected)
    assert clone(fitted).get_params() == fitted.get_params()
    piped = make_pipeline(StandardScaler(), hills()).set_output(transform="default").fit(X, Y)
    np.testing.assert_allclose(piped.predict(X), fitted.predict(X), atol=0.01)


def test_frames_keep_their_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["east", "north"])
    piped = make_pipeline(StandardScaler(), hills()).set_output(transform="pandas").fit(frame, Y)
    assert piped[-1].feature_names_in_.tolist() == ["east", "north"]
    mixture = GaussianMixtureEM(2, random_state=0).fit(frame)
    assert mixture.feature_names_in_.tolist() == ["east", "north"]


def test_a_grid_search_over_blocks_of_space_finds_the_number_of_components():
    grid = GridSearchCV(hills(), {"n_components": [0, 1, 2]}, cv=SpatialBlocks(3, n_blocks=6))
    with config_context(enable_metadata_routing=True):
        grid.set_params(estimator=hills().set_fit_request(sample_weight=True).set_score_request(sample_weight=True))
        grid.fit(X, Y, sample_weight=np.ones(len(X)))
    assert grid.best_params_ == {"n_components": 2}
    assert grid.best_score_ > 0.99
    density = GridSearchCV(GaussianMixtureEM(random_state=0), {"n_components": [1, 3]}, cv=SpatialBlocks(2)).fit(GROUPS)
    assert density.best_params_ == {"n_components": 3}
    assert cross_val_score(hills(), X, Y, cv=SpatialBlocks(3)).min() > 0.98


@pytest.mark.parametrize("blocks", [{"n_blocks": 4}, {"n_blocks": (8, 2)}, {"block_size": 2.1}])
@pytest.mark.parametrize("n_splits", [2, 5])
def test_blocks_are_whole_and_each_is_left_out_once(n_splits, blocks):
    cv = SpatialBlocks(n_splits, **blocks)
    tests = [test for _, test in cv.split(X, Y)]
    assert len(tests) == cv.get_n_splits() == n_splits
    assert sorted(np.concatenate(tests)) == list(range(len(X)))
    sides = np.full(2, blocks.get("block_size", np.nan))
    if "n_blocks" in blocks:
        sides = np.ptp(X, axis=0) * (1 + 1e-6) / blocks["n_blocks"]
    cells = ((X - X.min(axis=0)) // sides).astype(int)
    fold = {}
    for number, test in enumerate(tests):
        for cell in map(tuple, cells[test]):
            assert fold.setdefault(cell, number) == number
    for (i, j), number in fold.items():
        assert fold.get((i + 1, j)) != number
        assert fold.get((i, j + 1)) != number


def both(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [kind(3, random_state=5, **options).fit(GROUPS) for kind in (GaussianMixtureEM, GaussianMixture)]


def agree(ours, theirs, names):
    for name in names:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6, err_msg=name)


SEEDS = ["k-means++", "random_from_data"]
ARRAYS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


@pytest.mark.parametrize("init", ["kmeans", *SEEDS, "random"])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_mixture_takes_the_steps_of_sklearn(kind, init):
    if kind == "tied" and init in SEEDS:
        pytest.skip("scikit-learn's start depends on the origin")
    ours, theirs = both(covariance_type=kind, init_params=init, max_iter=12, tol=0)
    agree(ours, theirs, ARRAYS)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-6)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-6)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(ours.predict(GROUPS), theirs.predict(GROUPS))
    for one, other in zip(ours.sample(7), theirs.sample(7), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_mixture_ends_where_sklearn_does():
    start = {"means_init": GROUPS[[0, 160, 250]], "weights_init": [0.2, 0.3, 0.5], "precisions_init": [np.eye(2)] * 3}
    ours, theirs = both(tol=1e-13, max_iter=500, **start)
    agree(ours, theirs, [*ARRAYS, "lower_bound_", "converged_"])
    assert abs(ours.n_iter_ - theirs.n_iter_) <= 1
    agree(*both(tol=1e-13, max_iter=500, init_params="random_from_data", n_init=3), [*ARRAYS, "lower_bound_"])
    agree(*both(max_iter=0), ["weights_", "means_", "covariances_"])
    agree(*both(max_iter=5, tol=0, means_init=start["means_init"]), ARRAYS)


def test_a_mixture_goes_on_where_it_was():
    with pytest.warns(ConvergenceWarning, match="max_steps"):
        mixture = GaussianMixtureEM(3, random_state=0, max_iter=2, tol=1e-9, warm_start=True).fit(GROUPS)
    before = mixture.lower_bound_
    mixture.set_params(max_iter=300).fit(GROUPS)
    assert mixture.converged_
    assert mixture.lower_bound_ > before
    assert mixture.fit(GROUPS).n_iter_ <= 2
    assert mixture.set_params(n_components=2).fit(GROUPS).means_.shape == (2, 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mixture)).predict_proba(X), mixture.predict_proba(X))


@pytest.mark.parametrize("init", SEEDS)
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_single_points_as_seeds_need_neither_regularisation_nor_an_origin(kind, init):
    options = {"covariance_type": kind, "init_params": init, "reg_covar": 0, "tol": 1e-12, "max_iter": 1000}
    here, there = (GaussianMixtureEM(3, random_state=0, **options).fit(GROUPS + shift) for shift in (0, 1000))
    assert here.converged_
    np.testing.assert_allclose(there.means_ - 1000, here.means_, atol=1e-4)


REFUSED = {
    "weights": (lambda: hills().fit(X, Y, -np.ones(len(X))), r"`sample_weight` must be zero or positive.*got -1.0"),
    "NaN weight": (lambda: hills().fit(X, Y, np.full(len(X), np.nan)), r"`sample_weight` must be .*finite, got nan"),
    "too few weights": (lambda: hills().fit(X, Y, [1.0]), r"`sample_weight` must have shape \(240,\)"),
    "all zero": (lambda: GaussianMixtureEM().fit(X, None, np.zeros(len(X))), r"must not be zero for all 240 samples"),
    "no weights": (lambda: hills(absolute_sigma=True).fit(X, Y), r"`absolute_sigma`.*`sample_weight`.*give both"),
    "counts": (lambda: hills(loss="poisson").fit(X, Y + 1, 1 + X[:, 0] ** 2), r"`sample_weight` must be 0 or 1"),
    "number": (lambda: hills(-1).fit(X, Y), r"`n_components` must be at least 1"),
    "shape": (lambda: hills(covariance_type="round").fit(X, Y), r"`covariance_type` must be one of"),
    "seed": (lambda: hills(random_state=-1).fit(X, Y), r"`random_state` must be at least 0"),
    "too many": (lambda: GaussianMixtureEM(4).fit(np.ones((9, 1))), r"more than the 1 distinct samples.*at most 1"),
    "start": (lambda: GaussianMixtureEM(init_params="k").fit(X), r"`init_params` must be one of 'kmeans', 'k-means"),
    "means": (lambda: GaussianMixtureEM(2, means_init=[[1, 2]]).fit(X), r"`means_init` must have shape \(2, 2\)"),
    "sum": (lambda: GaussianMixtureEM(2, weights_init=[1, 2]).fit(X), r"`weights_init` must be .*sum to one"),
    "precisions": (lambda: GaussianMixtureEM(precisions_init=[-np.eye(2)]).fit(X), r"`precisions_init` must be symm"),
    "steps": (lambda: GaussianMixtureEM(max_iter=-1).fit(X), r"`max_iter` must be at least 0"),
    "one block": (lambda: list(SpatialBlocks(2, n_blocks=1).split(X)), r"`n_splits`=2 is more than the 1 blocks"),
    "size": (lambda: list(SpatialBlocks(block_size=0).split(X)), r"`block_size` must be positive, one number or 2"),
    "sizes": (lambda: list(SpatialBlocks(n_blocks=(1, 2, 3)).split(X)), r"`n_blocks` must be one number or 2"),
    "splits": (lambda: list(SpatialBlocks(1).split(X)), r"`n_splits` must be at least 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_is_predicted_before_a_fit():
    with pytest.raises(NotFittedError):
        hills().predict(X)
    with pytest.raises(NotFittedError):
        GaussianMixtureEM().sample()


def test_without_sklearn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "surfacefit.sklearn")
    with pytest.raises(ImportError, match=r"pip install 'surfacefit\[sklearn\]'"):
        import surfacefit.sklearn  # noqa: F401
