"""A map larger than the memory that a fit may take: seconds, peak memory, and what two kills change.

    python -m benchmarks.out_of_core FOLDER                      # 16,384 x 16,384 points, 5,000 components: an hour
    python -m benchmarks.out_of_core FOLDER --size 2048 -k 200   # minutes

It writes the map into the folder, in blocks, and fits it from a tenth of a width away in a process of its own, once
unbroken and once killed twice by -9 and called again. Both ends must be equal to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

import surfacefit as sf

from .surfaces import RENDERED_WIDTHS, perturbed, random_components

# Rows that are rendered at once: 16,384 x 256 points are 34 MB in double precision.
ROWS = 256
# Standard deviation of the noise, beside heights of 0.5 to 2.
NOISE = 0.05
# Widths from which the fit starts, in all directions.
START_WIDTHS = 0.1
# Steps of a fit at most: from so near these win nearly all.
MOST_STEPS = 8
# Checkpoints that a process writes before it is killed, the first and the second.
KILLED_AFTER = (3, 3)


def write_map(path: Path, surface: sf.GaussianSurface, size: int) -> None:
    """Heights (size, size) in float32 with noise, block by block; every block has its own random numbers."""
    inverse = np.linalg.inv(surface.covariances)
    reach = RENDERED_WIDTHS * np.sqrt(np.diagonal(surface.covariances, axis1=1, axis2=2))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (size, size)})
        for first in range(0, size, ROWS):
            last = min(first + ROWS, size)
            block = NOISE * np.random.default_rng((2, first)).normal(size=(last - first, size))
            felt = (surface.centers[:, 0] + reach[:, 0] >= first) & (surface.centers[:, 0] - reach[:, 0] < last)
            for k in np.flatnonzero(felt):
                (cy, cx), (ry, rx) = surface.centers[k], reach[k]
                top, bottom = max(first, int(np.ceil(cy - ry))), min(last, int(cy + ry) + 1)
                left, right = max(0, int(np.ceil(cx - rx))), min(size, int(cx + rx) + 1)
                y, x = np.arange(top, bottom)[:, None] - cy, np.arange(left, right)[None] - cx
                form = inverse[k, 0, 0] * y * y + 2 * inverse[k, 0, 1] * y * x + inverse[k, 1, 1] * x * x
                block[top - first : bottom - first, left:right] += surface.amplitudes[k] * np.exp(-0.5 * form)
            block.astype("<f4").tofile(file)


def fit(path: Path, start: Path, checkpoint: Path, out: Path) -> None:
    """One fit in this process; its end and its peak memory go to ``out``."""
    begun, cpu = time.perf_counter(), time.process_time()
    with np.load(start) as arrays:
        surface = sf.GaussianSurface(arrays["amplitudes"], arrays["centers"], arrays["covariances"])
    result = sf.fit(
        np.load(path, mmap_mode="r"),
        surface.n_components,
        init=surface,
        solver=sf.LevenbergMarquardt(max_steps=MOST_STEPS),
        engine=sf.Streamed(checkpoint=checkpoint),
        callback=lambda progress: print(
            f"step {progress.steps}: rmse {progress.rmse:.6f}, {progress.elapsed:.0f} s,"
            f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.3f} GB",
            flush=True,
        ),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    told = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": peak,
        "steps": result.steps,
        "rmse": result.rmse,
        "status": result.status.name,
    }
    print(json.dumps(told), flush=True)
    np.savez(
        out,
        amplitudes=result.surface.amplitudes,
        centers=result.surface.centers,
        covariances=result.surface.covariances,
        background=result.surface.background.vector(),
        cost=result.history["cost"],
        told=np.array(json.dumps(told)),
    )


def _child(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.out_of_core", str(folder), "--only", name]
    return subprocess.Popen(command, env=os.environ)


def _fitted(folder: Path, name: str) -> None:
    code = _child(folder, name).wait()
    if code:
        raise SystemExit(f"the fit {name!r} ended with {code}")


def _killed(folder: Path, name: str, after: int) -> None:
    """A fit that is killed by -9 once its checkpoint was written so many times."""
    child, checkpoint, seen, written = _child(folder, name), folder / f"{name}.npz", 0.0, 0
    while child.poll() is None:
        time.sleep(0.05)
        stamp = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        written, seen = written + (stamp != seen), stamp
        if written >= after:
            time.sleep(1.0)  # into the pass after it
            child.send_signal(signal.SIGKILL)
            child.wait()
            print(f"killed after {written} checkpoints", flush=True)
            return
    raise SystemExit("the fit ended before it could be killed")


def main() -> None:
    """Write the map, fit it unbroken and killed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("-k", type=int, default=5000)
    parser.add_argument("--only", help="one fit alone, by its name")
    options = parser.parse_args()
    folder, size = options.folder, options.size
    path, start = folder / "map.npy", folder / "start.npz"
    if options.only:
        fit(path, start, folder / f"{options.only}.npz", folder / f"{options.only}_end.npz")
        return
    folder.mkdir(parents=True, exist_ok=True)
    truth = random_components(size, options.k)
    if not start.exists():
        write_map(path, truth, size)
        near = perturbed(truth, START_WIDTHS)
        np.savez(start, amplitudes=near.amplitudes, centers=near.centers, covariances=near.covariances)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"wrote {path}: {path.stat().st_size / 1e9:.3f} GB, peak memory {peak:.2f} GB", flush=True)
    for name in ("whole", "killed"):
        (folder / f"{name}.npz").unlink(missing_ok=True)
    _fitted(folder, "whole")
    for after in KILLED_AFTER:
        _killed(folder, "killed", after)
    _fitted(folder, "killed")
    with np.load(folder / "whole_end.npz") as one, np.load(folder / "killed_end.npz") as other:
        unlike = [name for name in one if name != "told" and not np.array_equal(one[name], other[name])]
        off = cKDTree(one["centers"]).query(truth.centers)[0]
    print("equal to the last bit" if not unlike else f"different: {', '.join(unlike)}")
    print(f"nearest centre to a true one: median {np.median(off):.4f}, largest {off.max():.3f} points")


if __name__ == "__main__":
    main()
