"""Strict defaults for every test: no silent promotion of dtypes, no display, the data folder if it is there."""

import gc
import os
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

# Most of the suite's time is compiling; set XLA_FLAGS to nothing to test what users run, as .ci/run does for the core.
# XLA ends the process at a flag that it does not know; JAX 0.11 no longer knows the last one.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""),
)

import jax
import matplotlib
import numpy as np
import pytest
from mappings import do_not_run_out

import surfacefit._base.compile as sizes
from surfacefit._problem import capacity
from surfacefit._system import program_limits

matplotlib.use("Agg")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# The processes that tests start import the same code, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(sizes.__file__).parents[2]), os.environ.get("PYTHONPATH")])
)

# A shell that starts tests in the background has Ctrl-C ignored, here and in the processes that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

OWN_SIZES = [
    (module, name, getattr(module, name))
    for module, names in [(sizes, ["SMALLEST_SIZE", "FINE_SIZES_FROM"]), (capacity, ["LEAST_STEP_OF_SIZES"])]
    for name in names
]
if "optimization_level=0" in os.environ["XLA_FLAGS"]:
    # Points: small maps of any shape then share one program, and the larger ones up to 8192 four. Components: fits of
    # one to four share one.
    sizes.SMALLEST_SIZE, sizes.FINE_SIZES_FROM, capacity.LEAST_STEP_OF_SIZES = 512, 8192, 4
# Tests compile hundreds of small operations of their own: the library's programs stay as long as mappings suffice.
program_limits.MOST_PROGRAMS = 2048

SLOW_CASES = {
    line
    for line in Path(__file__).with_name("slow_cases.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}

DATA = Path(os.environ.get("SURFACEFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser):
    parser.addoption("--x64", action="store_true", help="run with JAX's global 64-bit precision on")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Under `-n`: neighbouring tests, which share programs, go to one process; the two share what they compile."""
    if getattr(config.option, "numprocesses", None):
        if config.option.dist == "no":
            config.option.dist = "worksteal"
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process has a core, and threads that wait spin
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            config.compiled = tempfile.TemporaryDirectory(prefix="surfacefit-compiled-")
            os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compiled.name
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Marks the cases of `slow_cases.txt`; a name there that is no test is an error where all tests are collected."""
    names = {item.nodeid.removeprefix("tests/"): item for item in items}
    for name in SLOW_CASES & names.keys():
        names[name].add_marker(pytest.mark.slow)
    unknown = SLOW_CASES - names.keys()
    if unknown and config.args == config.getini("testpaths"):
        raise pytest.UsageError(f"tests/slow_cases.txt names no tests: {sorted(unknown)}")


def pytest_collection_finish():
    """Tracing makes so many objects that to look for garbage among all modules, again and again, takes a fifth of the
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def pytest_unconfigure(config):
    if hasattr(config, "compiled"):
        config.compiled.cleanup()


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


@pytest.fixture
def own_sizes(monkeypatch):
    """The sizes that users' fits are rounded up to."""
    for module, name, value in OWN_SIZES:
        monkeypatch.setattr(module, name, value)


class Clock:
    """A clock for `time.perf_counter` that moves by ``tick`` seconds at each look, on any machine alike."""

    def __init__(self):
        self.now, self.tick = 1000.0, 0.0

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """In the place of the computer's clock; it stands until the test sets its tick or its time."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    return clock


COMPILED = []


def _note(event, _, fun_name="", **__):
    if event.endswith("backend_compile_duration"):
        COMPILED.append(fun_name)


jax.monitoring.register_event_duration_secs_listener(_note)


@pytest.fixture
def compiled():
    """The names of the functions compiled so far, in order; also those that a cache on disk held."""
    return COMPILED


@pytest.fixture(scope="session")
def real():
    """Reads a real surface, or skips where the folder is missing."""

    def read(name):
        if not DATA.is_dir():
            pytest.skip(f"no folder {DATA}")
        return np.load(DATA / name) if name.endswith(".npz") else DATA / name

    return read
