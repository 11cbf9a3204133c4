"""Surfaces for other programs: sources that run, HILLS against PLUMED's own grid, pseudo-atoms and markers."""

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._fit.cli import main
from surfacefit._model.surface import are_covariances

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the data are elsewhere")

PLANE = sf.PlaneBackground(0.5, np.array([0.25, -3.0]), np.array([1.0, 2.0]))
SURFACES = {
    "1-D": sf.GaussianSurface([2.0, -1.5], [[-3.0], [4.5]], [[[4.0]], [[0.3]]], 1.25),
    "2-D": sf.GaussianSurface([3.0, 2e-7], [[7.0, -9.0], [16.0, 21.0]], [[[4, 2], [2, 9]], [[5, 0], [0, 3]]], PLANE),
    "3-D": sf.GaussianSurface([1.5], [[1.0, 2.0, 3.0]], [[[4, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 2]]]),
    "none": sf.GaussianSurface(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2)), 7.0),
}


def places(surface):
    return np.random.default_rng(0).uniform(-10, 22, (200, surface.n_dim))


@pytest.mark.parametrize("name", SURFACES)
def test_source_of_numpy(name):
    surface, module = SURFACES[name], {}
    exec(surface.to_source("numpy"), module)
    x = places(surface)
    np.testing.assert_allclose(module["surface"](x), surface(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(module["surface"](x[0]), surface(x[0]), rtol=1e-13, atol=1e-13)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("name", SURFACES)
def test_source_of_c(name, tmp_path):
    import ctypes

    surface = SURFACES[name]
    surface.export(tmp_path / "model.c")
    command = ["gcc", "-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "model.c", "-o", "model.so", "-lm"], cwd=tmp_path, check=True)
    function = ctypes.CDLL(str(tmp_path / "model.so")).surface
    function.restype = ctypes.c_double
    x = places(surface)
    heights = [function((ctypes.c_double * surface.n_dim)(*point)) for point in x]
    np.testing.assert_allclose(heights, surface(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SURFACES)
def test_source_of_latex(name):
    """Every line is drawn by matplotlib, and the formula, read as Python, has the heights of the surface."""
    from matplotlib.mathtext import MathTextParser

    surface = SURFACES[name]
    text = surface.to_source("latex")
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == (r"\begin{aligned}", r"\end{aligned}")
    parser = MathTextParser("path")
    body = [line.removesuffix(r"\\").replace("&", "") for line in lines[1:-1]]
    for line in body:
        parser.parse(f"${line}$")
    formula = " ".join(body).partition("={}")[2]
    for pattern, by in (
        (r"\\frac\{1\}\{2\}", "0.5"),
        (r"\\times 10\^\{(-?\d+)\}", r"*10.0**\1"),
        (r"\\(left|right)", ""),
        (r"\[", "("),
        (r"\]", ")"),
        (r"\\exp", "np.exp"),
        (r"\^2", "**2"),
        (r"(?<=[\d)]) (?=np|\()", "*"),
    ):
        formula = re.sub(pattern, by, formula)
    x = places(surface)
    letters = dict(zip("zyx"[-surface.n_dim :], x.T, strict=True))
    found = eval(formula, {"np": np, **letters}) + np.zeros(len(x))
    np.testing.assert_allclose(found, surface(x), rtol=1e-3, atol=1e-5)


def test_names_of_axes_are_in_the_formula():
    text = SURFACES["2-D"].to_source("latex", ["a_b", "t"])
    assert text.splitlines()[1].startswith(r"  f(\mathrm{a\_b}, t) ={}&")


def test_a_background_function_has_no_source():
    background = sf.FunctionBackground(lambda p, x: p[0] * x[..., 0], np.array([1.0]))
    surface = sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]], background)
    with pytest.raises(ValueError, match=r"export surface\.component"):
        surface.to_source("c")


HILLS = sf.GaussianSurface([0.5, -2.0], [[1.0, 0.3], [-2.0, 3.0]], [[[0.2, 0.1], [0.1, 0.4]], [[0.3, 0], [0, 0.1]]])


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("free_energy", [True, False])
def test_hills_go_out_and_come_in(tmp_path, diagonal, free_energy):
    covariances = np.asarray(HILLS.covariances)
    surface = sf.GaussianSurface(
        np.asarray(HILLS.amplitudes), np.asarray(HILLS.centers), covariances * np.eye(2) if diagonal else covariances
    )
    surface.export(tmp_path / "HILLS", names=["psi", "phi"], free_energy=free_energy)
    lines = (tmp_path / "HILLS").read_text().splitlines()
    widths = "sigma_phi sigma_psi" if diagonal else "sigma_phi_phi sigma_psi_psi sigma_psi_phi"
    assert lines[0] == f"#! FIELDS time phi psi {widths} height biasf"
    assert lines[1] == f"#! SET multivariate {'false' if diagonal else 'true'}"
    first = dict(zip(lines[0].split()[2:], lines[3].split(), strict=True))
    assert (float(first["phi"]), float(first["psi"])) == (0.3, 1.0)
    assert float(first["height"]) == (-0.5 if free_energy else 0.5)
    if not diagonal:  # the lower Cholesky factor of the covariance in the order phi, psi
        factor = np.linalg.cholesky(covariances[0][::-1, ::-1])
        assert float(first["sigma_psi_phi"]) == factor[1, 0]
        assert float(first["sigma_psi_psi"]) == factor[1, 1]
    read = sf.GaussianSurface.from_hills(tmp_path / "HILLS", free_energy=free_energy)
    for name in ("amplitudes", "centers"):
        np.testing.assert_array_equal(getattr(read, name), getattr(surface, name))
    np.testing.assert_allclose(read.covariances, surface.covariances, rtol=1e-14, atol=1e-16)


def summed_by_plumed(path, axes):
    """The sum of hills as PLUMED takes it: over the nearest image, cut off at 6.25, stretched to end there at zero."""
    rows = np.array([line.split() for line in path.read_text().splitlines() if not line.startswith("#")], float)
    total = np.zeros((len(axes[1]), len(axes[0])))
    for _, phi, psi, sigma_phi, sigma_psi, height, _ in rows:
        offsets = np.meshgrid(axes[0] - phi, axes[1] - psi)
        u, v = ((one + np.pi) % (2 * np.pi) - np.pi for one in offsets)
        half = 0.5 * ((u / sigma_phi) ** 2 + (v / sigma_psi) ** 2)
        stretch = 1 / (1 - np.exp(-6.25))
        total += np.where(half < 6.25, height * stretch * (np.exp(-half) - np.exp(-6.25)), 0)
    return total


@needs_data
def test_hills_of_plumed_sum_to_its_own_grid(tmp_path):
    """Hills of alanine dipeptide, written as HILLS and read again. Summed by PLUMED's rule they are its grid to 1e-6;
    as a surface they are the plain sum, over all space and, with images, over the period.
    """
    known, grid = sf.GaussianSurface.from_table(_hills_of_plumed()), np.load(DATA / "metad_ala2_94_surface.npz")
    period = {"phi": (-np.pi, np.pi), "psi": (-np.pi, np.pi)}
    known.export(tmp_path / "HILLS", names=["psi", "phi"], periodic=period)
    axes = grid["x"], grid["y"]
    np.testing.assert_allclose(summed_by_plumed(tmp_path / "HILLS", axes), grid["plumed_minus_fes"], rtol=0, atol=1e-6)
    points = np.stack(np.meshgrid(axes[1], axes[0], indexing="ij"), axis=-1)
    plain = sf.GaussianSurface.from_hills(tmp_path / "HILLS", images=False)
    np.testing.assert_allclose(plain(points), grid["z"], rtol=0, atol=1e-12)
    periodic = sf.GaussianSurface.from_hills(tmp_path / "HILLS")
    np.testing.assert_allclose(periodic(points), grid["z_periodic"], rtol=0, atol=1e-12)
    # What PLUMED's own kernel differs by: less than one per cent of the highest place.
    assert np.abs(periodic(points) - grid["plumed_minus_fes"]).max() < 0.01 * grid["z_periodic"].max()


def _hills_of_plumed():
    return DATA / "metad_ala2_94_hills.csv"


def test_hills_of_plumed_as_it_writes_them(tmp_path):
    """A period by words, a header again after a restart, a well-tempered factor."""
    path = tmp_path / "HILLS"
    header = "#! FIELDS time phi sigma_phi height biasf\n#! SET multivariate false\n"
    header += "#! SET min_phi -pi\n#! SET max_phi pi\n"
    path.write_text(f"{header} 1 3.0 0.35 1.2 10\n{header} 2 -1.0 0.35 1.1 10\n")
    surface = sf.GaussianSurface.from_hills(path)
    np.testing.assert_allclose(np.sort(surface.centers[:, 0]), [3 - 2 * np.pi, -1, 3, 2 * np.pi - 1])
    assert float(surface([-3.1])) == pytest.approx(1.2 * np.exp(-0.5 * ((2 * np.pi - 6.1) / 0.35) ** 2), rel=1e-6)
    assert sf.GaussianSurface.from_hills(path, images=False).n_components == 2


BROKEN = [
    ("", "holds no hills"),
    ("#! FIELDS time phi sigma_phi height biasf\n", "holds no hills"),
    ("#! FIELDS time phi sigma_phi height biasf\n#! SET min_phi\n0 1 2 3 1\n", "SET NAME VALUE in line 2, got"),
    ("#! FIELDS time phi sigma_phi height biasf\n#! SET min_phi -pi\n0 1 2 3 1\n", "both min_phi and max_phi"),
    (
        "#! FIELDS time phi sigma_phi height biasf\n#! SET min_phi -py\n#! SET max_phi pi\n0 1 2 3 1\n",
        "numbers, or to pi, got '-py'",
    ),
    ("#! FIELDS time phi height\n1 2 3\n", "must have fields time, variables"),
    ("#! FIELDS time phi sigma_phi height biasf\n1 2 3\n", "5 columns in line 2, got 3"),
    ("#! FIELDS time phi sigma_phi height biasf\n1 2 x 4 5\n", "numbers alone in line 2"),
    ("#! FIELDS time phi sigma_phi height biasf\n1 2 0 4 5\n", "positive widths of phi"),
    ("#! FIELDS time p q sigma_p height biasf\n1 2 0 1 4 5\n", "positive widths of q"),
    ("#! FIELDS time phi sigma_phi height biasf\n#! SET kerneltype triangular\n1 2 1 4 5\n", "only Gaussians"),
    ("1 2 3\n", "must name its columns"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_files_that_hold_no_hills_are_refused(tmp_path, text, message):
    (tmp_path / "HILLS").write_text(text)
    with pytest.raises(ValueError, match=message):
        sf.GaussianSurface.from_hills(tmp_path / "HILLS")


def test_pseudo_atoms(tmp_path):
    surface = SURFACES["3-D"]
    surface.export(tmp_path / "model.pdb")
    lines = (tmp_path / "model.pdb").read_text().splitlines()
    (atom,) = (line for line in lines if line.startswith("HETATM"))
    assert [float(atom[i : i + 8]) for i in (30, 38, 46)] == [3, 2, 1]
    assert (float(atom[54:60]), float(atom[60:66])) == (1, pytest.approx(8 * np.pi**2 * 3, abs=0.01))
    (entries,) = (line for line in lines if line.startswith("ANISOU"))
    matrix = [int(entries[i : i + 7]) for i in range(28, 70, 7)]
    assert matrix == [20000, 30000, 40000, 2000, 5000, 10000]
    assert all(len(line) <= 80 for line in lines)
    with pytest.raises(ValueError, match=r"write \.cmm"):
        sf.GaussianSurface([1.0], [[0.0, 0.0, 1e5]], [np.eye(3)]).export(tmp_path / "far.pdb")


def test_markers(tmp_path):
    surface = SURFACES["3-D"]
    surface.export(tmp_path / "model.cmm")
    root = ElementTree.parse(tmp_path / "model.cmm").getroot()
    (marker,) = root
    assert (root.tag, marker.tag, [float(marker.get(axis)) for axis in "xyz"]) == ("marker_set", "marker", [3, 2, 1])
    assert float(marker.get("radius")) == pytest.approx(np.linalg.det(surface.covariances[0]) ** (1 / 6), rel=1e-5)
    assert marker.get("note") == "amplitude 1.5"


REFUSED = [
    ("2-D", "a.pdb", {}, "components in 3-D"),
    ("2-D", "a.cmm", {}, "components in 3-D"),
    ("2-D", "a.doc", {}, r"must end in \.py, \.c, \.tex"),
    ("2-D", "a.c", {"free_energy": True}, "are of HILLS"),
    ("2-D", "HILLS", {"periodic": {"phi": (0, 1)}}, "must name axes among y, x"),
    ("2-D", "HILLS", {"names": ["one"]}, "2 different words"),
    ("2-D", "HILLS", {"names": ["a b", "c"]}, "2 different words"),
]


@pytest.mark.parametrize(("name", "path", "options", "message"), REFUSED)
def test_exports_that_cannot_be_are_refused(tmp_path, name, path, options, message):
    with pytest.raises(ValueError, match=message):
        SURFACES[name].export(tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_the_command_line_exports(tmp_path, capsys):
    x = np.linspace(-4, 4, 81)
    result = sf.fit(sf.Map(2 * np.exp(-0.5 * x**2), coords=(x,)), 1, background=None, init="peaks")
    result.save(tmp_path / "fit.json")
    fit = str(tmp_path / "fit.json")
    for name in ("model.py", "model.c", "model.tex", "HILLS"):
        assert main(["export", fit, "-o", str(tmp_path / name)]) == 0
        assert f"saved 1 component to {tmp_path / name}" in capsys.readouterr().out
    assert main(["export", fit, "-o", str(tmp_path / "a.hills"), "--free-energy", "--periodic", "x=-4:4"]) == 0
    read = sf.GaussianSurface.from_hills(tmp_path / "a.hills", free_energy=True, images=False)
    np.testing.assert_array_equal(read.amplitudes, result.surface.amplitudes)
    assert "#! SET max_x 4.0" in (tmp_path / "a.hills").read_text()
    assert are_covariances(np.asarray(read.covariances)).all()
    capsys.readouterr()
    for arguments, message in (
        (["-o", str(tmp_path / "a.doc")], "must end in .py or"),
        (["-o", str(tmp_path / "HILLS"), "--periodic", "x"], "must be name=low:high"),
        (["-o", str(tmp_path / "a.pdb")], "components in 3-D"),
    ):
        assert main(["export", fit, *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("width", [0.05, 0.3])
def test_hills_of_a_surface_with_periods_know_them(width, tmp_path):
    """In the period about zero, as those of angles, with all images that reach it."""
    surface = sf.GaussianSurface([2.0], [[0.9, 0.3]], [np.diag([width**2, 0.04])], periods=(1.0, None))
    surface.export(tmp_path / "HILLS", names=["psi", "phi"])
    again = sf.GaussianSurface.from_hills(tmp_path / "HILLS")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    np.testing.assert_allclose(again(points), surface(points), atol=1e-12)
    with pytest.raises(ValueError, match="must be the surface's period of psi, 1"):
        surface.export(tmp_path / "HILLS", names=["psi", "phi"], periodic={"psi": (0, 2)})
