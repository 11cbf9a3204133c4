"""The workflows of the documentation run from the first line to the last."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SURFACEFIT_DATA", ROOT.parent / "shared" / "data"))
SCRIPTS = sorted((ROOT / "docs" / "workflows").glob("plot_*.py"))
WANTED = {"1": "error.tif EPSG:32760", "2": "sources", "3": "converged", "4": "500 waveforms", "5": "in HILLS: 0.01"}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_workflow_runs_and_says_what_it_found(script, tmp_path):
    for package in ("matplotlib", "rasterio", "astropy", "photutils", "mrcfile", "pandas"):
        if package in script.read_text(encoding="utf-8"):
            pytest.importorskip(package)
    missing = [
        n for n in re.findall(r'DATA / "([^"]+)"', script.read_text(encoding="utf-8")) if not (DATA / n).exists()
    ]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    settings = {"SURFACEFIT_DATA": str(DATA), "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    assert WANTED[script.stem.split("_")[1]] in done.stdout
