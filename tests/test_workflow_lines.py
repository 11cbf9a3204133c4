"""The benchmark of the workflows: lines between the marks, fresh processes, and judges that tell good from bad."""

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PIECE = """
import numpy as np  # an import
from math import (
    sqrt,
)

# a comment
table = [
    1,  # counted, with its comment

    2,
]
print(
    table,
)
for one in table:
    print(one)
    table.append(one)
"""


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return import_module("benchmarks.workflows.scripts")


def test_lines_leave_out_empty_ones_comments_imports_and_prints(scripts):
    assert scripts.lines_of_code(PIECE) == 6


def test_a_script_is_cut_at_its_marks(scripts):
    head, pieces = scripts.parts("a = 1\n# begin\nb = 2\n# end\nprint(b)\n# begin\nc = 3\n# end\n")
    assert (head, pieces) == ("a = 1", ["b = 2", "c = 3"])


@pytest.mark.parametrize("source", ["a = 1", "# begin", "# end\n# begin", "# begin\n# begin\n# end\n# end"])
def test_marks_that_are_no_pairs_are_refused(scripts, source):
    with pytest.raises(ValueError, match="marks must be pairs"):
        scripts.parts(source)


def test_a_script_runs_in_a_process_of_its_own(scripts, tmp_path):
    source = (
        "import os, sys, tempfile\nfrom pathlib import Path\n(Path(tempfile.mkdtemp()) / 'x').write_text(sys.argv[1])"
    )
    done = scripts.run(sys.executable, source, tmp_path, {"PYTHONPATH": ""})
    assert done.failure is None
    assert done.cpu > 0
    assert [path.read_text() for path in tmp_path.rglob("x")] == [str(tmp_path)]
    done = scripts.run(sys.executable, "raise ValueError('so it is')", tmp_path, {})
    assert done.failure == "ValueError: so it is"


def test_a_version_is_that_of_the_interpreter_or_none(scripts):
    assert scripts.version_of(sys.executable, "numpy") == np.__version__
    assert scripts.version_of(sys.executable, "no-such-package-anywhere") is None


@pytest.fixture
def quality(monkeypatch):
    for package in ("mrcfile", "pandas", "rasterio", "astropy"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(ROOT)
    found = import_module("benchmarks.workflows.quality")
    if not found.DATA_FOLDER.is_dir():
        pytest.skip("needs the folder of real surfaces")
    return found


def test_the_table_of_the_documentation_has_the_lines_of_the_scripts(scripts, quality):
    tasks = import_module("benchmarks.workflows.tasks")
    header = (ROOT / "docs" / "workflows" / "GALLERY_HEADER.rst").read_text(encoding="utf-8")
    told = [
        re.split(" {2,}", line)[1:3] for line in header.splitlines() if re.search(r" {2,}\d+ {2,}[\d.]+ {2,}", line)
    ]
    counted = []
    for task in tasks.TASKS:
        _, pieces = scripts.parts((tasks.OWN / task.script).read_text(encoding="utf-8"))
        counted.append(["surfacefit", str(sum(map(scripts.lines_of_code, task.own(pieces))))])
        if task.peer is not None:
            _, pieces = scripts.parts((tasks.THEIRS / task.peer.script).read_text(encoding="utf-8"))
            counted.append([task.peer.name, str(sum(map(scripts.lines_of_code, pieces)))])
    assert told == counted


def test_the_judge_of_molecules_counts_what_is_missed_and_invented(quality, tmp_path):
    import pandas as pd

    table = pd.read_csv(quality.DATA_FOLDER / "smlm_picasso_locs.csv")
    table[["x", "y"]] *= quality.PIXEL
    table["x_error"] = 1.0
    table.to_csv(tmp_path / "molecules.csv")
    assert quality.microscopy(tmp_path).startswith("30 of 30 listed, 0.0000 pixels from it, 0 more")
    table.loc[3, "x"] += 1.5 * quality.PIXEL
    table.loc[5:, "y"] += 0.1 * quality.PIXEL
    table.drop(index=7).to_csv(tmp_path / "molecules.csv")
    assert quality.microscopy(tmp_path).startswith("28 of 30 listed, 0.0926 pixels from it, 1 more")


def test_the_judge_of_sources_goes_by_the_sky(quality, tmp_path):
    from astropy.io import fits
    from astropy.table import Table
    from astropy.wcs import WCS

    kind = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 188.0, "CRVAL2": 12.4, "CRPIX1": 26, "CRPIX2": 26}
    header = fits.Header({**kind, "CDELT1": -2 / 3600, "CDELT2": 2 / 3600, "CUNIT1": "deg", "CUNIT2": "deg"})
    fits.writeto(tmp_path / "field.fits", np.zeros((50, 50)), header)
    listed = np.genfromtxt(quality.DATA_FOLDER / "radio_pybdsf_gaussians48.csv", delimiter=",", names=True)
    with np.load(quality.DATA_FOLDER / "radio_pybdsf_129.npz") as members:
        row, column = np.unravel_index(np.argmax(members["z"]), members["z"].shape)
    brightest = listed[np.argmax(listed["peak"])]
    assert np.hypot(brightest["x"] - column, brightest["y"] - row) < 1
    columns, rows = listed["x"] - quality.RADIO_CORNER, listed["y"] - quality.RADIO_CORNER
    i = np.argmax((columns > 10) & (columns < 40) & (rows > 10) & (rows < 40))  # found twice
    ra, dec = WCS(header).pixel_to_world_values([*columns, 40, columns[i] + 0.5], [*rows, 5, rows[i]])
    ones = np.ones(len(ra))
    table = Table({"RA": ra, "DEC": dec, "E_RA": ones, "Total_flux": ones, "E_Total_flux": 0 * ones})
    table.write(tmp_path / "catalogue.fits")
    assert (
        quality.radio(tmp_path)
        == "6 of 6 listed, 0.0000 pixels from it, 44 more; errors of the position yes, of the flux no"
    )


def test_waveforms_are_compared_one_by_one(quality, tmp_path):
    import pandas as pd

    columns = {"map_0": [0, 1], "amplitude": [374.0, 419.0], "center_0": [5.34, 5.32], "width_0": [1.61, 1.38]}
    for name, change in (("one", 0.0), ("two", 100.0)):
        (tmp_path / name).mkdir()
        table = pd.DataFrame(columns)
        table.loc[1, "amplitude"] += change
        table.to_csv(tmp_path / name / "echoes.csv")
    said = quality.compared(tmp_path / "one", tmp_path / "two")
    assert "lower in 1, equal in 499 and higher in 0 of 500" in said
