"""Fits in a process that has one core, where XLA compiles another way than with two."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, surfacefit as sf
rows, columns = np.mgrid[:24, :30]
noise = 0.01 * np.random.default_rng(0).normal(size=rows.shape)
heights = 1 + np.exp(-0.5 * ((rows - 9) ** 2 + (columns - 12) ** 2) / 9) + noise
objects = {"mask": heights > 1.9, "bounds": sf.Bounds(widths=(1, 9)), "prior": sf.SurfacePrior(scale=9.0)}
for options in CASES:
    options = {"progress": False, "search": 0, **options}
    result = sf.fit(heights, 2, **{name: objects[name] if value is ... else value for name, value in options.items()})
    errors = result.uncertainty()
    assert result.rmse < 0.5, (options, result.rmse)
    assert np.isfinite(errors.amplitudes).any(), options
"""
CASES = {
    "dense": [{"background": None}, {}, {"background": "plane"}],
    "types": [{"covariance_type": kind} for kind in ("diag", "spherical", "tied")],
    "tiled": [{"engine": "tiled"}, {"engine": "tiled", "background": None, "covariance_type": "tied"}],
    "products": [{"engine": "tiled", "mask": ...}, {"solver": "superimposed"}, {"solver": "adam"}],
    "losses, bounds, priors": [
        {"loss": "cauchy", "f_scale": 0.02},
        {"bounds": ..., "background": None},
        {"prior": ..., "sigma": 0.01, "absolute_sigma": True},
    ],
    "choosing": [{"search": 1.0}],
}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not let a process choose its cores")
@pytest.mark.parametrize(
    "name", [name if name == "dense" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_fits_with_one_core(name):
    program = PROGRAM.replace("CASES", repr(CASES[name]).replace("Ellipsis", "..."))
    # else it would take what processes with more cores have compiled
    compiling = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=compiling)
    assert done.returncode == 0, done.stderr[-2000:]
