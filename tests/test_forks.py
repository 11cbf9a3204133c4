"""A process that is forked after a fit says at once that it cannot fit."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._system.forks import ForkState

HILL = np.exp(-0.5 * (np.arange(24.0) - 11) ** 2 / 9)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

WORKS = {
    "a fit": lambda: sf.fit(HILL, 1, search=0),
    "a mixture": lambda: sf.fit_mixture(np.arange(40.0).reshape(20, 2) % 7, 1),
    "a JAX function": lambda: sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]])(np.zeros((200, 1))) * 0 + fresh_program(),
}


def fresh_program():
    from surfacefit._base.compile import plain_jit

    return plain_jit(lambda x: x + 1)(1.0)


@needs_fork
@pytest.mark.parametrize("work", WORKS)
def test_a_fork_after_a_fit_is_refused(work):
    sf.fit(HILL, 1, search=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of every fork
        child = os.fork()
    if child == 0:
        try:
            WORKS[work]()
            os._exit(1)
        except RuntimeError as error:
            os._exit(0 if 'multiprocessing.get_context("spawn")' in str(error) else 2)
        except BaseException:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_copy_of_a_process_that_had_not_begun_may_begin():
    state = ForkState()
    state.after_fork()
    state.begin()
    state.after_fork()
    with pytest.raises(RuntimeError, match="spawn"):
        state.begin()


POOL = """
import multiprocessing, numpy, surfacefit as sf

def center(shift):
    hill = numpy.exp(-0.5 * (numpy.arange(24.0) - shift) ** 2 / 9)
    return round(float(sf.fit(hill, 1, background=None, search=0).surface.centers[0, 0]), 4)

if __name__ == "__main__":
    {before}
    with multiprocessing.get_context("{method}").Pool(1) as pool:
        print(pool.map(center, [11.0, 13.0]))
"""


@needs_fork
@pytest.mark.parametrize(("before", "method"), [("center(9.0)", "spawn"), ("pass", "fork")])
@pytest.mark.slow
def test_pools_that_work(tmp_path, before, method):
    (tmp_path / "pool.py").write_text(POOL.format(before=before, method=method))
    done = subprocess.run([sys.executable, str(tmp_path / "pool.py")], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[11.0, 13.0]", done.stderr[-2000:]
