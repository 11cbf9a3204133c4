"""Compiled programs do not fill a process: sizes are rounded up, and programs are dropped before mappings run out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.compile import plain_jit, rounded_up, stepped_up
from surfacefit._system import program_limits
from surfacefit._system.program_limits import ProgramCount, n_mappings

needs_mappings = pytest.mark.skipif(n_mappings() == 0, reason="this system does not tell its memory mappings")
SOLVER = ("jit(begin)", "jit(_recorded)")


def hills(shape, rng, n_nan=0):
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    heights = np.exp(-40 * ((y - 0.3) ** 2 + (x - 0.4) ** 2)) + 2 * np.exp(-30 * ((y - 0.7) ** 2 + (x - 0.6) ** 2))
    heights += 0.01 * rng.normal(size=shape)
    heights.flat[rng.permutation(heights.size)[:n_nan]] = np.nan
    return heights


def test_sizes_are_at_least_what_is_needed_and_not_much_more():
    counts = np.arange(1, 300_000, 7)
    sizes = np.array([rounded_up(int(count)) for count in counts])
    assert (sizes >= counts).all()
    assert (np.diff(sizes) >= 0).all()
    assert (sizes[counts > 8192] <= counts[counts > 8192] * (1 + 1 / 16)).all()
    assert len(np.unique(sizes[counts > 2**17])) <= 1 + 16 * np.log2(300_000 / 2**17)
    assert [stepped_up(count, 4) for count in (1, 2, 7, 8, 9, 17, 33)] == [1, 2, 7, 8, 10, 20, 40]


@pytest.mark.parametrize("engine", ["dense", "tiled"])
def test_a_map_compiles_once_whatever_points_it_misses(rng, compiled, engine):
    start = sf.GaussianSurface([1.0, 1.0], [[30.0, 40.0], [70.0, 60.0]], [100 * np.eye(2)] * 2)
    solver = sf.LevenbergMarquardt(max_steps=3)

    def fitted(n_nan):
        return sf.fit(hills((100, 100), rng, n_nan), 2, init=start, solver=solver, engine=engine)

    fitted(1)
    before = len(compiled)
    for n_nan in (2, 3, 50, 300):
        assert fitted(n_nan).data.n_nan == n_nan
    assert not [name for name in compiled[before:] if name in SOLVER]


@needs_mappings
def test_the_errors_of_new_functions_leave_nothing_behind(rng):
    errors = sf.fit(hills((20, 20), rng), 1, init="peaks").uncertainty()

    def mappings_after(n_calls):
        for _ in range(n_calls):
            errors.of(lambda surface: surface.amplitudes[0])
        return n_mappings()

    first = mappings_after(12)
    assert mappings_after(20) < first + 50


def test_jax_reports_what_it_compiles():
    before = program_limits.COUNT.compiled
    jax.jit(lambda x: x + 1)(np.zeros(before % 7 + 2))
    assert program_limits.COUNT.compiled == before + 1


@needs_mappings
def test_own_programs_are_dropped_and_come_back(monkeypatch):
    for name, value in {"PROGRAMS_A_LOOK": 1, "LEAST_PROGRAMS": 1, "MOST_PROGRAMS": 8}.items():
        monkeypatch.setattr(program_limits, name, value)
    program = plain_jit(lambda x: jnp.linalg.norm(x))

    def largest_after(sizes):
        largest = 0
        for size in sizes:
            assert program(np.full(size, 3.0)) == pytest.approx(3 * np.sqrt(size), rel=1e-5)
            largest = max(largest, n_mappings())
        return largest

    first = largest_after(range(2, 12))
    assert largest_after(range(20, 50)) < first + 100


@pytest.mark.parametrize(
    ("n_compiled", "share", "dropped"),
    [(15, 1.0, False), (63, 1.0, False), (64, 0.4, False), (64, 0.6, True), (256, 0.0, True)],
)
def test_programs_are_dropped_where_they_are_many_or_mappings_run_out(monkeypatch, n_compiled, share, dropped):
    monkeypatch.setattr(program_limits, "most_mappings", lambda: 1000)
    monkeypatch.setattr(program_limits, "n_mappings", lambda: 1000 * share)
    monkeypatch.setattr(program_limits, "MOST_PROGRAMS", 256)
    count = ProgramCount()
    for _ in range(n_compiled):
        count.listen("/jax/core/compile/backend_compile_duration", 0.1)
        count.listen("/jax/core/compile/jaxpr_trace_duration", 0.1)
    assert count.time_to_drop() == dropped
    assert not count.time_to_drop()
    assert count.compiled == (0 if dropped else n_compiled)
