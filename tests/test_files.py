"""Files of heights in and back: coordinates, units and georeference exact; what cannot be read says what to do."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._fit.cli import main
from surfacefit.interop.files.reading import CannotRead

RANDOM = np.random.default_rng(0)
HEIGHTS = RANDOM.normal(size=(6, 7)) + 5
FALLING_Y, X = 5120000.7 - 30 * (np.arange(6) + 0.5), 558000.3 + 30 * (np.arange(7) + 0.5)
QUICK = {"init": "peaks", "search": 0, "solver": sf.LevenbergMarquardt(max_steps=2)}


def geotiff(path, heights=HEIGHTS, **changes):
    rasterio = pytest.importorskip("rasterio")
    heights = np.asarray(heights).reshape(-1, *np.shape(heights)[-2:])
    profile = {
        "driver": "GTiff",
        "count": len(heights),
        "height": heights.shape[1],
        "width": heights.shape[2],
        "dtype": heights.dtype,
        "crs": "EPSG:32610",
        "transform": rasterio.Affine(30, 0, 558000.3, 0, -30, 5120000.7),
        **changes,
    }
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(heights)
    return path


class TestGeoTIFF:
    def test_coordinates_and_labels(self, tmp_path):
        found = sf.read(geotiff(tmp_path / "a.tif"))
        np.testing.assert_array_equal(found.heights, HEIGHTS)
        np.testing.assert_allclose(found.coords[0], FALLING_Y, rtol=1e-15)
        np.testing.assert_allclose(found.coords[1], X, rtol=1e-15)
        assert found.labels.units == ("m", "m")
        assert "UTM zone 10N" in found.labels.crs

    def test_places_without_data_are_nan(self, tmp_path):
        heights = np.where(HEIGHTS > 6, -9999, HEIGHTS).astype("float32")
        found = sf.read(geotiff(tmp_path / "a.tif", heights, nodata=-9999))
        np.testing.assert_array_equal(np.isnan(found.heights), HEIGHTS > 6)

    def test_a_window_keeps_its_place(self, tmp_path):
        found = sf.read(geotiff(tmp_path / "a.tif"), window=[(1, 4), (2, 7)])
        np.testing.assert_array_equal(found.heights, HEIGHTS[1:4, 2:7])
        np.testing.assert_allclose(found.coords[0], FALLING_Y[1:4])
        found.save(tmp_path / "b.tif")
        again = sf.read(tmp_path / "b.tif")
        np.testing.assert_array_equal(again.heights, found.heights)
        np.testing.assert_allclose(again.coords[1], X[2:7])

    def test_from_the_command_line_and_back(self, tmp_path, capsys):
        rasterio = pytest.importorskip("rasterio")
        source, saved = str(geotiff(tmp_path / "a.tif")), str(tmp_path / "fit.json")
        assert main(["fit", source, "-k", "1", "--init", "peaks", "--max-steps", "2", "-q", "-o", saved]) == 0
        result = sf.load(saved)
        for what, expected in (("model", result.predict()), ("residual", result.residuals)):
            output = str(tmp_path / f"{what}.tif")
            assert main(["evaluate", saved, "-o", output, "--what", what]) == 0
            with rasterio.open(source) as before, rasterio.open(output) as after:
                assert (before.crs, before.transform, before.shape) == (after.crs, after.transform, after.shape)
                np.testing.assert_array_equal(after.read(1), expected)
        capsys.readouterr()

    def test_results_are_maps_of_the_same_place(self, tmp_path):
        found = sf.read(geotiff(tmp_path / "a.tif"))
        result = sf.fit(found, 1, **QUICK)
        model = result.predict()
        assert isinstance(model, sf.Map)
        assert model.labels.crs == found.labels.crs
        np.testing.assert_allclose(np.asarray(model) + result.residuals.heights, HEIGHTS)

    def test_several_bands(self, tmp_path):
        path = geotiff(tmp_path / "a.tif", np.stack([HEIGHTS, 2 * HEIGHTS]))
        np.testing.assert_array_equal(sf.read(path, key=2).heights, 2 * HEIGHTS)
        with pytest.raises(CannotRead, match=r"has 2 bands .* choose with `key`, 1 to 2"):
            sf.read(path)
        with pytest.raises(CannotRead, match="has no band"):
            sf.read(path, key=3)

    def test_what_cannot_be_read(self, tmp_path):
        rasterio = pytest.importorskip("rasterio")
        with pytest.raises(CannotRead, match=r"is rotated.*gdalwarp"):
            sf.read(geotiff(tmp_path / "a.tif", transform=rasterio.Affine(1, 0.1, 0, 0.1, -1, 0)))
        with pytest.raises(CannotRead, match="all 42 are missing"):
            sf.read(geotiff(tmp_path / "a.tif", np.zeros((6, 7), "float32"), nodata=0))
        with pytest.raises(CannotRead, match="complex numbers"):
            sf.read(geotiff(tmp_path / "a.tif", HEIGHTS.astype("complex64")))
        with pytest.raises(CannotRead, match="within the shape"):
            sf.read(geotiff(tmp_path / "a.tif"), window=[(0, 3), (0, 8)])
