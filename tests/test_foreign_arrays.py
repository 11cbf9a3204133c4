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


def test_a_labelled_map_comes_back_as_it_was():
    xarray = pytest.importorskip("xarray")
    coords = {"band": [1], "y": ("y", Y, {"units": "m"}), "x": ("x", X, {"units": "m"}), "spatial_ref": 0}
    whole = xarray.DataArray(HILL[None], coords, ("band", "y", "x"), name="dem", attrs={"units": "m", "source": "made"})
    sigma = xarray.DataArray(1 + X / 100, {"x": X}, ("x",))
    for given in (whole, whole.transpose("x", "band", "y")):
        fit = sf.fit(given, 1, sigma=sigma, init="peaks")
        order = [("y", "x").index(dim) for dim in fit.data.labels.dims]
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
