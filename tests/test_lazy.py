"""Maps in a dask array: what is computed later is what `fit_many` gives at once, and a lost worker costs time alone."""

import signal

import dask
import dask.array as da
import numpy as np
import pytest
import xarray

import surfacefit as sf

X = np.arange(24.0)
KEPT = ("amplitudes", "centers", "covariances", "background", "status", "cost", "steps", "n_used", "rmse", "r2", "bic")


def curves(n_rows=4, n_columns=3):
    rng = np.random.default_rng(0)
    places = rng.uniform(6, 17, (n_rows, n_columns, 1))
    maps = 1 + np.exp(-0.5 * ((X - places) / 2) ** 2) + rng.normal(0, 0.02, (n_rows, n_columns, 24))
    maps[1, 1], maps[0] = np.nan, np.nan  # one map, and all of a block
    return maps


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def same(lazy, batch):
    for name in KEPT:
        found = np.asarray(getattr(lazy, name))
        assert found.dtype == getattr(batch, name).dtype, name
        np.testing.assert_array_equal(found, getattr(batch, name), err_msg=name)


OPTIONS = {
    "plain": {},
    "masks of all": {"mask": np.arange(4 * 3 * 24).reshape(4, 3, 24) % 7 == 0},
    "one mask": {"mask": X < 3},
    "sigma of each": {"sigma": np.linspace(0.01, 0.03, 12).reshape(4, 3), "absolute_sigma": True},
    "lazy sigma": {"sigma": da.full((4, 3, 24), 0.02, chunks=5)},
    "plane": {"background": "plane", "coords": [X - 5], "ndim": None},
    "start": {"init": sf.GaussianSurface([1.0], [[11.0]], [[[4.0]]], 1.0)},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_a_lazy_fit_is_that_of_the_maps(case):
    maps, options = curves(), {"ndim": 1, "init": "peaks", **OPTIONS[case]}
    lazy = sf.fit_many(da.from_array(maps, chunks=(1, 2, 7)), 1, **options)
    whole = sf.fit_many(maps, 1, **{name: np.asarray(one) if name == "sigma" else one for name, one in options.items()})
    assert lazy.shape == (4, 3)
    assert lazy.status.chunks == ((1, 1, 1, 1), (2, 1))
    same(lazy, whole)
    batch = lazy.compute()
    same(batch, whole)
    assert batch[2, 1].rmse == whole[2, 1].rmse
    np.testing.assert_array_equal(batch.standard_errors.centers, whole.standard_errors.centers)


def test_a_lazy_batch_is_named_in_a_line():
    lazy = sf.fit_many(da.from_array(curves(), chunks=(2, 3, 24)), 1, ndim=1)
    assert repr(lazy) == "LazyBatch(4 x 3 maps in 2 blocks, fitted when they are computed)"


def test_blocks_may_have_fewer_components():
    maps, counts = curves(), np.array([[1], [1], [2], [1]]) * np.ones((4, 3), int)
    lazy = sf.fit_many(da.from_array(maps, chunks=(1, 3, 24)), counts, ndim=1, init="peaks")
    same(lazy.compute(), sf.fit_many(maps, counts, ndim=1, init="peaks"))
    assert np.isnan(np.asarray(lazy.centers)[1, 0, 1]).all()


def test_numbers_of_components_are_chosen_in_each_block():
    maps = curves()[1:3]
    maps[1, 0] = 1 + np.random.default_rng(1).normal(0, 0.02, 24)
    auto = sf.AutoComponents(most=2)
    lazy = sf.fit_many(da.from_array(maps, chunks=(1, 3, 24)), auto, ndim=1)
    whole, batch = sf.fit_many(maps, auto, ndim=1), lazy.compute()
    assert whole.n_components.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert lazy.amplitudes.shape == (2, 3, 2)
    same(batch, whole)
    np.testing.assert_array_equal(np.asarray(lazy.centers)[..., :1, :], whole.centers)
    assert batch[1, 0].n_components == 0
    assert batch[0, 2].rmse == pytest.approx(whole[0, 2].rmse, rel=1e-12)


@pytest.mark.filterwarnings("ignore:The data type", "ignore:Consolidated")
def test_a_labelled_lazy_array_becomes_a_lazy_dataset(tmp_path):
    maps = xarray.DataArray(curves(), dims=["row", "column", "x"], coords={"row": [4, 3, 2, 1], "x": X + 100})
    whole = sf.fit_many(maps, 1, ndim=1, init="peaks").to_xarray(errors=False)
    lazy = sf.fit_many(maps.chunk(row=2), 1, ndim=1, init="peaks", mask=xarray.zeros_like(maps, bool))
    found = lazy.to_xarray()
    assert all(one.chunks is not None for one in found.data_vars.values())
    xarray.testing.assert_equal(found.compute(), whole)
    assert lazy.compute().labels.dims == ("row", "column")
    found.to_zarr(tmp_path / "fits")
    xarray.testing.assert_equal(xarray.open_zarr(tmp_path / "fits").compute(), whole)


def of(shape=(4, 24), chunks=2, **options):
    return lambda: sf.fit_many(da.ones(shape, chunks=chunks), **{"n_components": 1, **options})


def auto(number):
    return lambda: sf.fit_many(da.ones((4, 24)), number)


def many_starts():
    maps = curves()[1:, 0]
    return sf.fit_many(da.from_array(maps), 1, init=sf.fit_many(maps, 1, init="peaks"))


def unknown():
    maps = da.ones((4, 24), chunks=2)
    return sf.fit_many(maps[maps.sum(axis=1) > 0], 1)


WRONG = {
    "unknown": (unknown, "known chunk sizes"),
    "empty": (of((0, 24)), "at least one map"),
    "one map": (of((24,)), "leading axes"),
    "text": (lambda: sf.fit_many(da.from_array(np.array([["a"]])), 1), "real numbers"),
    "option": (of(loss="linaer"), "`loss` must be"),
    "bounds": (of(bounds=3), "`bounds` must be"),
    "background": (of(background="flat"), "`background` must be"),
    "mask": (of(mask=np.zeros(7)), "`mask` and `sigma` must have"),
    "batch": (of(init=[sf.GaussianSurface([1.0], [[9.0]], [[[4.0]]])] * 4), "`init` must be a name or one"),
    "many starts": (many_starts, "one surface for maps in a dask array, got BatchResult"),
    "auto": (auto("auto"), "`n_components` of maps in a dask array must say how many"),
    "auto with options": (auto(sf.AutoComponents()), "at most 32: give `AutoComponents"),
    "auto from peaks": (of(n_components=sf.AutoComponents(most=3), init="peaks"), "`init` must be 'auto'"),
    "wrong auto": (auto(sf.AutoComponents("best")), "`n_components.criterion` must be"),
    "callback": (of(callback=print), "`callback` cannot be given"),
    "max_time": (of(max_time=3), "`max_time` cannot be given"),
    "out": (of(out="fits"), "`out` cannot be given"),
    "points": (of(points=X), "`points` cannot be given"),
    "match": (of(match="neighbours"), "`match` cannot be given"),
    "count": (lambda: sf.fit_many(da.ones((4, 24)), [1, 2]), "batch's shape"),
    "no count": (lambda: sf.fit_many(da.ones((4, 24)), 0), "`n_components` must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_lazy_arguments_are_named_at_once(case):
    call, message = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_worker_costs_time_alone():
    """Two workers, a process each; one is killed when the first block is there."""
    from distributed import Client, LocalCluster, as_completed

    maps = np.tile(curves(), (10, 2, 1))
    whole = sf.fit_many(maps, 1, ndim=1, init="growth")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        lazy = sf.fit_many(da.from_array(maps, chunks=(2, 6, 24)), 1, ndim=1, init="growth")
        blocks = client.compute(list(lazy.packed.to_delayed().ravel()))
        next(iter(as_completed(blocks)))
        worker = next(iter(cluster.workers.values())).process.process._process
        worker.kill()
        worker.join(30)
        assert worker.exitcode == -signal.SIGKILL
        found = np.concatenate(client.gather(blocks))
        place = lazy.layout["centers"][0]
        np.testing.assert_allclose(found[..., place].reshape(40, 6, 1, 1), whole.centers, rtol=1e-6)
        np.testing.assert_array_equal(lazy.compute().status, whole.status)
