"""Arrays of other libraries as heights: coordinates, units and gaps go in, model and residuals come back alike."""

import numpy as np
import pytest

import surfacefit as sf

Y, X = np.linspace(60, 0, 31), np.arange(21.0) * 2
HILL = 3 * np.exp(-((Y[:, None] - 20) ** 2 / 50 + (X - 30) ** 2 / 128)) + 1


def test_coordinates_may_fall():
    fit = sf.fit(HILL, 1, coords=(Y, X), init="peaks")
    np.testing.assert_allclose(fit.surface.centers, [[20, 30]], atol=1e-6)
    np.testing.assert_allclose(fit.predict(), HILL, atol=1e-6)
    np.testing.assert_allclose(fit.residuals, 0, atol=1e-6)


def fits_of_one_map():
    """The fits of a noisy map with coordinates that fall, and of the same map turned, whose coordinates rise."""
    noisy = HILL + 0.01 * np.random.default_rng(0).normal(size=HILL.shape)
    sigma, mask = 1 + Y[:, None] / 60 + 0 * X, np.zeros(HILL.shape, bool)
    mask[:3, :5] = True
    given = {"sigma": sigma, "mask": mask, "init": "peaks"}
    fit = sf.fit(noisy, 1, coords=(Y, X), **given)
    given = {"sigma": sigma[::-1], "mask": mask[::-1], "init": "peaks"}
    turned = sf.fit(noisy[::-1], 1, coords=(Y[::-1], X), **given)
    return fit, turned


def test_what_stands_beside_heights_turns_with_falling_coordinates():
    fit, turned = fits_of_one_map()
    np.testing.assert_array_equal(fit.surface.centers, turned.surface.centers)
    np.testing.assert_array_equal(np.isnan(fit.residuals), np.isnan(turned.residuals)[::-1])
    assert np.isnan(fit.residuals[:3, :5]).all()
    np.testing.assert_array_equal(fit.uncertainty().band(), turned.uncertainty().band()[::-1])


@pytest.mark.slow
def test_derivatives_turn_with_falling_coordinates():
    one, other = (fit.sensitivity() for fit in fits_of_one_map())
    for ask in (
        lambda s: s.leverage(),
        lambda s: s.of(lambda surface: surface.amplitudes[0]),
        lambda s: s.left_out(4).residuals,
        lambda s: s.vjp(s.surface),
    ):
        np.testing.assert_array_equal(ask(one), ask(other)[::-1])
    blocks = np.arange(HILL.size).reshape(HILL.shape) // 50
    np.testing.assert_allclose(one.left_out(blocks).rmse, other.left_out(blocks[::-1]).rmse)
    changes = np.random.default_rng(1).normal(size=HILL.shape)
    np.testing.assert_array_equal(one.jvp(changes).centers, other.jvp(changes[::-1]).centers)
    figure, again = one.plot(), other.plot()
    shown, same = (drawn.axes[0].collections[0].get_array() for drawn in (figure, again))
    np.testing.assert_array_equal(shown, same)


@pytest.mark.parametrize(
    ("maps", "coords"),
    [([HILL, HILL], (Y, X)), (np.array([HILL, HILL]), (Y, X)), ([HILL, HILL[:9]], [(Y, X), (Y[:9], X)])],
)
def test_many_maps_refuse_coordinates_that_fall(maps, coords):
    with pytest.raises(ValueError, match="must be strictly increasing for many maps"):
        sf.fit_many(maps, 1, coords=coords, init="peaks")


def test_a_labelled_map_comes_back_as_it_was():
    xarray = pytest.importorskip("xarray")
    coords = {"band": [1], "y": ("y", Y, {"units": "m"}), "x": ("x", X, {"units": "m"}), "spatial_ref": 0}
    whole = xarray.DataArray(HILL[None], coords, ("band", "y", "x"), name="dem", attrs={"units": "m", "source": "made"})
    sigma = xarray.DataArray(1 + X / 100, {"x": X}, ("x",))
    for given in (whole, whole.transpose("x", "band", "y")):
        fit = sf.fit(given, 1, sigma=sigma, init="peaks")
        order = [("y", "x").index(dim) for dim in fit.data.labels.dims]
        of_each = sf.fit(given, 1, sigma=sigma.expand_dims(y=Y), init="peaks")
        for one in (fit, of_each):
            np.testing.assert_array_equal(one.data.sigma, np.broadcast_to(sigma, HILL.shape).transpose(order))
        np.testing.assert_allclose(fit.surface.centers[0], np.array([20, 30])[order], atol=1e-6)
        model = fit.predict()
        xarray.testing.assert_allclose(model, given.rename("dem_model"), atol=1e-6)
        assert (model.dims, model.attrs) == (given.dims, given.attrs)
        assert fit.residuals.name == "dem_residual"
        assert fit.data.labels.units == ("m", "m")
        assert fit.data.labels.notes == ("dimension 'band' of length 1 left out",)


def plain(values):
    return np.asarray(values.detach() if hasattr(values, "detach") else values, float).squeeze()


def test_a_stack_of_frames_is_pointed_to_fit_many_and_a_volume_is_not():
    rng, points = np.random.default_rng(0), np.stack(np.indices((12, 12)), axis=-1)
    spots = [np.exp(-((points - rng.uniform(2, 9, 2)) ** 2).sum(axis=-1) / 8) for _ in range(10)]
    fit = sf.fit(np.array(spots), 1, init="grid")
    assert "use `fit_many`" in fit.message
    layers = np.exp(-((np.arange(10) - 5) ** 2) / 18)[:, None, None] * spots[0]
    assert "fit_many" not in sf.fit(layers, 1, init="grid").message


def of_pandas():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(HILL, index=pandas.Index(Y, name="north"), columns=X), ("north", "x")


def of_polars():
    polars = pytest.importorskip("polars")
    y, x = np.meshgrid(Y, X, indexing="ij")
    return polars.DataFrame({"y": y.ravel(), "x": x.ravel(), "z": HILL.ravel()}), ("x", "y")


def of_quantity():
    units = pytest.importorskip("astropy.units")
    return HILL * units.K, ("y", "x")


def of_ccd():
    nddata = pytest.importorskip("astropy.nddata")
    mask = HILL > 3.9
    return nddata.CCDData(HILL, unit="adu", mask=mask, uncertainty=nddata.VarianceUncertainty(HILL**2)), ("y", "x")


def of_torch():
    torch = pytest.importorskip("torch")
    return torch.tensor(HILL, requires_grad=True), ("y", "x")


def of_dask():
    array = pytest.importorskip("dask.array")
    return array.from_array(HILL, chunks=(10, 21)), ("y", "x")


@pytest.mark.parametrize("made", [of_pandas, of_polars, of_quantity, of_ccd, of_torch, of_dask])
def test_values_come_back_as_the_kind_that_came(made):
    given, dims = made()
    fit = sf.fit(given, 1, init="peaks")
    assert fit.data.labels.dims == dims
    for values in (fit.predict(), fit.residuals, fit.uncertainty().band()):
        assert type(values).__name__ == {"of_polars": "Series"}.get(made.__name__, type(given).__name__)
    np.testing.assert_allclose(plain(fit.predict()).ravel(), HILL.ravel(), atol=1e-6)
    assert "axes" in fit.summary()


def test_an_image_brings_its_mask_and_errors():
    image, _ = of_ccd()
    fit = sf.fit(image, 1, init="peaks")
    assert (fit.n_masked, fit.data.absolute_sigma) == (int((HILL > 3.9).sum()), True)
    np.testing.assert_allclose(fit.data.sigma, HILL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda pd: pd.DataFrame({"x": [0.0, 1], "h": [1.0, 2]}), "must have columns x, y and z"),
        (lambda pd: pd.DataFrame({"x": [0.0], "y": [1.0], "z": ["high"]}), "must hold real numbers"),
    ],
)
def test_frames_that_hold_no_heights(make, message):
    pandas = pytest.importorskip("pandas")
    with pytest.raises((TypeError, ValueError), match=message):
        sf.fit(make(pandas), 1)


def test_units_must_agree():
    units = pytest.importorskip("astropy.units")
    with pytest.raises(ValueError, match="`sigma` must be in a unit like K, got m"):
        sf.fit(HILL * units.K, 1, sigma=0.1 * units.m)


def test_labelled_arrays_that_cannot_be_taken():
    xarray = pytest.importorskip("xarray")
    line = xarray.DataArray(HILL[0], {"x": list("abcdefghijklmnopqrstu")}, ("x",), name="z")
    with pytest.raises(TypeError, match="must have numbers or dates as coordinates along 'x'"):
        sf.fit(line, 1)
    with pytest.raises(TypeError, match="give one of its variables z"):
        sf.fit(line.to_dataset(), 1)


def test_a_stack_of_labelled_maps_is_fitted_along_a_dimension():
    xarray = pytest.importorskip("xarray")
    import surfacefit.xarray  # noqa: F401

    maps = xarray.DataArray(np.array([HILL, 2 * HILL]), {"y": Y, "x": X, "time": [0, 1]}, ("time", "y", "x"))
    batch = maps.transpose("y", "time", "x").surfacefit.fit_many(1, over="time", init="peaks")
    np.testing.assert_allclose(batch.centers[:, 0], [[20, 30], [20, 30]], atol=1e-5)
    np.testing.assert_allclose(batch.amplitudes[:, 0], [3, 6], atol=1e-5)
    with pytest.raises(ValueError, match="`over` must name dimensions"):
        maps.surfacefit.fit_many(1, over="band")


def test_dates_count_as_seconds():
    xarray = pytest.importorskip("xarray")
    times = np.datetime64("2026-01-01") + np.arange(21) * np.timedelta64(2, "s")
    fit = sf.fit(xarray.DataArray(HILL[20], {"time": times}, ("time",)), 1, init="peaks")
    np.testing.assert_allclose(fit.surface.centers, [[30]], atol=1e-5)
    assert fit.data.labels.units[0].startswith("s since 2026-01-01")
    assert (fit.predict().time.values == times).all()


def test_a_series_at_points_comes_back_with_its_index():
    pandas = pytest.importorskip("pandas")
    y, x = (axis.ravel() for axis in np.meshgrid(Y, X, indexing="ij"))
    heights = pandas.Series(HILL.ravel(), index=range(7, 7 + HILL.size), name="h")
    fit = sf.fit_points(pandas.DataFrame({"north": y, "east": x}), heights, 1, init="peaks")
    assert fit.data.labels.dims == ("north", "east")
    pandas.testing.assert_series_equal(fit.predict(), heights.rename("h_model"), atol=1e-6)
