"""Strict defaults for every test: no silent promotion of dtypes, no display, the data folder if it is there."""

import os
from importlib.metadata import version
from pathlib import Path

# Most of the suite's time is compiling; set XLA_FLAGS to nothing to test what users run, as .ci/run does for the core.
# XLA ends the process at a flag that it does not know; JAX 0.12 knows the last one no longer.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith(("0.10.", "0.11.")) else ""),
)

import jax
import matplotlib
import numpy as np
import pytest
from mappings import do_not_run_out

matplotlib.use("Agg")
jax.config.update("jax_numpy_dtype_promotion", "strict")

DATA = Path(os.environ.get("SURFACEFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser):
    parser.addoption("--x64", action="store_true", help="run with JAX's global 64-bit precision on")


def pytest_configure(config):
    jax.config.update("jax_enable_x64", config.getoption("--x64"))


@pytest.fixture(autouse=True)
def global_precision_stays():
    """No call may change JAX's global precision."""
    before = jax.config.jax_enable_x64
    yield
    assert jax.config.jax_enable_x64 == before


@pytest.fixture(autouse=True)
def mappings_do_not_run_out():
    yield
    do_not_run_out()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def real():
    """Reads a real surface, or skips where the folder is missing."""

    def read(name):
        if not DATA.is_dir():
            pytest.skip(f"no folder {DATA}")
        return np.load(DATA / name) if name.endswith(".npz") else DATA / name

    return read
