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
