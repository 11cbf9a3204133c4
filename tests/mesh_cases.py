"""What tests/test_mesh.py runs in processes of its own, with four devices or as one of two: a line of JSON.

python tests/mesh_cases.py NAME [...]
"""

import json
import sys

import numpy as np

import surfacefit as sf

SIDE, ACROSS = 32, 3
STEPS = sf.LevenbergMarquardt(max_steps=20, slack=0, ftol=0, xtol=0, gtol=0, distance=np.inf)


def terrain(noise=0.01):
    """Heights on a lattice of hills, and a start beside them."""
    rng = np.random.default_rng(7)
    axis = (np.arange(ACROSS) + 0.5) * SIDE / ACROSS
    centers = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) + rng.uniform(-1, 1, (ACROSS**2, 2))
    amplitudes, widths = rng.uniform(1, 2, len(centers)), rng.uniform(2.0, 3.0, (len(centers), 2))
    covariances = np.stack([np.diag(w**2) for w in widths])
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    there = sf.GaussianSurface(amplitudes, centers, covariances, 0.3)
    heights = there(np.stack([y.ravel(), x.ravel()], axis=1)).reshape(SIDE, SIDE) + noise * rng.normal(
        size=(SIDE, SIDE)
    )
    start = sf.GaussianSurface(
        1.1 * amplitudes, centers + rng.uniform(-0.3, 0.3, centers.shape), 1.15 * covariances, 0.25
    )
    return heights, start


def options(name):
    """Options of `fit` beside the engine."""
    rng = np.random.default_rng(8)
    mask = rng.uniform(size=(SIDE, SIDE)) < 0.1
    sigma = rng.uniform(0.5, 2.0, (SIDE, SIDE))
    return {
        "plain": {},
        "mask": {"mask": mask},
        "sigma": {"sigma": sigma, "mask": mask},
        "plane": {"background": "plane", "sigma": sigma},
        "none": {"background": None, "mask": mask},
        "huber": {"loss": "huber", "f_scale": 0.02, "mask": mask},
        "cauchy": {"loss": "cauchy", "f_scale": 0.05, "background": "plane", "sigma": sigma},
    }[name]


def fitted(engine, name, **more):
    heights, start = terrain()
    return sf.fit(heights, ACROSS**2, init=start, solver=STEPS, engine=engine, reset=False, **options(name), **more)


def engine_of(kind, devices):
    return sf.Dense(devices=devices) if kind == "dense" else sf.Tiled(devices=devices, tile_size=64)


def fits(kind, name, devices="4"):
    """Steps and costs with one device and with several."""
    found = [fitted(engine_of(kind, count), name) for count in (None, int(devices))]
    return [[one.steps, one.cost, one.history["cost"].tolist()] for one in found]


CASES = {"fits": fits}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(CASES[name](*arguments)))
