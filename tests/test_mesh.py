"""One fit on several devices, in a fresh process that has four: the same results as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import surfacefit as sf

HERE = Path(__file__).parent
HILL = np.exp(-0.02 * np.add.outer((np.arange(12) - 5.0) ** 2, (np.arange(12) - 6.0) ** 2))


def run_cases(*arguments, **environment):
    """What `mesh_cases` prints, in a process with four devices."""
    done = subprocess.run(
        [sys.executable, str(HERE / "mesh_cases.py"), *arguments],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "sigma", "plane", "none", "huber", "cauchy"])
@pytest.mark.parametrize("kind", ["dense", "tiled"])
def test_four_devices_reach_the_cost_of_one(kind, name):
    (_, one, first), (_, four, other) = run_cases("fits", kind, name)
    assert four == pytest.approx(one, rel=1e-10)
    assert min(len(first), len(other)) > 4  # steps were taken
    np.testing.assert_allclose(other[:4], first[:4], rtol=1e-5)  # early J^T J in single precision


REFUSED = {
    "more devices than there are": (
        99,
        ValueError,
        r"`engine.devices` must be from 1 to \d+, .* got 99.*=99 before",
    ),
    "none": (0, ValueError, r"`engine.devices` must be from 1 to \d+, .* got 0"),
    "a word": ("every", ValueError, r"`engine.devices` must be 'all', a number, devices or a Mesh, got 'every'"),
    "an empty list": ([], ValueError, r"`engine.devices` must be one device or more, each once, got \[\]"),
    "a number that is none": (2.5, TypeError, r"`engine.devices` must be 'all', a number, a list .* got 2.5"),
}


@pytest.mark.parametrize("engine", [sf.Dense, sf.Tiled])
@pytest.mark.parametrize("case", REFUSED)
def test_devices_that_there_are_not_are_refused(case, engine):
    devices, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        sf.fit(HILL, 1, engine=engine(devices=devices))


def test_a_mesh_with_another_axis_is_refused():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("points",))
    with pytest.raises(ValueError, match=r"a mesh of one axis, named 'tiles', got axes \('points',\): use"):
        sf.fit(HILL, 1, engine=sf.Tiled(devices=mesh))
    with pytest.raises(ValueError, match=r"each once, got"):
        sf.fit(HILL, 1, engine=sf.Tiled(devices=[jax.devices()[0]] * 2))


def test_a_timeout_is_a_positive_number():
    with pytest.raises(ValueError, match=r"`engine.timeout` must be .*positive.*got 0"):
        sf.fit(HILL, 1, engine=sf.Dense(timeout=0))
