"""One BLAS thread for small factorisations, whichever thread asks first and whichever goes last."""

import contextlib
import linecache
import sys
import threading

import numpy as np
import pytest
import threadpoolctl

import surfacefit as sf
from surfacefit._base import threads
from surfacefit._base.threads import blas_limits_kept, single_threaded_blas, without_blas_limits
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._problem import prepared
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup


def blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_the_last_to_go_restores_in_any_thread():
    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def other():
        with single_threaded_blas(1):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with single_threaded_blas(1):
        thread.start()
        entered.wait()
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {1}
    leave.set()
    thread.join()
    assert blas_threads() == before


@pytest.mark.slow
def test_steps_by_conjugate_gradients_factorise_on_one_thread(monkeypatch):
    """Whatever the number of all parameters, here 18: what is factorised then are clusters."""
    if max(blas_threads()) == 1:
        pytest.skip("BLAS has one thread")
    monkeypatch.setattr(threads, "SINGLE_THREAD_BELOW", 12)
    monkeypatch.setattr(prepared, "DIRECT_SOLVE_PARAMETERS", 6)
    heights, found = np.random.default_rng(0).normal(size=(12, 12)), []
    options = {"init": "grid", "engine": "tiled", "reset": False, "solver": sf.LevenbergMarquardt(max_steps=1)}
    sf.fit(heights, 3, background=None, callback=lambda _: found.extend(blas_threads()), **options)
    assert set(found) == {1}


@pytest.mark.parametrize(
    ("engine", "count", "rows"), [(sf.Tiled(), 256, 1024), (sf.Tiled(), 20, 120), (sf.Dense(), 256, 1536)]
)
def test_rows_that_a_step_factorises(engine, count, rows):
    model, data = ModelSpec(n_components=count, background=None), grid_data(np.eye(60))
    setup = problem_setup(data, model, np.dtype(np.float32), EngineChoice(engine))
    assert prepared.factorised_rows(setup) == rows


def test_users_may_set_limits_afterwards():
    before, found = blas_threads(), []

    def limited():
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            found.extend(blas_threads())

    with single_threaded_blas(1):
        pass
    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert set(found) == {1}
    assert blas_threads() == before


def interrupted_at(number, work):
    """Whether work met a KeyboardInterrupt at its ``number``-th line in the module of BLAS limits.

    Lines that take the lock do not count: they are met again where it is let go, which no interrupt comes before.
    """
    lines = iter(range(number))

    def trace(frame, event, _):
        if frame.f_code.co_filename != threads.__file__:
            return None
        line = linecache.getline(threads.__file__, frame.f_lineno)
        if event == "line" and "with _LOCK" not in line and next(lines, None) is None:
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_a_lone_interrupt_at_any_line_leaves_no_limit():
    def work():
        with blas_limits_kept(), single_threaded_blas(1), single_threaded_blas(1):
            pass

    before, number = blas_threads(), 0
    while interrupted_at(number, work):
        assert blas_threads() == before, f"at line {number}"
        assert not threads._LIMITS.blocks, f"at line {number}"
        number += 1
    assert number > 20


def test_what_compiles_aside_sets_no_limit():
    before = blas_threads()

    def task():
        with single_threaded_blas(1):
            return blas_threads()

    assert without_blas_limits(task) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_ended_fit_leaves_no_limit_and_no_thread(error):
    """In the callback, while another thread compiles what the search needs."""
    y, x = np.mgrid[:20, :20]
    heights = np.exp(-((y - 6) ** 2 + (x - 8) ** 2) / 20) + np.exp(-((y - 14) ** 2 + (x - 12) ** 2) / 20)
    before, others = blas_threads(), set(threading.enumerate())

    def callback(progress):
        raise error

    with contextlib.suppress(error):
        sf.fit(heights, 6, callback=callback)
    assert blas_threads() == before
    left = [thread for thread in threading.enumerate() if thread not in others]
    for thread in left:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in left)
