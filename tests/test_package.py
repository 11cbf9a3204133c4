"""The package as others get it: what an import loads, what a wheel holds, how it is cited."""

import subprocess
import sys
from pathlib import Path

import yaml

import surfacefit as sf

ROOT = Path(__file__).parents[1]
# What a user may not have, or does not want to wait for.
OPTIONAL = "astropy dask h5py IPython matplotlib mrcfile pandas polars rasterio sklearn tifffile torch xarray zarr"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_import_loads_neither_jax_nor_an_optional_package():
    found = f"import sys, surfacefit; print({{'jax', 'numpy', *'{OPTIONAL}'.split()}} & set(sys.modules))"
    assert run(found) == "set()"


def test_every_name_comes_without_an_optional_package():
    code = "import sys, surfacefit as sf; [getattr(sf, name) for name in sf.__all__]; "
    assert run(code + f"print(set('{OPTIONAL}'.split()) & set(sys.modules))") == "set()"


def test_the_package_is_typed():
    assert (Path(sf.__file__).parent / "py.typed").exists()


def test_the_citation_is_of_this_version():
    entry = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= entry.keys()
    assert (entry["cff-version"], entry["version"], entry["license"]) == ("1.2.0", sf.__version__, "BSD-3-Clause")
    assert [author["name"] for author in entry["authors"]] == ["surfacefit developers"]
