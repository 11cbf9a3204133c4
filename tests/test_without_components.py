"""Maps without components in a batch: the background alone is their result."""

import numpy as np
import pytest

import surfacefit as sf

X = np.arange(40.0)
POINTS = np.stack([np.ones(40), X], axis=1)


def maps():
    rng = np.random.default_rng(0)
    peak = 3 * np.exp(-0.5 * ((X - 15) / 3) ** 2)
    return np.stack([peak * (n % 2) + 0.5 + rng.normal(0, 0.05, 40) for n in range(4)])


def least_squares(columns, heights):
    """Heights of the best sum of columns, and the errors of its numbers."""
    numbers, (rest,) = np.linalg.lstsq(columns, heights)[:2]
    variance = rest / (len(heights) - columns.shape[1])
    return columns @ numbers, np.sqrt(variance * np.diag(np.linalg.inv(columns.T @ columns)))


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (POINTS[:, :1], {}),
        pytest.param(POINTS[:, :1], {"init": "neighbours", "tied": "covariances"}, marks=pytest.mark.slow),
        pytest.param(
            POINTS, {"background": (lambda q, x: q[0] + q[1] * x[..., 0], [0.0, 0.0])}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_map_without_components_has_the_best_background(columns, options):
    z = maps()
    batch = sf.fit_many(z, [0, 1, 0, 1], progress=False, **options)
    assert (batch.n_components.tolist(), batch.active.sum(axis=1).tolist()) == ([0, 1, 0, 1], [0, 1, 0, 1])
    assert batch.success.all()
    for n in (0, 2):
        fitted, errors = least_squares(columns, z[n])
        np.testing.assert_allclose(batch[n].predict(), fitted, atol=1e-6)
        np.testing.assert_allclose(batch.rmse[n], np.sqrt(np.mean((fitted - z[n]) ** 2)), rtol=1e-9)
        np.testing.assert_allclose(batch.standard_errors.background[n], errors, rtol=1e-6)
        assert batch.bic[n] == pytest.approx(batch[n].statistics.bic, rel=1e-9)
    alone = sf.fit_many(z[1:2], 1, progress=False, **{**options, "init": "auto"})
    np.testing.assert_array_equal(batch.centers[1], alone.centers[0])


def test_small_maps_stay_fast_beside_others(monkeypatch):
    fitted = []
    z = maps()[:, :24]
    chunk = "surfacefit._many.fit_many.fitted_chunk"
    before = sf.fit_many(z, [1, 1, 1, 1], progress=False)
    from surfacefit._many.fit_many import fitted_chunk

    monkeypatch.setattr(chunk, lambda batch, some, *rest: (fitted.extend(some), fitted_chunk(batch, some, *rest))[1])
    batch = sf.fit_many(z, [0, 1, 0, 1], progress=False)
    assert {0, 2} <= set(fitted)
    assert batch.n_components.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(batch.centers[[1, 3]], before.centers[[1, 3]])


def test_limits_and_what_is_fixed_hold_the_background():
    z = maps()
    batch = sf.fit_many(z, [0, 1, 0, 1], bounds=sf.Bounds(amplitudes=(0, 2), background=(0, 0.3)), progress=False)
    np.testing.assert_allclose(batch.background[[0, 2], 0], 0.3, rtol=1e-12)
    assert np.isinf(batch.standard_errors.background[[0, 2]]).all()
    held = sf.fit_many(z, [0, 1, 0, 1], background=0.25, fixed="background", progress=False)
    np.testing.assert_array_equal(held.background[:, 0], 0.25)
    np.testing.assert_array_equal(held.standard_errors.background[:, 0], 0)


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_a_file_holds_batches_without_components_or_fits(suffix, tmp_path):
    z = maps()
    some = sf.fit_many(z, [0, 1, 0, 1], bounds=sf.Bounds(amplitudes=(0, 2)), init="growth", progress=False)
    none = sf.fit_many(z, np.zeros(4, int), progress=False)
    empty = sf.fit_many(np.full((3, 40), np.nan), 2, progress=False)
    assert (empty.status == sf.Status.EMPTY).all()
    assert none.amplitudes.shape == (4, 0)
    for batch in (some, none, empty):
        batch.save(tmp_path / f"batch.{suffix}")
        again = sf.load(tmp_path / f"batch.{suffix}")
        for name in ("status", "n_components", "cost", "rmse", "bic", "amplitudes", "centers", "background"):
            np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
        for n in np.flatnonzero(batch.status != sf.Status.EMPTY):
            assert again[n].summary() == batch[n].summary()
        assert len(batch.table()["amplitude"]) == batch.active.sum()
        assert again.matched().shape == again.shape
    np.testing.assert_array_equal(sf.load(tmp_path / f"batch.{suffix}").standard_errors.centers, empty.centers)


def test_one_number_for_all_is_one_at_least():
    with pytest.raises(ValueError, match="`n_components` must be at least 1, got 0"):
        sf.fit_many(maps(), 0)
    with pytest.raises(ValueError, match="`n_components` must be at least 0, got -1"):
        sf.fit_many(maps(), [1, 0, -1, 1])
