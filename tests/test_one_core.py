"""Fits in a process that has one core, where XLA compiles another way than with two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    "search": [{"search": 1.0}],
}


def run(cases):
    """Fits on the first of this process's cores; raises where one does not fit or has no errors."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import numpy as np

    import surfacefit as sf

    rows, columns = np.mgrid[:24, :30]
    heights = 1 + np.exp(-0.5 * ((rows - 9) ** 2 + (columns - 12) ** 2) / 9)
    heights = heights + 0.01 * np.random.default_rng(0).normal(size=rows.shape)
    objects = {"mask": heights > 1.9, "bounds": sf.Bounds(widths=(1, 9)), "prior": sf.SurfacePrior(scale=9.0)}
    for case in cases:
        options = {name: objects[name] if value is ... else value for name, value in case.items()}
        result = sf.fit(heights, 2, **{"progress": False, "search": 0, **options})
        errors = result.uncertainty()
        assert result.rmse < 0.5, (case, result.rmse)
        assert np.isfinite(errors.amplitudes).any(), case


def run_alone(*names):
    # Without the cache: it would hold what processes with more cores have compiled.
    without_cache = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, str(Path(__file__)), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=without_cache)
    assert done.returncode == 0, done.stderr[-2000:]


needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="the system does not let a process choose its cores"
)


@needs_affinity
def test_dense_fits_with_one_core():
    run_alone("dense")


@needs_affinity
@pytest.mark.slow
def test_all_other_fits_with_one_core():
    run_alone(*(name for name in CASES if name != "dense"))


if __name__ == "__main__":
    run([case for name in sys.argv[1:] for case in CASES[name]])
