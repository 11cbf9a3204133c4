"""Own sizes behind the beam of an image of the sky: tables, summaries and the command line, beside published formulas
and a map that is convolved by numbers.
"""

import numpy as np
import pytest
from scipy.signal import fftconvolve

import surfacefit as sf
from surfacefit._fit.cli import main

fits = pytest.importorskip("astropy.io.fits")

TURNED = np.radians(30)  # north from +y; pixels are 3.6 x 4.32 arc seconds
CD = np.array([[-0.001 * np.cos(TURNED), 0.0012 * np.sin(TURNED)], [0.001 * np.sin(TURNED), 0.0012 * np.cos(TURNED)]])
MAJOR, MINOR, ANGLE = 0.006, 0.0045, 20.0  # degrees
CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 359.99,
    "CRVAL2": 60.0,
    "CRPIX1": 21.0,
    "CRPIX2": 17.0,
    **{f"CD{i + 1}_{j + 1}": CD[i, j] for i in range(2) for j in range(2)},
    "BUNIT": "Jy/beam",
}
BEAM_CARDS = {"BMAJ": MAJOR, "BMIN": MINOR, "BPA": ANGLE}
OWN = np.array([[5.0, 2.0], [2.0, 9.0]])  # pixels squared, (row, column)
Y, X = np.mgrid[:33, :41]


def convolved():
    """A sum over all pixels of the own component times the beam, which is written as on the sky."""
    rows, columns = np.mgrid[-20:21, -20:21]
    east, north = np.tensordot(CD, np.stack([columns, rows]), axes=1)
    angle = np.radians(ANGLE)
    along, across = east * np.sin(angle) + north * np.cos(angle), east * np.cos(angle) - north * np.sin(angle)
    beam = np.exp(-4 * np.log(2) * ((along / MAJOR) ** 2 + (across / MINOR) ** 2))
    offsets = np.stack([Y - 16.0, X - 20.0], axis=-1)
    own = np.exp(-0.5 * np.einsum("...i,ij,...j->...", offsets, np.linalg.inv(OWN), offsets))
    return fftconvolve(own, beam, mode="same")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("beams") / "image.fits"
    noise = 0.1 * np.random.default_rng(0).normal(size=Y.shape)
    fits.PrimaryHDU(convolved() + noise, fits.Header({**CARDS, **BEAM_CARDS})).writeto(path)
    return path


@pytest.fixture(scope="module")
def result(image):
    return sf.fit(sf.read(image), 1, beam="map", background=None, sigma=0.1, absolute_sigma=True)


def on_sky(covariance):
    """FWHM of both axes in arc seconds and the position angle in degrees, of a covariance (row, column)."""
    there = CD @ covariance[::-1, ::-1] @ CD.T
    values, vectors = np.linalg.eigh(there)
    angle = np.degrees(np.arctan2(vectors[0, 1], vectors[1, 1])) % 180
    return *(3600 * 2 * np.sqrt(2 * np.log(2)) * np.sqrt(values[::-1])), angle


NAMES = ("deconvolved_sky_fwhm_major", "deconvolved_sky_fwhm_minor", "deconvolved_position_angle")


def test_a_convolved_map_gives_back_what_was_convolved(result):
    np.testing.assert_allclose(result.deconvolved.covariances[0], OWN, atol=0.1)
    table = result.table()
    for name, value in zip(NAMES, on_sky(OWN), strict=True):
        assert abs(table[name][0] - value) < 4 * table[f"{name}_error"][0]
        assert table[f"{name}_error"][0] < 0.02 * value


def test_sizes_are_those_of_the_formula_of_radio_astronomers(result):
    """Wild, Aust. J. Phys. 23, 113 (1970), as AIPS, CASA and radio_beam have it: sizes and angles alone."""
    table = result.table()
    major, minor = table["sky_fwhm_major"][0] / 3600, table["sky_fwhm_minor"][0] / 3600
    seen, beam = np.radians(table["position_angle"][0]), np.radians(ANGLE)
    alpha = (major * np.cos(seen)) ** 2 + (minor * np.sin(seen)) ** 2
    alpha -= (MAJOR * np.cos(beam)) ** 2 + (MINOR * np.sin(beam)) ** 2
    beta = (major * np.sin(seen)) ** 2 + (minor * np.cos(seen)) ** 2
    beta -= (MAJOR * np.sin(beam)) ** 2 + (MINOR * np.cos(beam)) ** 2
    gamma = (minor**2 - major**2) * np.sin(2 * seen) - (MINOR**2 - MAJOR**2) * np.sin(2 * beam)
    size, excess = alpha + beta, np.hypot(alpha - beta, gamma)
    expected = [3600 * np.sqrt((size + sign * excess) / 2) for sign in (1, -1)]
    found = [table[name][0] for name in NAMES]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-3)
    np.testing.assert_allclose(found[2], np.degrees(0.5 * np.arctan2(-gamma, alpha - beta)) % 180, atol=0.05)


def test_errors_are_the_scatter_of_covariances_with_the_errors_of_the_fit(result):
    table, errors = result.table(), result.standard_errors.matrix[3:6, 3:6]
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(3), errors, 3000)
    numbers = np.array([on_sky(result.deconvolved.covariances[0] + np.array([[a, b], [b, c]])) for a, b, c in draws])
    for name, column in zip(NAMES, numbers.T, strict=True):
        np.testing.assert_allclose(table[f"{name}_error"][0], column.std(), rtol=0.06)


def test_columns_of_pixels_are_the_sizes_of_the_result(result):
    table, sizes = result.table(), result.deconvolved
    per_width = 2 * np.sqrt(2 * np.log(2))
    np.testing.assert_array_equal(table["deconvolved_fwhm_minor"], sizes.fwhm[:, 1])
    np.testing.assert_allclose(table["deconvolved_fwhm_major_error"], per_width * sizes.width_errors[:, 0])
    np.testing.assert_allclose(table["deconvolved_limit_minor"], per_width * sizes.upper_limits[:, 1])
    np.testing.assert_allclose(table["deconvolved_angle"], np.degrees(sizes.orientation))
    np.testing.assert_allclose(sizes.orientation[0], 0.5 * np.arctan2(2 * 2.0, 9.0 - 5.0), atol=0.05)
    assert (table["deconvolved_limit_major"] > table["deconvolved_fwhm_major"]).all()
    assert table.units["deconvolved_limit_major"] == "pixel"
    assert table.units["deconvolved_sky_limit_major"] == "arcsec"
    assert not [name for name in result.table(errors=None) if name.startswith("deconvolved")]
    assert not [name for name in result.surface.table() if name.startswith("deconvolved")]


def test_files_of_tables_hold_them_and_are_read_back(result, tmp_path):
    table = result.table()
    for ending in ("csv", "fits"):
        table.save(tmp_path / f"catalogue.{ending}")
        again = sf.GaussianSurface.from_table(tmp_path / f"catalogue.{ending}")
        np.testing.assert_allclose(again.covariances, result.surface.covariances)
    assert "deconvolved_sky_limit_minor" in (tmp_path / "catalogue.csv").read_text()
    np.testing.assert_allclose(fits.getdata(tmp_path / "catalogue.fits", 1)[NAMES[0]], table[NAMES[0]])


def test_a_summary_has_own_widths(result):
    text = result.summary()
    assert "own widths without it: 1 resolved" in text
    assert "own0" in text
    assert str(result.table()["deconvolved_angle"][0])[:4] in text
    assert str(result.table()["angle"][0])[:4] not in text


def test_a_point_has_no_angle():
    heights = np.exp(-((Y - 15) ** 2 + (X - 20) ** 2) / 8) + 0.02 * np.random.default_rng(0).normal(size=Y.shape)
    table = sf.fit(heights, 1, beam=2.0, background=None).table()
    assert np.isinf(table["deconvolved_angle_error"]).all()
    assert np.isinf(table["deconvolved_fwhm_major_error"]).all()
    assert (table["deconvolved_limit_major"] > 0).all()
    points = sf.fit(heights, 1, beam=2.0, background=None, covariance_type="beam")
    assert points.table()["deconvolved_limit_major"].tolist() == [0.0]
    assert "own0" not in points.summary()


def test_the_command_line_has_the_beam_of_a_header(result, image, tmp_path, capsys):
    by_hand = tmp_path / "bare.fits"
    fits.PrimaryHDU(fits.getdata(image), fits.Header(CARDS)).writeto(by_hand)
    for path, beam in ((image, "map"), (by_hand, f"{MAJOR},{MINOR},{ANGLE}")):
        saved = tmp_path / f"{path.stem}.json"
        line = ["fit", str(path), "-k", "1", "--beam", beam, "--background", "none", "--sigma", "0.1", "-o", str(saved)]
        assert main(line) == 0
        assert "beam" in capsys.readouterr().out
        np.testing.assert_allclose(sf.load(saved).settings.beam, result.settings.beam, rtol=1e-9)
    points = ["fit", str(image), "-k", "1", "--beam", "map", "--covariance-type", "beam", "--sampling", "integrated"]
    assert main([*points, "-o", str(saved)]) == 0
    assert sf.load(saved).settings.sampling == "integrated"
    np.testing.assert_allclose(sf.load(saved).surface.covariances[0], result.settings.beam, rtol=1e-6)


def test_three_numbers_need_a_sky(tmp_path, capsys):
    np.save(tmp_path / "a.npy", convolved())
    assert main(["fit", str(tmp_path / "a.npy"), "-k", "1", "--beam", "0.01,0.01,0"]) == 2
    assert "`--beam` BMAJ,BMIN,BPA is in degrees on the sky" in capsys.readouterr().err
