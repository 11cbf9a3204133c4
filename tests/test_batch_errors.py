"""Standard errors of a batch by arrays: those that each fit alone has."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._batch_errors import batch_errors, batch_flags, lane_covariances, precise_covariances

X = np.arange(40.0)


def curves(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return np.array(
        [
            sum(rng.uniform(1, 3) * np.exp(-0.5 * ((X - c) / 3) ** 2) for c in (10, 27)) + rng.normal(0, 0.05, 40)
            for _ in range(n)
        ]
    )


def images(n=4, seed=0):
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:9, :8]
    shift = rng.uniform(3, 5, (n, 1, 1))
    return 3 * np.exp(-0.5 * ((y - 4) ** 2 / 4 + (x - shift) ** 2 / 2)) + rng.normal(0, 0.05, (n, 9, 8))


def two_images(n=4):
    return np.concatenate([images(n), images(n, 1)], axis=2)


def padded():
    """Curves of three lengths as one array: five of each, and one with gaps of its own."""
    maps = curves(16)
    maps[5:10, 35:] = maps[10:15, 32:] = maps[15, ::9] = np.nan
    return maps


def gaps(maps):
    return np.where(np.arange(maps.size).reshape(maps.shape) % 7 == 3, np.nan, maps)


START = sf.GaussianSurface([1.5, 2.0], np.array([[11.0], [26.0]]), [[[9.0]], [[8.0]]], background=0.0)
GROWN = {"init": "growth"}
# Maps, number of components, options; how many of the fits are left to the way of a single one, None where it is not
# known beforehand.
CASES = {
    "curves": (curves(), 2, {}, 0),
    "plane": (images(), 1, {"background": "plane", "covariance_type": "spherical"}, 0),
    "below zero": (-curves().astype(np.float32), 2, {"amplitudes": "signed"}, 0),
    "sigma and gaps": (gaps(curves()), 2, {"sigma": 0.05 + 0.001 * X, "absolute_sigma": True}, 0),
    "padded": (padded(), 2, {}, 0),
    "at the least width": (np.where(X == 20, 5.0, 0.01 * curves()), 1, {"sigma": 0.1}, 0),
    "limits held": (curves(), 2, {"bounds": sf.Bounds(amplitudes=(0, 1.5), centers=([0], [26.5]))}, 0),
    "fixed": (curves(), 2, {"init": START, "fixed": {"centers": [True, False], "background": True}}, 0),
    "no point to spare": (curves()[:, 8:12], 1, {}, None),
    "tied": (two_images(), 2, {"tied": "covariances"}, 0),
    "too many": (curves()[:, ::2], 4, {}, None),
    "constant": (np.full((3, 40), 7.0), 1, {}, None),
    "counts": (np.random.default_rng(0).poisson(1 + 20 * curves() ** 2), 2, {"loss": "poisson"}, 0),
    "robust": (curves(), 2, {"loss": "huber", "f_scale": 0.1}, 0),
    "limits of full widths": (two_images(), 2, {"bounds": sf.Bounds(widths=(0.5, 1.5))}, 4),
    "prior": (images(), 1, {"prior": sf.SurfacePrior(scale=4.0), "sigma": 0.05, "absolute_sigma": True}, 0),
    "nothing beneath": (images(), 1, {"background": None, "covariance_type": "diag"}, 0),
    "a function beneath": (curves(), 2, {"background": (lambda q, x: q[0] + q[1] * x[..., 0], [0.0, 0.0])}, 0),
    "sizes": ([curves()[0], curves()[1][:36], curves()[2][:33], curves()[3]], [2, 1, 2, 2], {}, 0),
}
FAST = ("curves", "sigma and gaps", "padded", "at the least width", "limits held", "constant")
FLAGGED = ("at the least width", "too many", "limits held")
INFINITE = ("at the least width", "no point to spare", "limits held", "limits of full widths", "too many")


def compared(batch, monkeypatch, rtol=1e-6):
    """Checks errors and flags by arrays against those of each fit; how many fits were left to the latter."""
    for module in (batch_errors, batch_flags):
        monkeypatch.setattr(module, "LEAST_LANES", 1)
    left = []
    put = batch_errors.put_errors_of
    monkeypatch.setattr(batch_errors, "put_errors_of", lambda *given: (left.append(given[1]), put(*given)))
    by_arrays, flags, single = batch.standard_errors, batch.flags, batch[...]
    for module in (batch_errors, batch_flags):
        monkeypatch.setattr(module, "LEAST_LANES", 10**9)
    monkeypatch.setattr(batch_errors, "put_errors_of", put)
    for name, errors in single.standard_errors._asdict().items():
        np.testing.assert_allclose(getattr(by_arrays, name), errors, rtol=rtol, err_msg=name)
    np.testing.assert_array_equal(flags, single.flags)
    return len(left)


@pytest.mark.parametrize("case", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in CASES])
def test_errors_by_arrays_are_those_of_each_fit(case, monkeypatch):
    maps, count, options, n_left = CASES[case]
    batch = sf.fit_many(maps, count, **{"init": "growth", "progress": False, **options})
    found = compared(batch, monkeypatch)
    assert n_left is None or found == n_left
    assert case not in FLAGGED or batch.flags.any()
    assert case not in INFINITE or any(np.isinf(one).any() for one in batch.standard_errors)


def test_flags_of_maps_with_the_same_gaps_come_from_arrays(monkeypatch):
    monkeypatch.setattr(batch_flags, "LEAST_LANES", 1)
    batch = sf.fit_many(padded(), 2, init="growth", progress=False)
    alone = []
    flags = sf.FitResult.flags
    monkeypatch.setattr(sf.FitResult, "flags", property(lambda one: (alone.append(1), flags.func(one))[1]))
    assert batch.flags.shape == (16, 2)
    assert not alone


@pytest.mark.parametrize("case", ["too many", pytest.param("limits held", marks=pytest.mark.slow)])
@pytest.mark.parametrize("least", [1e-6, 2.0])
def test_errors_near_rounding_come_from_rows(case, least, monkeypatch):
    """``least`` of two: all fits count as near rounding. An amplitude with an error of 1e10 has few digits of it."""
    monkeypatch.setattr(precise_covariances, "LEAST_PRECISE", 1)
    monkeypatch.setattr(lane_covariances, "LEAST_SQUARED_PIVOT", least)
    maps, count, options, _ = CASES[case]
    maps = np.concatenate([maps, maps[:2] + 0.5 * np.random.default_rng(2).normal(size=maps[:2].shape)])
    batch = sf.fit_many(maps, count, **{"init": "growth", "progress": False, **options})
    assert compared(batch, monkeypatch, 1e-4) == 0


def test_what_the_data_do_not_determine_is_infinite(monkeypatch):
    """Two components of one shape at one place: their sum is known, neither of them is."""
    monkeypatch.setattr(precise_covariances, "LEAST_PRECISE", 1)
    same = sf.GaussianSurface([1.0, 1.0], [[10.0], [10.0]], [[[9.0]], [[9.0]]], background=0.0)
    solver = sf.LevenbergMarquardt(max_steps=0)
    maps = np.array([sum(same(X[:, None]) for _ in range(n)) / n + 0.01 * np.sin(X + n) for n in (1, 2)])
    batch = sf.fit_many(maps, 2, init=same, solver=solver, progress=False)
    assert compared(batch, monkeypatch) == 0
    assert np.isinf(batch.standard_errors.amplitudes).all()
    assert np.isfinite(batch.standard_errors.background).all()


def test_errors_of_parts_of_a_batch_in_any_order_and_of_one_from_a_file(monkeypatch, tmp_path):
    maps = curves()
    maps[2] = np.nan
    maps[4] *= 1e-90  # whose squares are small numbers
    batch = sf.fit_many(maps, [2, 1, 2, 2, 2, 1], init="growth", progress=False)
    assert compared(batch, monkeypatch) == 0
    batch.save(tmp_path / "batch.npz")
    assert compared(sf.load(tmp_path / "batch.npz"), monkeypatch) == 0
    some = batch[[3, 0, 3, 2]]
    assert compared(some, monkeypatch) == 0
    np.testing.assert_array_equal(some.standard_errors.centers[0], some.standard_errors.centers[2])
    assert np.isnan(some.standard_errors.centers[3]).all()
    assert np.isnan(batch.standard_errors.centers[5]).any(axis=-1).sum() == 1


def test_errors_of_cut_outs_are_at_their_places(monkeypatch):
    image = np.random.default_rng(0).normal(0, 0.05, (40, 40))
    y, x = np.mgrid[:40, :40]
    places = [(8, 9), (20, 31), (30, 12)]
    image += sum(3 * np.exp(-0.5 * ((y - v) ** 2 / 2 + (x - u) ** 2 / 3)) for v, u in places)
    assert compared(sf.fit_cutouts(image, places, 9, progress=False), monkeypatch) == 0
