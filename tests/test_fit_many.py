"""Many maps in one call: each as `fit` alone has it, and none changes another."""

from dataclasses import replace

import numpy as np
import pytest

import surfacefit as sf

X = np.arange(40.0)
KEPT = ("amplitudes", "centers", "covariances", "background", "status", "cost", "steps")


def curves(n, seed=0, n_peaks=2):
    rng = np.random.default_rng(seed)
    return np.array(
        [
            sum(rng.uniform(1, 3) * np.exp(-0.5 * ((X - c) / 3) ** 2) for c in (10, 27)[:n_peaks])
            + rng.normal(0, 0.05, 40)
            for _ in range(n)
        ]
    )


def images(n, seed=0):
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:9, :8]
    return np.array(
        [
            3 * np.exp(-0.5 * ((y - 4) ** 2 / 4 + (x - rng.uniform(3, 5)) ** 2 / 2)) + rng.normal(0, 0.05, (9, 8))
            for _ in range(n)
        ]
    )


OPTIONS = {
    "curves": (curves(3), 2, {}),
    "one component": (curves(3, n_peaks=1), 1, {}),
    "images": (images(3), 1, {}),
    "float32": (images(3).astype(np.float32), 1, {}),
    "spherical": (images(3), 1, {"covariance_type": "spherical", "background": "plane"}),
    "peaks": (curves(3), 2, {"init": "peaks"}),
    "robust": (curves(3), 2, {"loss": "huber", "f_scale": 0.1}),
    "bounds": (curves(3), 2, {"bounds": sf.Bounds(amplitudes=(0, 1.5))}),
    "prior": (images(3), 1, {"prior": sf.SurfacePrior(scale=4.0), "sigma": 0.05, "absolute_sigma": True}),
    "no background": (curves(3), 2, {"background": None, "amplitudes": "signed"}),
    "dogleg": (curves(3), 2, {"solver": "dogleg"}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_each_map_is_fitted_as_alone(case):
    maps, count, options = OPTIONS[case]
    batch = sf.fit_many(maps, count, **{"init": "growth", **options})
    single = maps.dtype == np.float32
    for n, one in enumerate(maps):
        alone = sf.fit(one, count, search=0, reset=False, **{"init": "growth", **options})
        assert batch[n].rmse == pytest.approx(alone.rmse, rel=1e-5 if single else 1e-9)
        np.testing.assert_allclose(batch.centers[n], alone.surface.centers, atol=1e-3 if single else 1e-5)
        np.testing.assert_allclose(batch.amplitudes[n], alone.surface.amplitudes, rtol=1e-3 if single else 1e-5)


def test_counts_are_those_of_poisson():
    maps = np.random.default_rng(0).poisson(1 + 20 * curves(2) ** 2)
    batch = sf.fit_many(maps, 2, loss="poisson")
    for n, one in enumerate(maps):
        alone = sf.fit(one, 2, loss="poisson", init="growth", search=0, reset=False)
        assert batch.cost[n] == pytest.approx(alone.cost, rel=1e-9)


IN_BULK = {
    "one sigma": (curves(2), {"sigma": 0.05, "absolute_sigma": True}),
    "gaps and ratios of sigma": (
        np.where(np.arange(80).reshape(2, 40) % 7 == 3, np.nan, curves(2)),
        {"sigma": 1 + X, "loss": "huber"},
    ),
    "counts": (np.random.default_rng(0).poisson(1 + 20 * curves(2) ** 2), {"loss": "poisson"}),
    "plane": (curves(2), {"background": "plane"}),
    "constant maps": (np.stack([0 * X + 7, 0 * X]), {}),
}


@pytest.mark.parametrize("case", IN_BULK)
def test_numbers_in_bulk_are_those_of_each_result(case):
    maps, options = IN_BULK[case]
    kept = np.array(maps)
    batch = sf.fit_many(kept, 2, init="growth", **options)
    kept[:] = -1  # results keep the heights as they were
    for n, result in enumerate(batch.results):
        assert batch[n] is result
        np.testing.assert_array_equal(result.data.heights, maps[n])
        numbers = result.rmse, result.r2, result.statistics.bic
        np.testing.assert_allclose([batch.rmse[n], batch.r2[n], batch.bic[n]], numbers, rtol=1e-6, atol=1e-12)
        for name in ("amplitudes", "centers", "covariances"):
            np.testing.assert_array_equal(getattr(batch, name)[n], getattr(result.surface, name))
        assert (batch.cost[n], batch.steps[n], batch.status[n]) == (result.cost, result.steps, result.status)
        volumes = np.abs(result.surface.volumes)
        assert (np.diff(volumes) <= 0).all()


@pytest.mark.parametrize("given_as", [list, np.array])
def test_bad_maps_change_no_other(given_as):
    good = curves(4)
    nan, constant, huge, exact = np.full(40, np.nan), np.full(40, 7.0), 1e12 * good[0], 2 * np.exp(-0.5 * (X - 20) ** 2)
    few = np.where(X < 5, good[0], np.nan)
    alone = sf.fit_many(good, 2)
    infinite, vast = np.where(X == 7, np.inf, good[0]), 1e200 * good[0]
    maps = [good[0], nan, good[1], constant, huge, few, good[2], exact, good[3], infinite, vast]
    batch = sf.fit_many(given_as(maps), 2)
    for name in KEPT:
        np.testing.assert_array_equal(getattr(batch, name)[[0, 2, 6, 8]], getattr(alone, name))
    assert batch.status[1] == sf.Status.EMPTY
    assert batch.status[5] == sf.Status.TOO_FEW_POINTS
    assert batch.success[4]
    np.testing.assert_allclose(batch.amplitudes[4], 1e12 * batch.amplitudes[0], rtol=1e-6)
    assert batch.rmse[[3, 7]].max() < 1e-6
    assert np.isfinite(batch.amplitudes[[0, 2, 3, 4, 6, 7, 8]]).all()
    assert np.isnan(batch.amplitudes[[1, 5, 9, 10]]).all()
    assert (batch.status[9:] == sf.Status.UNUSABLE).all()
    with pytest.raises(ValueError, match=r"map 1 has no result: EMPTY"):
        batch[1]


def cutouts(n, seed=0, side=5):
    rng, points = np.random.default_rng(seed), np.stack(np.indices((side, side)), axis=-1)
    middle, width = rng.uniform(1.6, 2.4, (n, 1, 1, 2)), rng.uniform(0.9, 1.3, (n, 1, 1))
    heights = 500 * np.exp(-0.5 * ((points - middle) ** 2).sum(axis=-1) / width**2) + 100
    return heights + rng.normal(0, 20, heights.shape)


SMALL = {
    "plain": {},
    "single precision": {"dtype": "float32"},
    "signed": {"amplitudes": "signed", "covariance_type": "spherical"},
    "counts": {"loss": "poisson"},
    "sigma": {"sigma": 20.0, "absolute_sigma": True},
    "free": {"contained": False, "covariance_type": "diag"},
    "a start": {"init": sf.GaussianSurface([400.0], [[2.2, 1.8]], [np.eye(2)], 90.0)},
}


@pytest.mark.parametrize("case", SMALL)
def test_small_maps_are_fitted_as_alone(case, monkeypatch):
    options, maps = SMALL[case], np.round(cutouts(6))
    maps[2, 0, 1] = np.nan
    general = []
    monkeypatch.setattr("surfacefit._many.fit_many.fitted_chunk", lambda *args: general.append(args))
    batch = sf.fit_many(maps, 1, **options)
    assert not general
    single = options.get("dtype") == "float32"
    for n, one in enumerate(maps):
        alone = sf.fit(one, 1, solver=sf.LevenbergMarquardt(slack=0), search=0, reset=False, **options)
        assert batch.cost[n] == pytest.approx(alone.cost, rel=1e-4 if single else 1e-6)
        errors = alone.standard_errors
        assert np.abs(batch.centers[n] - alone.surface.centers).max() < 0.01 * errors.centers.max()
        np.testing.assert_allclose(batch.standard_errors.amplitudes[n], errors.amplitudes, rtol=1e-2)
        assert (batch.n_used[n], batch[n].n_parameters) == (alone.n_points, alone.n_parameters)


@pytest.mark.parametrize("case", ["beyond the border", "a hot point"])
def test_small_maps_that_need_more_are_fitted_as_alone(case):
    """A component that what contains it holds back, and a highest peak that is not the best start."""
    offset = np.stack(np.indices((9, 9)), axis=-1)
    if case == "a hot point":
        heights = 3 * np.exp(-0.5 * ((offset - 5) ** 2).sum(axis=-1) / 4)
        heights[1, 1] = 6.0
    else:
        heights = 3 * np.exp(-0.5 * ((offset - [-1.5, 4]) ** 2).sum(axis=-1) / 2)
    maps = np.array([heights, heights[::-1]]) + 0.02 * np.random.default_rng(0).normal(size=(2, 9, 9))
    batch = sf.fit_many(maps, 1)
    for n, one in enumerate(maps):
        alone = sf.fit(one, 1, search=0, reset=False)
        assert batch.cost[n] == pytest.approx(alone.cost, rel=1e-4)
        assert np.abs(batch.centers[n] - alone.surface.centers).max() < 1e-2


def test_a_batch_of_one_is_the_fit_of_its_map():
    x = np.arange(40.0)
    curve = np.exp(-0.5 * ((x - 12) / 3) ** 2) + 0.7 * np.exp(-0.5 * ((x - 24) / 4) ** 2)
    curve = curve + 0.01 * np.random.default_rng(0).normal(size=40)
    batch, alone = sf.fit_many(curve[None], 2, init="growth"), sf.fit(curve, 2, init="growth", search=0, reset=False)
    assert (batch.shape, batch[0].status) == ((1,), alone.status)
    for name in ("amplitudes", "centers", "covariances"):
        np.testing.assert_allclose(getattr(batch, name)[0], getattr(alone.surface, name), rtol=1e-9)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1e-300])
@pytest.mark.parametrize("options", [{}, {"n_components": "auto"}, {"init": "neighbours"}])
def test_a_sigma_that_cannot_be_used_ends_its_map_alone(wrong, options):
    maps, sigma = curves(4), np.ones((4, len(X)))
    sigma[2, 5] = wrong
    batch = sf.fit_many(maps, **{"n_components": 1, "sigma": sigma, "progress": False, **options})
    assert batch.status[2] == sf.Status.UNUSABLE
    assert (batch.status != sf.Status.UNUSABLE).sum() == 3
    assert np.isfinite(batch.rmse[[0, 1, 3]]).all()
    assert "UNUSABLE" in repr(batch)
    with pytest.raises(ValueError, match=r"map \(0,\) of `maps`: `sigma` must be"):
        sf.fit_many(maps[2:3], 1, sigma=sigma[2:3])


def test_bad_small_maps_change_no_other():
    good = cutouts(5)
    exact = 3 * np.exp(-0.5 * ((np.stack(np.indices((5, 5)), axis=-1) - 2.1) ** 2).sum(axis=-1)) + 1
    few = np.where(np.arange(25).reshape(5, 5) < 5, good[0], np.nan)
    bad = [np.full((5, 5), np.nan), np.full((5, 5), 7.0), 1e12 * good[1], exact, few, good[1] * 0, -good[2]]
    unusable = [np.where(good[0] == good[0].max(), np.inf, good[0]), 1e200 * good[0]]
    alone = sf.fit_many(good, 1)
    batch = sf.fit_many(np.array([*good[:2], *bad, *good[2:], *unusable]), 1)
    assert (batch.status[-2:] == sf.Status.UNUSABLE).all()
    assert np.isnan(batch.amplitudes[-2:]).all()
    for name in KEPT:
        np.testing.assert_array_equal(getattr(batch, name)[[0, 1, 9, 10, 11]], getattr(alone, name))
    assert batch.status[2] == sf.Status.EMPTY
    assert batch.status[6] == sf.Status.TOO_FEW_POINTS
    assert batch.success[[3, 4, 5, 7]].all()
    np.testing.assert_allclose(batch.amplitudes[4], 1e12 * batch.amplitudes[1], rtol=1e-6)
    assert batch.rmse[[3, 5, 7]].max() < 1e-6
    assert batch.rmse[8] == pytest.approx(sf.fit(-good[2], 1, search=0, reset=False).rmse, rel=1e-6)


@pytest.mark.parametrize("init", ["given", "growth", "peaks"])
def test_maps_alike_are_as_made_one_by_one(init, monkeypatch):
    maps = curves(5)
    surface = sf.GaussianSurface([1.5, 2.0], np.array([[11.0], [26.0]]), [[[9.0]], [[8.0]]])
    starts = [replace(surface, centers=surface.centers + 0.1 * n, background=0.01 * n) for n in range(5)]
    starts[3] = replace(surface, centers=np.array([[-5.0], [26.0]]))  # outside: it is taken as it is
    options = {"init": starts if init == "given" else init}
    batch = sf.fit_many(maps, 2, **options)
    monkeypatch.setattr("surfacefit._many.alike._share_points", lambda batch: False)
    apart = sf.fit_many(maps, 2, **options)
    for name in KEPT:
        np.testing.assert_array_equal(getattr(batch, name), getattr(apart, name))


@pytest.mark.parametrize("init", ["growth", "auto"])
def test_lengths_of_others_and_padding_change_no_map(init):
    whole = curves(4)
    maps = [whole[0], whole[1][:36], whole[2][3:], whole[3][:33]]
    coords = [[X], [X[:36]], [X[3:]], [X[:33]]]
    batch = sf.fit_many(maps, 2, coords=coords, init=init)
    for n in (1, 3):
        alone = sf.fit_many([maps[n]], 2, coords=[coords[n]], init=init)
        for name in KEPT:
            np.testing.assert_array_equal(getattr(batch, name)[n], getattr(alone, name)[0])
    padded = np.where(np.isin(X, [[0, 1, 2]]) & (np.arange(4) == 2)[:, None], np.nan, whole)
    padded[1, 36:] = padded[3, 33:] = np.nan
    again = sf.fit_many(padded, 2, init=init)
    np.testing.assert_allclose(again.centers, batch.centers, rtol=1e-6)
    np.testing.assert_allclose(again.cost, batch.cost, rtol=1e-9)


def test_maps_of_different_shapes_and_numbers_of_components():
    maps = [images(1)[0], images(1)[0][:7], curves(1)[0][None, :] + np.zeros((3, 1))]
    batch = sf.fit_many(maps, [1, 1, 2])
    assert (batch.shape, batch.n_components.tolist()) == ((3,), [1, 1, 2])
    assert np.isnan(batch.centers[:2, 1]).all()
    assert batch.active.sum() == 4
    for n, (one, count) in enumerate(zip(maps, (1, 1, 2), strict=True)):
        assert batch[n].rmse == pytest.approx(sf.fit(one, count, init="growth", search=0, reset=False).rmse, rel=1e-6)


@pytest.mark.parametrize("dtype", [int, float, np.uint8])
def test_masks_of_small_maps_may_be_zeros_and_ones(dtype):
    mask = np.arange(20) < 3
    batch, same = (sf.fit_many(curves(2)[:, :20], 1, mask=one, progress=False) for one in (mask.astype(dtype), mask))
    assert batch.n_used.tolist() == [17, 17]
    np.testing.assert_array_equal(batch.centers, same.centers)


def test_leading_axes_masks_and_sigmas():
    cube = curves(6).reshape(2, 3, 40)
    mask, sigma = np.zeros(cube.shape, bool), np.full((2, 3), 0.05)
    mask[1, 2, 8:12] = True
    batch = sf.fit_many(cube, 2, ndim=1, mask=mask, sigma=sigma, absolute_sigma=True)
    assert (batch.shape, batch.centers.shape, batch.background.shape) == ((2, 3), (2, 3, 2, 1), (2, 3, 1))
    alone = sf.fit(cube[1, 2], 2, mask=mask[1, 2], sigma=0.05, absolute_sigma=True, init="growth", search=0)
    assert (batch.n_used[1, 2], batch[1, 2].n_masked) == (36, 4)
    np.testing.assert_allclose(batch.standard_errors.centers[1, 2], alone.standard_errors.centers, rtol=1e-4)
    row = batch[1]
    assert row.shape == (3,)
    np.testing.assert_array_equal(row.amplitudes, batch.amplitudes[1])
    table = batch.table()
    assert {len(column) for column in table.values()} == {12}
    np.testing.assert_array_equal(table["map_1"], np.tile(np.repeat(np.arange(3), 2), 2))


def test_scattered_points_and_given_starts():
    rng, maps = np.random.default_rng(1), curves(3)
    order = rng.permutation(40)
    scattered = sf.fit_many(maps[:, order], 2, points=X[order, None], min_width=0.3)
    grid = sf.fit_many(maps, 2)
    np.testing.assert_allclose(scattered.rmse, grid.rmse, rtol=1e-6)
    again = sf.fit_many(maps, 2, init=grid)
    np.testing.assert_allclose(again.cost, grid.cost, rtol=1e-9)
    assert (again.steps < grid.steps).all()
    one_start = sf.fit_many(maps, 2, init=grid[0].surface)
    np.testing.assert_allclose(one_start.rmse, grid.rmse, rtol=1e-6)


def test_what_is_finished_is_kept(monkeypatch):
    monkeypatch.setattr("surfacefit._many.lanes.MOST_MAPS_A_PROGRAM", 2)
    monkeypatch.setattr("surfacefit._many.fit_many.cores", lambda: 1)
    maps, seen = curves(6), []

    def stop(progress):
        seen.append((progress.done, progress.total))
        return progress.done >= 4

    batch = sf.fit_many(maps, 2, callback=stop)
    whole = sf.fit_many(maps, 2)
    assert seen == [(2, 6), (4, 6)]
    assert (batch.status[4:] == sf.Status.STOPPED).all()
    np.testing.assert_array_equal(batch.amplitudes[:4], whole.amplitudes[:4])
    assert (sf.fit_many(maps, 2, max_time=1e-9).status[2:] == sf.Status.MAX_TIME).all()

    def interrupt(progress):
        raise KeyboardInterrupt

    broken = sf.fit_many(maps, 2, callback=interrupt)
    assert broken.success[:2].all()
    assert (broken.status[2:] == sf.Status.INTERRUPTED).all()


WRONG = {
    "no maps": (lambda: sf.fit_many([], 1), "`maps` must hold at least one map"),
    "one map": (lambda: sf.fit_many(X, 1), "leading axes"),
    "no array": (lambda: sf.fit_many(None, 1), "`maps` must be an array"),
    "ragged": (lambda: sf.fit_many(np.array([X, X[1:]], dtype=object), 1), "must be a list"),
    "objects": (lambda: sf.fit_many(curves(2).astype(object), 1), "`maps` must hold real numbers, got dtype object"),
    "generator": (lambda: sf.fit_many((one for one in curves(2)), 1), r"got a generator: give `list\(maps\)`"),
    "dict": (lambda: sf.fit_many({"a": X}, 1), r"got a dict: give `list\(maps.values\(\)\)`"),
    "no mask": (lambda: sf.fit_many(curves(2), 1, mask=np.full(len(X), 2)), "other values than 0 and 1"),
    "no mask of each": (lambda: sf.fit_many(curves(2), 1, mask=[None, X]), "other values than 0 and 1"),
    "too many axes": (lambda: sf.fit_many(curves(2), 1, ndim=2), "leading axes before the 2"),
    "counts": (lambda: sf.fit_many(curves(2), [1, 2, 3]), "batch's shape"),
    "no count": (lambda: sf.fit_many(curves(2), 0.5), "`n_components` must be an integer"),
    "auto": (lambda: sf.fit_many(curves(2), "best"), "`n_components` must be a number, or one"),
    "starts": (lambda: sf.fit_many(curves(2), 1, init=[sf.GaussianSurface([1.0], [[1.0]], [[[1.0]]])]), "list of 2"),
    "no start": (lambda: sf.fit_many(curves(2), 1, init="nearest"), "`init` must be one of"),
    "batch": (lambda: sf.fit_many(curves(3), 1, init=sf.fit_many(curves(2), 1)), "batch of the shape"),
    "mask": (lambda: sf.fit_many(curves(2), 1, mask=np.zeros(7)), "`mask` must have the shape"),
    "infinite": (lambda: sf.fit_many(np.where(X == 3, np.inf, curves(2)), 1), r"map \(0,\) of `maps`"),
    "option": (lambda: sf.fit_many(curves(2), 1, loss="linaer"), "`loss` must be"),
    "words": (lambda: sf.fit_many(["a", "b"], 1), r"`maps\[0\]` must"),
    "none": (lambda: sf.fit_many([X, None], 1), r"`maps\[1\]` must"),
    "no heights": (lambda: sf.fit_many(np.zeros((3, 0)), 1), "at least one map with heights"),
    "callback": (lambda: sf.fit_many(curves(2), 1, callback=3), "`BatchProgress`"),
    "unknown": (lambda: sf.fit_many(curves(2), 1, search=3), "no option `search`"),
    "axes": (lambda: sf.fit_many([X, np.ones((3, 3))], 1), "one number of axes"),
    "both": (lambda: sf.fit_many(curves(2), 1, coords=X, points=X[:, None]), "give one"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    call, message = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_volumes_and_their_errors_are_those_of_each_map():
    maps = curves(3)
    batch = sf.fit_many([maps[0], np.full_like(X, np.nan, dtype=float), maps[2]], [1, 1, 2])
    table = batch.table()
    assert np.isnan(batch.volumes[1]).all()
    for n, rows in ((0, slice(0, 1)), (2, slice(1, 3))):
        alone = batch[n]
        np.testing.assert_allclose(batch.volumes[n][batch.active[n]], alone.surface.volumes, rtol=1e-12)
        np.testing.assert_allclose(table["volume"][rows], alone.surface.volumes, rtol=1e-12)
        np.testing.assert_allclose(table["volume_error"][rows], alone.standard_errors.volumes, rtol=1e-12)


def test_a_map_of_more_points_than_stay_near_is_set_up_in_its_precision():
    y, x = np.mgrid[:50, :48]
    maps = np.stack([np.exp(-((y - 25) ** 2 + (x - c) ** 2) / 40) for c in (20, 26)])
    start = sf.GaussianSurface([0.9], [[24.0, 23.0]], [16 * np.eye(2)])
    batch = sf.fit_many(maps, 1, init=start)  # a warning of JAX is an error in tests
    np.testing.assert_allclose(batch.centers[:, 0], [[25, 20], [25, 26]], atol=1e-6)
