"""Files of heights in and back: coordinates, units and georeference exact; what cannot be read says what to do."""

import warnings

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._data.labels import Labels
from surfacefit._fit.cli import main
from surfacefit.interop.files.formats import CannotRead

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

    def test_without_georeference_coordinates_are_pixels(self, tmp_path):
        Image = pytest.importorskip("PIL.Image")
        heights = HEIGHTS.astype("float32")
        Image.fromarray(heights).save(tmp_path / "a.tif")
        found = sf.read(tmp_path / "a.tif")
        np.testing.assert_array_equal(found.heights, heights)
        assert found.coords is None
        model = sf.fit(found, 1, **QUICK).predict()
        model.save(tmp_path / "b.tif")
        np.testing.assert_array_equal(sf.read(tmp_path / "b.tif", key=1).heights, model.heights)

    def test_scale_and_offset(self, tmp_path):
        rasterio = pytest.importorskip("rasterio")
        heights = np.arange(42, dtype="int16").reshape(6, 7)
        with rasterio.open(geotiff(tmp_path / "a.tif", heights, nodata=3), "r+") as raster:
            raster.scales, raster.offsets = (0.5,), (100,)
        expected = np.where(heights == 3, np.nan, 100 + 0.5 * heights)
        np.testing.assert_array_equal(sf.read(tmp_path / "a.tif").heights, expected)

    def test_without_rasterio_a_plain_picture(self, tmp_path, monkeypatch):
        pytest.importorskip("PIL.Image")
        path = geotiff(tmp_path / "a.tif", HEIGHTS.astype("float32"))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        found = sf.read(path)
        assert found.coords is None
        assert "coordinates would need rasterio: pip install 'surfacefit[geo]'" in found.how

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


def fits_image(path, heights=HEIGHTS, **cards):
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header()
    header.update(cards)
    fits.PrimaryHDU(np.asarray(heights), header).writeto(path)
    return path


# World coordinates with digits that a formatted header would lose, Stokes and frequency behind.
WORLD = {
    "CTYPE1": "RA---SIN",
    "CRPIX1": 3.25,
    "CRVAL1": 123.45678901234567,
    "CDELT1": -0.0001234567890123,
    "CTYPE2": "DEC--SIN",
    "CRPIX2": 2.5,
    "CRVAL2": -32.123456789012345,
    "CDELT2": 0.0001234567890123,
    "CTYPE3": "FREQ",
    "CRPIX3": 1.0,
    "CRVAL3": 1.4e9,
    "CTYPE4": "STOKES",
    "CRVAL4": 1.0,
    "RADESYS": "FK5",
    "BUNIT": "JY/BEAM",
    "BMAJ": 0.002,
    "BMIN": 0.001,
    "BPA": 30.0,
}


class TestFITS:
    def test_world_coordinates_unit_and_beam_come_back_exactly(self, tmp_path):
        fits = pytest.importorskip("astropy.io.fits")
        found = sf.read(fits_image(tmp_path / "a.fits", HEIGHTS[None, None], **WORLD))
        assert found.shape == (6, 7)
        assert found.labels.unit == "JY/BEAM"
        assert found.labels.beam == (0.002, 0.001, 30.0)
        assert found.labels.notes == ("axes of length 1 left out: FREQ STOKES",)
        assert "FREQ STOKES" in found.how
        sf.fit(found, 1, **QUICK).save(tmp_path / "fit.json")
        assert main(["evaluate", str(tmp_path / "fit.json"), "-o", str(tmp_path / "b.fits")]) == 0
        after = fits.getheader(tmp_path / "b.fits")
        for name in [name for name in WORLD if name[-1] not in "34"]:
            assert after[name] == WORLD[name], name
        assert not {"CTYPE3", "CTYPE4"} & set(after)
        assert sf.read(tmp_path / "b.fits").labels.wcs == found.labels.wcs

    def test_a_window_keeps_its_pixels(self, tmp_path):
        fits = pytest.importorskip("astropy.io.fits")
        found = sf.read(fits_image(tmp_path / "a.fits", **WORLD), window=[slice(1, 5), slice(2, 6)])
        np.testing.assert_array_equal(found.heights, HEIGHTS[1:5, 2:6])
        np.testing.assert_array_equal(found.coords[0], [1, 2, 3, 4])
        found.save(tmp_path / "b.fits")
        after = fits.getheader(tmp_path / "b.fits")
        assert (after["CRPIX1"], after["CRPIX2"]) == (1.25, 1.5)

    def test_integers_with_blanks(self, tmp_path):
        heights = np.arange(42, dtype="int16").reshape(6, 7)
        found = sf.read(fits_image(tmp_path / "a.fits", heights, BLANK=5))
        np.testing.assert_array_equal(found.heights, np.where(heights == 5, np.nan, heights))

    def test_extensions(self, tmp_path):
        fits = pytest.importorskip("astropy.io.fits")
        units = [fits.PrimaryHDU(), fits.ImageHDU(HEIGHTS, name="SCI"), fits.ImageHDU(2 * HEIGHTS, name="ERR")]
        fits.HDUList(units).writeto(tmp_path / "a.fits")
        np.testing.assert_array_equal(sf.read(tmp_path / "a.fits").heights, HEIGHTS)
        for key in ("ERR", 2):
            np.testing.assert_array_equal(sf.read(tmp_path / "a.fits", key=key).heights, 2 * HEIGHTS)
        with pytest.raises(CannotRead, match="no extension 'DQ'; it holds 'PRIMARY', 'SCI', 'ERR'"):
            sf.read(tmp_path / "a.fits", key="DQ")

    def test_distortion_is_said(self, tmp_path):
        cards = {**WORLD, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "A_2_0": 1e-5}
        found = sf.read(fits_image(tmp_path / "a.fits", **cards))
        assert "the world coordinates are distorted, the fit is in pixels" in found.labels.notes
        assert "A_2_0" in found.labels.wcs


class TestMRC:
    def test_voxels_and_origin(self, tmp_path):
        mrcfile = pytest.importorskip("mrcfile")
        cube = RANDOM.normal(size=(4, 5, 6)).astype("float32")
        with mrcfile.new(tmp_path / "a.mrc", cube) as volume:
            volume.voxel_size = (1.5, 2.0, 2.5)
            volume.header.origin.x = -10
        found = sf.read(tmp_path / "a.mrc")
        np.testing.assert_array_equal(found.heights, cube)
        np.testing.assert_array_equal(found.coords[2], -10 + 1.5 * np.arange(6))
        np.testing.assert_array_equal(found.coords[0], 2.5 * np.arange(4))
        assert found.labels.units == ("Å", "Å", "Å")

    def test_order_of_axes(self, tmp_path):
        mrcfile = pytest.importorskip("mrcfile")
        cube = RANDOM.normal(size=(4, 5, 6)).astype("float32")
        with mrcfile.new(tmp_path / "a.mrc", cube) as volume:  # sections x, rows z, columns y
            volume.header.maps, volume.header.mapr, volume.header.mapc = 1, 3, 2
            volume.header.nxstart, volume.header.nystart, volume.header.nzstart = 10, 20, 30
        found = sf.read(tmp_path / "a.mrc")
        np.testing.assert_array_equal(found.heights, cube.transpose(1, 2, 0))
        assert [axis[0] for axis in found.coords] == [20, 10, 30]


GRIDS = {
    ".tif": ("rasterio", "crs"),
    ".fits": ("astropy", ""),
    ".nc": ("h5netcdf", "crs"),
    ".h5": ("h5py", ""),
    ".asc": ("numpy", "crs"),
    ".npz": ("numpy", ""),
    ".npy": ("numpy", ""),
    ".csv": ("numpy", ""),
    ".mrc": ("mrcfile", ""),
    ".zarr": ("zarr", "crs"),
}


class TestRoundTrips:
    @pytest.mark.parametrize("suffix", GRIDS)
    def test_heights_coordinates_and_reference_system(self, tmp_path, suffix):
        package, reference = GRIDS[suffix]
        pytest.importorskip(package)
        pytest.importorskip("rasterio")
        found = sf.read(geotiff(tmp_path / "source.tif", HEIGHTS.astype("float32")))
        found.save(tmp_path / f"a{suffix}")
        again = sf.read(tmp_path / f"a{suffix}", columns="y,x,height" if suffix == ".csv" else None)
        expected = found.heights[::-1] if suffix == ".mrc" else found.heights  # a format whose axes rise
        np.testing.assert_array_equal(again.heights.reshape(6, 7), expected)
        if suffix in (".fits", ".npy"):  # which have pixels
            return
        axes = again.coords if suffix != ".csv" else [np.unique(axis) for axis in again.points.T]
        for axis, expected in zip(axes, found.coords, strict=True):
            np.testing.assert_allclose(np.sort(axis), np.sort(expected), rtol=1e-7 if suffix == ".mrc" else 1e-15)
        if reference:
            assert again.labels.crs == found.labels.crs


def written(path, text):
    path.write_text(text)
    return path


class TestText:
    def test_columns(self, tmp_path):
        path = written(tmp_path / "a.csv", "id,lon,lat,depth,name_code\n1,10,50,3,7\n2,11,51,4,7\n3,12,50,5,8\n")
        for columns in ("lon,lat,depth", [1, 2, 3]):
            found = sf.read(path, columns=columns)
            np.testing.assert_array_equal(found.points, [[10, 50], [11, 51], [12, 50]])
            np.testing.assert_array_equal(found.heights, [3, 4, 5])
        assert sf.read(path, columns="lon,lat,depth").labels.dims == ("lon", "lat")
        with pytest.raises(CannotRead, match="no column 'dept'; did you mean 'depth'"):
            sf.read(path, columns="lon,lat,dept")

    def test_esri_grid(self, tmp_path):
        text = "ncols 3\nnrows 2\nxllcenter 10.5\nyllcenter 20.5\ncellsize 1\nNODATA_value -9\n1 2 3\n4 -9 6\n"
        found = sf.read(written(tmp_path / "a.asc", text))
        np.testing.assert_array_equal(found.heights, [[1, 2, 3], [4, np.nan, 6]])
        np.testing.assert_array_equal(found.coords[0], [21.5, 20.5])
        np.testing.assert_array_equal(found.coords[1], [10.5, 11.5, 12.5])

    @pytest.mark.parametrize("value", ["-9999", "-32768.0", "-99999", "-3.4028235e+38"])
    def test_what_may_stand_for_no_data_is_said_and_masked_when_asked(self, tmp_path, capsys, value):
        path = written(tmp_path / "a.csv", f"1,{value},3\n4,5,{value}\n7,8,9\n")
        with pytest.warns(
            UserWarning, match=r"a.csv' holds -[\d.+e]+ as its lowest height, in 2 of 9 .*nodata=-"
        ) as seen:
            found = sf.read(path)
        assert np.count_nonzero(found.heights == float(value)) == 2
        assert seen[0].filename == __file__
        expected = [[1, np.nan, 3], [4, 5, np.nan], [7, 8, 9]]
        np.testing.assert_array_equal(sf.read(path, nodata=float(value)).heights, expected)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            main(["fit", str(path), "-k", "0"])
        told = capsys.readouterr().err.splitlines()
        assert told[0].startswith(f"surfacefit: warning: {str(path)!r} holds -")
        assert main(["fit", str(path), "-k", "0", f"--nodata={value}"]) == 2
        assert "warning" not in capsys.readouterr().err

    def test_a_number_of_no_data_that_is_declared_or_not_the_lowest_is_none(self, tmp_path):
        head = "ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n"
        sf.read(written(tmp_path / "a.asc", f"{head}NODATA_value -9999\n1 -9999\n3 4\n"))
        sf.read(written(tmp_path / "b.csv", "-9999,-12000\n3,4\n"), layout="grid")
        with pytest.warns(UserWarning, match="in 1 of 4 places"):
            sf.read(written(tmp_path / "c.asc", f"{head}1 -9999\n3 4\n"))

    def test_plumed_grid(self, tmp_path):
        head = (
            "#! FIELDS phi psi file.free der_phi der_psi\n#! SET min_phi -pi\n#! SET nbins_phi 3\n#! SET nbins_psi 2\n"
        )
        rows = [f"{phi} {psi} {10 * phi + psi} 0 {psi}" for psi in (0.5, 1.5) for phi in (-1, 0, 1)]
        path = written(tmp_path / "fes.dat", head + "\n".join([*rows[:3], "", *rows[3:]]))
        found = sf.read(path)
        assert found.labels.dims == ("psi", "phi")
        np.testing.assert_array_equal(found.heights, 10 * np.array([-1, 0, 1]) + np.array([[0.5], [1.5]]))
        np.testing.assert_array_equal(sf.read(path, key="der_psi").heights, [[0.5] * 3, [1.5] * 3])
        with pytest.raises(CannotRead, match="at each of"):
            sf.read(written(tmp_path / "short.dat", head + "\n".join(rows[:5])))

    @pytest.mark.parametrize(
        ("good", "bad", "message"),
        [
            ("#! SET nbins_phi 3", "#! SET nbins_phi", r"SET NAME VALUE in line 3, got '#! SET nbins_phi'"),
            ("#! SET nbins_phi 3", "#! SET nbins_phi = 3", r"SET NAME VALUE in line 3"),
            ("#! SET nbins_phi 3", "#! SET nbins_phi three", "nbins_phi three, which is no number of bins"),
            ("#! SET nbins_phi 3", "#! SET nbins_phi 5", "must have 5 values of phi, as nbins_phi says, got 3"),
            ("#! SET nbins_phi 3\n", "", "has no line #! SET nbins_phi in its header"),
            ("SET nbins_", "set nbins_", "no line #! SET nbins_phi: add one for each variable, or name `columns`"),
            ("phi psi file.free", "time phi psi sigma_phi sigma_psi height", "GaussianSurface.from_hills"),
        ],
    )
    def test_a_header_of_plumed_that_is_broken(self, tmp_path, good, bad, message):
        head = "#! FIELDS phi psi file.free\n#! SET min_phi -pi\n#! SET nbins_phi 3\n#! SET nbins_psi 2\n"
        rows = "\n".join(f"{phi} {psi} {phi + psi}" for psi in (0.5, 1.5) for phi in (-1, 0, 1))
        path = written(tmp_path / "fes.dat", head + rows)
        assert sf.read(path).shape == (2, 3)
        path.write_text((head + rows).replace(good, bad))
        with pytest.raises(CannotRead, match=message):
            sf.read(path)
        assert len(sf.read(path, columns="0,1,2").heights) == 6

    def test_a_trajectory_of_plumed_is_a_table(self, tmp_path):
        path = written(tmp_path / "COLVAR.dat", "#! FIELDS time phi bias\n#! SET min_phi -pi\n0 1 2\n1 2 3\n")
        np.testing.assert_array_equal(sf.read(path, columns="1,2").heights, [2, 3])
        assert sf.read(path, layout="points").points.shape == (2, 2)


class TestScanningProbes:
    def test_gwyddion(self, tmp_path):
        objects = pytest.importorskip("gwyfile.objects")
        container = objects.GwyContainer()
        for number, title in enumerate(("Height", "Phase")):
            field = objects.GwyDataField((number + 1) * HEIGHTS, xreal=7e-6, yreal=3e-6, xoff=1e-6)
            field.si_unit_xy, field.si_unit_z = objects.GwySIUnit(unitstr="m"), objects.GwySIUnit(unitstr="m")
            container[f"/{number}/data"], container[f"/{number}/data/title"] = field, title
        container.tofile(str(tmp_path / "a.gwy"))
        found = sf.read(tmp_path / "a.gwy", key="Phase")
        np.testing.assert_array_equal(found.heights, 2 * HEIGHTS)
        np.testing.assert_allclose(found.coords[1], 1e-6 + 1e-6 * (np.arange(7) + 0.5))
        assert found.labels.unit == "m"
        with pytest.raises(CannotRead, match="several channels: choose with `key` among 'Height', 'Phase'"):
            sf.read(tmp_path / "a.gwy")

    def test_surface_data_format(self, tmp_path):
        head = "aISO-1.0\nManufacID = x\nNumPoints = 3\nNumProfiles = 2\nXscale = 1e-6\nYscale = 2e-6\nZscale = 1e-9\n"
        found = sf.read(written(tmp_path / "a.sdf", f"{head}DataType = 7\n*\n1 2 3\n4 BAD 6\n*\n"))
        np.testing.assert_allclose(found.heights, 1e-9 * np.array([[1, 2, 3], [4, np.nan, 6]]))
        np.testing.assert_allclose(found.coords[0], [1e-6, 3e-6])
        import struct

        scales = struct.pack("<HHddddBBB", 3, 2, 1e-6, 2e-6, 1e-9, 0, 0, 5, 0)
        content = b"bISO-1.0" + bytes(34) + scales + np.arange(6, dtype="<i2").tobytes()
        (tmp_path / "b.sdf").write_bytes(content)
        np.testing.assert_allclose(sf.read(tmp_path / "b.sdf").heights, 1e-9 * np.arange(6).reshape(2, 3))


SAMPLES = (".tif", ".fits", ".nc", ".h5", ".asc", ".mrc", ".npz")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A good file of each format."""
    folder = tmp_path_factory.mktemp("samples")
    for package in {GRIDS[suffix][0] for suffix in SAMPLES}:
        pytest.importorskip(package)
    for suffix in SAMPLES:
        sf.Map(RANDOM.normal(size=(30, 40)), coords=(np.arange(30) * 2.0, np.arange(40) * 2.0)).save(
            folder / f"a{suffix}"
        )
    return folder


class TestBadFiles:
    @pytest.mark.parametrize("suffix", SAMPLES)
    def test_truncated_empty_and_of_another_kind(self, tmp_path, samples, suffix):
        content = (samples / f"a{suffix}").read_bytes()
        path = tmp_path / f"a{suffix}"
        for broken in (b"", content[: len(content) // 2], content[:100], b"something else altogether\n" * 40):
            path.write_bytes(broken)
            with pytest.raises(CannotRead, match="a" + suffix) as caught:
                sf.read(path)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("suffix", "package", "extra"),
        [
            (".fits", "astropy.io.fits", "astro"),
            (".mrc", "mrcfile", "volumes"),
            (".h5", "h5py", "volumes"),
            (".nc", "xarray", "geo"),
            (".gwy", "gwyfile", "volumes"),
        ],
    )
    def test_a_missing_package(self, tmp_path, monkeypatch, suffix, package, extra):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(ImportError, match=rf"pip install 'surfacefit\[{extra}\]'"):
            sf.read(written(tmp_path / f"a{suffix}", "x"))

    def test_a_header_that_claims_more_than_the_file_holds(self, tmp_path):
        fits = pytest.importorskip("astropy.io.fits")
        fits_image(tmp_path / "a.fits")
        content = bytearray((tmp_path / "a.fits").read_bytes())
        for name, size in (("NAXIS1", 900000), ("NAXIS2", 900000)):
            card = fits.Card(name, size).image.encode()
            at = content.index(f"{name}  =".encode())
            content[at : at + 80] = card
        (tmp_path / "a.fits").write_bytes(content)
        text = "ncols 900000\nnrows 900000\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2 3\n"
        for path in (tmp_path / "a.fits", written(tmp_path / "a.asc", text)):
            with pytest.raises(CannotRead, match=r"unfold|memory"):
                sf.read(path)

    def test_complex_and_missing_numbers(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        for name, heights, message in (("c", HEIGHTS + 1j, "complex"), ("n", HEIGHTS * np.nan, "all 42 are missing")):
            with h5py.File(tmp_path / f"{name}.h5", "w") as file:
                file["z"] = heights
            with pytest.raises(CannotRead, match=message):
                sf.read(tmp_path / f"{name}.h5")

    def test_several_data_sets(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["entry/z"], file["entry/noise"] = HEIGHTS, 2 * HEIGHTS
        np.testing.assert_array_equal(sf.read(tmp_path / "a.h5", key="/entry/noise").heights, 2 * HEIGHTS)
        with pytest.raises(CannotRead, match="several data sets"):
            sf.read(tmp_path / "a.h5")


def test_a_report_is_one_page(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    result = sf.fit(sf.Map(HEIGHTS, labels=Labels(("y", "x"), ("m", "m"), name="a < b", unit="m")), 1, **QUICK)
    result.save(tmp_path / "fit.json")
    assert main(["report", str(tmp_path / "fit.json"), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert text.count("data:image/png;base64,") == 3
    assert "a &lt; b [m]" in text
    assert "http" not in text
    assert main(["report", str(tmp_path / "fit.json"), "-o", str(tmp_path / "r.txt")]) == 2
    assert "`-o` must end in .html" in capsys.readouterr().err


class TestOptions:
    def seen(self, tmp_path, monkeypatch, *options):
        """What the command line hands to `fit`."""
        found = {}
        result = type("Result", (), {"summary": lambda self, n_rows, errors: ""})()
        monkeypatch.setattr(sf, "fit", lambda heights, k, **options: found.update(options, k=k) or result)
        np.save(tmp_path / "a.npy", HEIGHTS)
        assert main(["fit", str(tmp_path / "a.npy"), "-q", *options]) == 0
        return found

    def test_what_stands_beside_the_heights(self, tmp_path, monkeypatch):
        np.save(tmp_path / "mask.npy", (HEIGHTS > 6).astype("uint8"))
        np.save(tmp_path / "sigma.npy", np.abs(HEIGHTS))
        mask, sigma = str(tmp_path / "mask.npy"), str(tmp_path / "sigma.npy")
        options = ["--mask", mask, "--sigma", sigma, "--window", "1:5,2:7", "--coords", "10:-2,0:0.5"]
        found = self.seen(tmp_path, monkeypatch, *options)
        np.testing.assert_array_equal(found["mask"], HEIGHTS[1:5, 2:7] > 6)
        np.testing.assert_array_equal(found["sigma"], np.abs(HEIGHTS)[1:5, 2:7])
        np.testing.assert_array_equal(found["coords"][0], [10, 8, 6, 4])
        assert self.seen(tmp_path, monkeypatch, "--sigma", "0.5", "--min-width", "1.5").items() >= {
            ("sigma", 0.5),
            ("absolute_sigma", True),
            ("min_width", 1.5),
        }

    def test_limits(self, tmp_path, monkeypatch):
        limits = ["widths=1:10", "centers=0:4,:5", "amplitudes=:7", "aspect=3"]
        bounds = self.seen(tmp_path, monkeypatch, "--bounds", *limits)["bounds"]
        assert (bounds.widths, bounds.amplitudes, bounds.aspect) == ((1, 10), (None, 7), 3)
        assert bounds.centers == ([0, -np.inf], [4, 5])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--bounds", "width=1:2"], "`--bounds` must be"),
            (["--bounds", "widths=1"], "`--bounds` must be"),
            (["--coords", "0:1"], "`--coords` must be first:step for each of 2 axes"),
            (["--window", "0:3"], "one start and stop for each of 2 axes"),
            (["--window", "a:b,0:1"], "`--window` must be start:stop"),
            (["--mask", "nowhere.npy"], "there is no file 'nowhere.npy'"),
            (["--fixed", "centers"], "fixed"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, capsys, options, message):
        np.save(tmp_path / "a.npy", HEIGHTS)
        assert main(["fit", str(tmp_path / "a.npy"), "-k", "1", *options]) == 2
        assert message in capsys.readouterr().err

    def test_a_start_of_which_something_is_fixed(self, tmp_path):
        first, second = str(tmp_path / "first.json"), str(tmp_path / "second.json")
        sf.fit(HEIGHTS, 1, **QUICK).save(first)
        np.save(tmp_path / "a.npy", HEIGHTS)
        options = ["--start", first, "--fixed", "centers,covariances", "--max-steps", "2", "-q", "-o", second]
        assert main(["fit", str(tmp_path / "a.npy"), *options]) == 0
        np.testing.assert_allclose(sf.load(second).surface.centers, sf.load(first).surface.centers)
        output = tmp_path / "error.npy"
        assert main(["evaluate", second, "-o", str(output), "--what", "error", "--errors", "sandwich"]) == 0
        assert np.load(output).shape == HEIGHTS.shape


def test_columns_and_points_of_a_grid(samples):
    with pytest.raises(CannotRead, match="`columns` are of text tables"):
        sf.read(samples / "a.asc", columns="x,y,z")
    with pytest.raises(CannotRead, match="is a grid of heights"):
        sf.read(samples / "a.asc", layout="points")


def test_a_broken_file_of_gwyddion(tmp_path):
    objects = pytest.importorskip("gwyfile.objects")
    container = objects.GwyContainer()
    container["/0/data"] = objects.GwyDataField(HEIGHTS, xreal=7e-6, yreal=3e-6)
    container.tofile(str(tmp_path / "a.gwy"))
    content = (tmp_path / "a.gwy").read_bytes()
    for broken in (content[: len(content) // 2], content[:9], b"nothing"):
        (tmp_path / "a.gwy").write_bytes(broken)
        with pytest.raises(CannotRead, match=r"a\.gwy"):
            sf.read(tmp_path / "a.gwy")
