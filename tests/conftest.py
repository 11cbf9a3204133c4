"""Strict defaults for every test: no silent promotion of dtypes, no display, the data folder if it is there."""

import gc
import itertools
import os
from pathlib import Path

# Most of the suite's time is compiling; set XLA_FLAGS to nothing to test what users run, as .ci/run does.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
jax.config.update("jax_numpy_dtype_promotion", "strict")

DATA = Path(os.environ.get("SURFACEFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
TESTS, MAPPINGS = itertools.count(1), Path("/proc/self/maps")


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
    """Each compiled program takes mappings of memory, of which Linux gives a process 65,530; beyond, XLA crashes."""
    yield
    if next(TESTS) % 16 == 0 and MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
        gc.collect()


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
