"""Tables of components: numbers, errors and units, the sky, other libraries' tables, files, and back to a surface."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._fit.cli import main

pytest.importorskip("astropy")
pytest.importorskip("pandas")
pytest.importorskip("polars")
pytest.importorskip("pyarrow")

KINDS = ("pandas", "polars", "astropy", "arrow")
# A frame that is turned: north is 30 degrees from +y, and pixels are not square.
CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 359.99,
    "CRVAL2": 60.0,
    "CRPIX1": 15.0,
    "CRPIX2": 12.0,
    "CD1_1": -0.001 * np.cos(np.radians(30)),
    "CD1_2": 0.0012 * np.sin(np.radians(30)),
    "CD2_1": 0.001 * np.sin(np.radians(30)),
    "CD2_2": 0.0012 * np.cos(np.radians(30)),
    "BUNIT": "Jy/beam",
    "BMAJ": 0.004,
    "BMIN": 0.003,
    "BPA": 20.0,
    "OBJECT": "two",
}
TWO = sf.GaussianSurface([3.0, 2.0], [[7.0, 9.0], [16.0, 21.0]], [[[4.0, 2.0], [2.0, 9.0]], [[5.0, 0.5], [0.5, 3.0]]])


def noisy(surface, shape, seed=0):
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    return surface(places) + 0.01 * np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A radio image in FITS."""
    from astropy.io import fits

    path = tmp_path_factory.mktemp("tables") / "image.fits"
    fits.PrimaryHDU(noisy(TWO, (24, 30)), fits.Header(CARDS)).writeto(path)
    return path


@pytest.fixture(scope="module")
def result(image):
    return sf.fit(sf.read(image), 2, init=TWO, background=None, sigma=0.01, absolute_sigma=True)


@pytest.fixture(scope="module")
def saved(result, image):
    path = image.with_name("fit.json")
    result.save(path)
    return path


def same(surface, other):
    for name in ("amplitudes", "centers", "covariances"):
        np.testing.assert_array_equal(getattr(surface, name), getattr(other, name))


def test_columns_are_the_numbers_of_the_surface_with_their_errors_and_units(result):
    table, errors, surface = result.table(), result.standard_errors, result.surface
    np.testing.assert_array_equal(table["y"], surface.centers[:, 0])
    np.testing.assert_array_equal(table["x_error"], errors.centers[:, 1])
    np.testing.assert_array_equal(table["fwhm_minor_error"], errors.fwhm[:, 1])
    np.testing.assert_allclose(table["angle_error"], np.degrees(errors.orientation))
    np.testing.assert_array_equal(table["volume"], surface.volumes)
    np.testing.assert_allclose(table["volume_over_data"], result.volume_shares * surface.volumes)
    np.testing.assert_array_equal(table["covariance_x_y_error"], errors.covariances[:, 1, 0])
    assert table.units["amplitude_error"] == "Jy/beam"
    assert table.units["volume"] == "pixel2 Jy/beam"
    assert table.units["covariance_y_y"] == "pixel2"
    assert table.units["flags"] == ""
    assert list(result.table(errors=None)) == [name for name in table if not name.endswith("_error")]


def test_the_sky_is_astropys(result):
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    table, wcs = result.table(), WCS(Header(CARDS))
    y, x = result.surface.centers.T
    np.testing.assert_allclose(np.stack([table["ra"], table["dec"]]), wcs.all_pix2world(x, y, 0), rtol=0, atol=1e-12)
    assert table.meta["frame"] == "icrs"
    for k in range(2):  # both ends of the major axis, by spherical trigonometry
        end = 0.01 * result.surface.principal_axes[k, 0]
        (ra0, dec0), (ra1, dec1) = (
            np.radians(np.ravel(wcs.all_pix2world(x[k] + s * end[1], y[k] + s * end[0], 0))) for s in (-1, 1)
        )
        east = np.cos(dec1) * np.sin(ra1 - ra0)
        north = np.cos(dec0) * np.sin(dec1) - np.sin(dec0) * np.cos(dec1) * np.cos(ra1 - ra0)
        bearing = np.degrees(np.arctan2(east, north)) % 180
        # Pixels are not square, so that the axes of the ellipse on the sky are not those in pixels, but close.
        assert abs((bearing - table["position_angle"][k] + 90) % 180 - 90) < 8
    area = table["sky_fwhm_major"] * table["sky_fwhm_minor"] / 3600**2
    np.testing.assert_allclose(table["flux"], table["amplitude"] * area / (0.004 * 0.003), rtol=1e-6)


def test_errors_on_the_sky_are_those_of_draws_from_the_covariance(result):
    """The scatter of 300 surfaces drawn from the covariance of the fit, to four of its own errors."""
    scatter = {name: [] for name in ("ra", "dec", "sky_fwhm_major", "sky_fwhm_minor", "position_angle", "flux")}
    table = result.table()
    from surfacefit.interop.tables.sky import sky_columns, sky_of

    sky = sky_of(result.data.labels, 2)
    covariance, surface, rng = result.uncertainty().matrix, result.surface, np.random.default_rng(1)
    root, lower = np.linalg.cholesky(covariance), np.tril_indices(2)
    n = 300
    for _ in range(n):
        vector = root @ rng.normal(size=12)
        shapes = surface.covariances.copy()
        shapes[:, lower[0], lower[1]] += vector[6:].reshape(2, 3)
        shapes[:, 0, 1] = shapes[:, 1, 0]
        drawn = sf.GaussianSurface(surface.amplitudes + vector[:2], surface.centers + vector[2:6].reshape(2, 2), shapes)
        for name, values, _, _ in sky_columns(sky, drawn, result.data.labels, None):
            scatter[name].append(values)
    for name, values in scatter.items():
        np.testing.assert_allclose(np.std(values, axis=0), table[f"{name}_error"], rtol=4 / np.sqrt(2 * n))


def test_position_angle_and_angle_where_north_is_up(result, tmp_path):
    """RA grows to the left: an ellipse at 30 degrees from +x points 120 degrees east of north."""
    cards = {**CARDS, "CD1_1": -0.001, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.001}
    from astropy.io.fits import Header

    labels = replace(result.data.labels, wcs=Header(cards).tostring())
    table = replace(result, data=replace(result.data, labels=labels)).table()
    np.testing.assert_allclose(table["position_angle"], (table["angle"] + 90) % 180, atol=0.02)  # north is no parallel
    np.testing.assert_allclose(table["sky_fwhm_major"], 3.6 * table["fwhm_major"], rtol=1e-6)
    np.testing.assert_allclose(table["position_angle_error"], table["angle_error"], rtol=1e-4)
    table.save(tmp_path / "two.reg")
    ellipse = (tmp_path / "two.reg").read_text().splitlines()[2]
    angle = float(ellipse.split(",")[4].split(")")[0])
    assert angle == pytest.approx(table["angle"][0] + 180, abs=0.02)


def test_world_coordinates_count_pixels(image):
    axes = (np.arange(24) * 2.0, 40.0 - np.arange(30))
    table = sf.fit(sf.read(image), 2, coords=axes, init="peaks", background=None).table(errors=None)
    assert "ra" not in table
    assert table.meta["pixels"] == [[0.0, 2.0], [40.0, -1.0]]


def test_what_the_data_do_not_determine_has_an_infinite_error(result):
    """A component that no point sees, and round ones, which have no angle."""
    centers, shapes = np.array([[7.0, 9.0], [7.0, 900.0]]), np.array([5 * np.eye(2)] * 2)
    far = sf.GaussianSurface(np.array([3.0, 2.0]), centers, shapes)
    table = replace(result, surface=far).table()
    for name in ("amplitude", "x", "ra", "dec", "sky_fwhm_major", "sigma_minor", "volume", "volume_over_data", "flux"):
        assert np.isinf(table[f"{name}_error"]).tolist() == [False, True], name
    assert np.isinf(table["angle_error"]).all()
    assert table["flags"][0] == "none"
    assert {"outside", "undetermined"} <= {*table["flags"][1].split("; ")}
    assert not any(np.isnan(column).any() for column in table.values() if column.dtype.kind == "f")


@pytest.mark.slow
def test_what_a_limit_holds_has_an_infinite_error():
    held = sf.fit(noisy(TWO, (24, 30)), 2, init=TWO, background=None, bounds=sf.Bounds(widths=(1, 2))).table()
    for name in ("sigma_major", "volume", "volume_over_data"):
        assert np.isinf(held[f"{name}_error"]).all(), name
    assert "at bound" in held["flags"][0].split("; ")


@pytest.mark.parametrize(
    ("n_dim", "widths"),
    [(1, ["sigma"]), pytest.param(3, ["sigma_major", "sigma_middle", "sigma_minor"], marks=pytest.mark.slow)],
)
def test_other_dimensions(n_dim, widths):
    surface = sf.GaussianSurface([2.0], np.full((1, n_dim), 6.0), [np.diag([4.0, 2.0, 3.0][:n_dim])])
    result = sf.fit(noisy(surface, (13,) * n_dim), 1, init=surface, background=None)
    table = result.table()
    assert [name for name in table if name.startswith("sigma") and not name.endswith("_error")] == widths
    assert [name for name in table if name.startswith("center") and not name.endswith("_error")] == [
        f"center_{i}" for i in range(n_dim)
    ]
    assert "angle" not in table
    same(sf.GaussianSurface.from_table(table), result.surface)
    with pytest.raises(ValueError, match=r"2-D alone: write \.csv"):
        table.save("none.reg")


@pytest.mark.slow
def test_no_components():
    result = sf.fit(np.random.default_rng(0).normal(size=(24, 30)))
    assert result.n_components == 0
    assert all(len(column) == 0 for column in result.table().values())
    assert str(result.table()).startswith("component")


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_table_gives_the_surface_back_exactly(result, kind):
    surface = sf.GaussianSurface.from_table(result.table(kind))
    same(surface, result.surface)
    again = surface.table()
    for name in ("component", "amplitude", "sigma_major", "angle", "volume"):
        np.testing.assert_array_equal(again[name], result.table()[name])


def test_units_in_capitals_are_understood(result):
    labels = replace(result.data.labels, unit="JY/BEAM")
    table = replace(result, data=replace(result.data, labels=labels)).table("astropy")
    assert (str(table["amplitude"].unit), str(table["flux"].unit)) == ("Jy / beam", "Jy")


def test_what_is_printed_has_the_digits_of_its_error():
    columns = {"a": np.array([1.23456, 2.0, 345.6789]), "a_error": np.array([0.012, 0.01, np.inf])}
    rows = str(sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]]).table().__class__(columns, {"a": "m"}, {})).splitlines()
    assert [row.strip() for row in rows] == ["a/m", "1.235±0.012", "2.000±0.010", "345.679±-"]


def test_units_and_meta_go_along(result):
    from astropy.units import Unit

    table = result.table("astropy")
    assert table["flux"].unit == Unit("Jy")
    assert table["covariance_x_x"].unit == Unit("pix2")
    assert table.meta["errors"] == "hessian"
    assert result.table("pandas").attrs["units"]["ra"] == "deg"
    assert result.table("arrow").schema.field("ra").metadata == {b"unit": b"deg"}


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot", "parquet"])
def test_a_file_gives_the_surface_back_exactly(result, tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    result.table().save(path)
    same(sf.GaussianSurface.from_table(path), result.surface)


def test_files_keep_units(result, tmp_path):
    from astropy.table import QTable

    for ending, name in (("ecsv", "ascii.ecsv"), ("fits", "fits"), ("vot", "votable")):
        result.table().save(tmp_path / f"t.{ending}")
        read = QTable.read(tmp_path / f"t.{ending}", format=name)
        assert str(read["sky_fwhm_major"].unit) == "arcsec", ending
        assert str(read["flags"][0]) == result.table()["flags"][0], ending


# Tables of one component, of amplitude 2 at x = 5, y = 3, with widths 4 and 1.5 at 30 degrees, as others write them.
FWHM = 2 * np.sqrt(2 * np.log(2))
SPELLED = {
    "astropy": {
        "amplitude": [2],
        "x_mean": [5],
        "y_mean": [3],
        "x_stddev": [4],
        "y_stddev": [1.5],
        "theta": [np.pi / 6],
    },
    "across": {"amplitude": [2], "x_0": [5], "y_0": [3], "x_stddev": [1.5], "y_stddev": [4], "theta": [-np.pi / 3]},
    "photutils": {
        "flux_fit": [2 * 2 * np.pi * 4 * 1.5],
        "x_fit": [5],
        "y_fit": [3],
        "x_fwhm_fit": [4 * FWHM],
        "y_fwhm_fit": [1.5 * FWHM],
        "theta_fit": [np.pi / 6],
    },
    "sources": {
        "peak": [2],
        "xcentroid": [5],
        "ycentroid": [3],
        "semimajor_sigma": [4],
        "semiminor_sigma": [1.5],
        "orientation": [30],
    },
    "FWHM": {
        "Peak_flux": [2],
        "Xposn": [5],
        "Yposn": [3],
        "fwhm_major": [4 * FWHM],
        "fwhm_minor": [1.5 * FWHM],
        "angle": [30],
    },
    "covariances": {
        "peak": [2],
        "x": [5],
        "y": [3],
        "Cxx": [12.5625],
        "Cxy": [13.75 * np.sqrt(3) / 4],
        "Cyy": [5.6875],
    },
}


@pytest.mark.parametrize("name", SPELLED)
def test_columns_of_others(name):
    surface = sf.GaussianSurface.from_table(SPELLED[name])
    np.testing.assert_allclose(surface.amplitudes, [2])
    np.testing.assert_array_equal(surface.centers, [[3, 5]])
    np.testing.assert_allclose(surface.principal_widths, [[4, 1.5]])
    np.testing.assert_allclose(np.degrees(surface.orientation), [30])


def test_an_angle_with_a_unit_is_what_it_says():
    from astropy.table import QTable, Table
    from astropy.units import Unit

    for kind in (QTable, Table):
        table = kind({**SPELLED["astropy"], "theta": [30.0] * Unit("deg")})
        np.testing.assert_allclose(np.degrees(sf.GaussianSurface.from_table(table).orientation), [30])


def test_columns_are_mapped_and_round_ones_have_one_width():
    table = {"A": [1.0], "X": [2.0], "Y": [3.0], "w": [4.0]}
    columns = {"amplitude": "A", "x": "X", "y": "Y", "sigma": "w"}
    surface = sf.GaussianSurface.from_table(table, columns, background=7.0)
    np.testing.assert_array_equal(surface.covariances, [16 * np.eye(2)])
    assert surface([[3.0, 2.0]])[0] == 8


REFUSED = [
    ({"x": [1], "y": [1], "sigma": [1]}, None, "must have a column 'amplitude'"),
    ({"amplitude": [1], "y": [1]}, {"x": "X"}, r"x: 'X'; it has \['amplitude', 'y'\]"),
    ({"amplitude": [1], "x": [1], "y": [1]}, None, "must have a column 'sigma_major'"),
    ({"amplitude": ["a"], "x": [1], "sigma": [1]}, None, "numbers in its column 'amplitude'"),
    ({"amplitude": [np.nan], "x": [1], "sigma": [1]}, None, "finite numbers in its column 'amplitude'"),
    ({"amplitude": [1], "x": [1], "sigma": [0]}, None, "positive"),
    ({"amplitude": [1], "x": [1], "y": [1], "z": [1]}, None, "in 3-D"),
    ({}, None, "must have a column 'x'"),
    (
        {"Peak_flux": [1], "Xposn": [5], "Yposn": [4], "Maj": [0.02], "Min": [0.01], "PA": [30]},
        None,
        "widths on the sky, 'Maj' and 'Min', and centres in pixels: add columns fwhm_major and fwhm_minor",
    ),
]


@pytest.mark.parametrize(("table", "columns", "message"), REFUSED)
def test_tables_that_are_no_surface_are_refused(table, columns, message):
    with pytest.raises(ValueError, match=message):
        sf.GaussianSurface.from_table(table, columns)


def test_files_that_are_no_table_are_refused(tmp_path, result):
    with pytest.raises(TypeError, match="got a int"):
        sf.GaussianSurface.from_table(3)
    with pytest.raises(FileNotFoundError):
        sf.GaussianSurface.from_table(tmp_path / "none.csv")
    for name, text in (("a.csv", "a,b\n1\n"), ("a.fits", "no"), ("a.ecsv", ""), ("a.parquet", "x")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=r"cannot read .* as a table"):
            sf.GaussianSurface.from_table(tmp_path / name)
    (tmp_path / "a.doc").write_text("")
    with pytest.raises(ValueError, match=r"ending in \.csv"):
        sf.GaussianSurface.from_table(tmp_path / "a.doc")
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        result.table().save(tmp_path / "a.doc")
    with pytest.raises(ValueError, match="`kind` must be"):
        result.table("excel")


@pytest.mark.parametrize("package", ["pandas", "pyarrow", "polars", "astropy"])
def test_a_missing_package_names_its_extra(result, monkeypatch, package):
    kind = {"pyarrow": "arrow"}.get(package, package)
    table = result.table()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError,
        match=rf"needs {package}: pip install 'surfacefit\[{'astro' if package == 'astropy' else 'tables'}\]'",
    ):
        table.to(kind)
    if package == "astropy":
        with pytest.raises(ImportError, match="sky=False"):
            result.table()
        assert "ra" not in result.table(sky=False)


def test_regions_in_pixels_count_from_one(tmp_path):
    """Coordinates with steps of 2 and -1 from (10, 40): DS9 has pixels."""
    table = sf.GaussianSurface([3.0], [[26.0, 31.0]], [[[16.0, 2.0], [2.0, 3.0]]]).table()
    table.meta["pixels"] = [[10.0, 2.0], [40.0, -1.0]]
    table.save(tmp_path / "a.reg")
    _header, frame, ellipse = (tmp_path / "a.reg").read_text().splitlines()
    assert frame == "image"
    x, y, major, minor, angle = (float(n) for n in ellipse[8:].split(")")[0].split(","))
    assert (x, y) == pytest.approx((10, 9), abs=1e-3)
    shape = np.array([[4.0, -1.0], [-1.0, 3.0]])  # in pixels
    np.testing.assert_allclose([major, minor], np.sqrt(np.linalg.eigvalsh(shape)[::-1]) * FWHM / 2, rtol=1e-3)
    assert angle == pytest.approx(np.degrees(0.5 * np.arctan2(-2.0, -1.0)) % 180, abs=0.1)


def test_the_command_line_prints_and_writes(saved, result, tmp_path, capsys):
    assert main(["table", str(saved)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "ra/deg" in lines[0]
    assert f"±{result.standard_errors.amplitudes[0]:.2g}" in lines[1]
    for ending in ("ecsv", "reg"):
        assert main(["table", str(saved), "-o", str(tmp_path / f"t.{ending}")]) == 0
    same(sf.GaussianSurface.from_table(tmp_path / "t.ecsv"), result.surface)
    assert (tmp_path / "t.reg").read_text().splitlines()[1] == "icrs"
    capsys.readouterr()
    assert main(["table", str(saved), "--format", "csv", "--errors", "sandwich"]) == 0
    assert capsys.readouterr().out.startswith("component,amplitude,amplitude_error")
    assert main(["table", str(saved), "-o", str(tmp_path / "t.txt"), "--format", "csv"]) == 0
    assert (tmp_path / "t.txt").read_text().startswith("component,")


def test_the_command_line_refuses_in_one_line(saved, tmp_path, capsys):
    for arguments, message in (
        (["-o", str(tmp_path / "t.doc")], "must end in .csv or"),
        (["--format", "fits"], "is not text: name a file"),
        (["-o", str(tmp_path / "no" / "t.csv")], "folder that exists"),
    ):
        assert main(["table", str(saved), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_a_table_needs_none_of_these_packages():
    code = (
        "import sys, numpy as np, surfacefit as sf\n"
        "t = sf.GaussianSurface([1.0], [[0.0, 0.0]], [np.eye(2)]).table()\n"
        "print([n for n in ('pandas', 'polars', 'pyarrow', 'astropy') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


GOOD = {"amplitude": [1.0, 2.0], "x": [1.0, 2.0], "y": [3.0, 4.0], "sigma_major": [2.0, 2.0], "sigma_minor": [1.0, 1.0]}
UNUSABLE = {
    "masked": ({"x": np.ma.masked_array([1.0, 2.0], [0, 1])}, "finite numbers in its column 'x'"),
    "negative width": ({"sigma_minor": [-1.0, 1.0]}, "positive widths in its column 'sigma_minor', got -1"),
    "complex": ({"x": np.array([1j, 2])}, "real numbers in its column 'x'"),
    "shorter": ({"y": [1.0]}, "columns of one length, got 1 rows of 'y', 2 of 'x'"),
    "two numbers a row": ({"x": np.ones((2, 2))}, "one number a row in its column 'x'"),
    "some covariances": ({"covariance_y_y": [1.0, 1.0]}, "covariances along all axes .* got none along x"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_columns_that_cannot_be_meant_are_refused(case):
    columns, message = UNUSABLE[case]
    with pytest.raises(ValueError, match=message):
        sf.GaussianSurface.from_table({**GOOD, **columns})


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="must have a column 'y'"):
        sf.GaussianSurface.from_table({name: column for name, column in GOOD.items() if name != "y"})
    with pytest.raises(ValueError, match="got no column"):
        sf.GaussianSurface.from_table({})


def test_a_pair_of_widths_is_more_than_one_width():
    surface = sf.GaussianSurface.from_table({**GOOD, "fwhm": [9.0, 9.0]})
    np.testing.assert_allclose(surface.principal_widths, [[2, 1], [2, 1]])


def test_lengths_of_other_units_become_those_of_the_centres():
    units = pytest.importorskip("astropy.units")
    table = pytest.importorskip("astropy.table")
    mixed = {"x": [1, 2] * units.mm, "y": [0.3, 0.4] * units.cm, "sigma_major": [0.002, 0.002] * units.m}
    surface = sf.GaussianSurface.from_table(table.QTable({**GOOD, **mixed}))
    np.testing.assert_allclose(surface.centers, [[3, 1], [4, 2]])
    np.testing.assert_allclose(surface.principal_widths, [[2, 1], [2, 1]])
    for other in ({"y": [3, 4] * units.s, "x": [1, 2] * units.m}, {"sigma_major": [2, 2] * units.arcsec}):
        with pytest.raises(ValueError, match="units that agree"):
            sf.GaussianSurface.from_table(table.QTable({**GOOD, **other}))
    missing = table.Table({**GOOD, "x": table.MaskedColumn([1.0, 2.0], mask=[0, 1])})
    with pytest.raises(ValueError, match="finite numbers in its column 'x'"):
        sf.GaussianSurface.from_table(missing)
