"""Evaluation of many components at many points, each only where it is not zero, against loops over all of them."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import random_surface, surface_by_loops

import surfacefit as sf
from surfacefit._problem import evaluation
from surfacefit._problem.evaluation import tiled_heights


def narrow_surface(rng, n_dim, count=12):
    """Components of either sign, most of them zero at most points."""
    surface = sf.GaussianSurface(*random_surface(rng, count, n_dim))
    signs = np.where(np.arange(count) % 2, -1.0, 1.0)
    return replace(surface, amplitudes=surface.amplitudes * signs, covariances=surface.covariances * 0.01)


def by_loops(surface, points):
    return surface_by_loops(surface.amplitudes, surface.centers, surface.covariances, points)


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_heights_are_those_of_loops(rng, n_dim):
    surface, points = narrow_surface(rng, n_dim), rng.uniform(-1.5, 1.5, (600, n_dim))
    expected = by_loops(surface, points)
    found = tiled_heights(surface, points)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(surface.amplitudes).max())


def test_tiled_and_dense_evaluation_agree(rng):
    """`surface(points)` takes the dense way for so few points."""
    surface, points = narrow_surface(rng, 2, 40), rng.uniform(-2, 2, (700, 2))
    np.testing.assert_allclose(tiled_heights(surface, points), surface(points), rtol=0, atol=1e-13)


def test_parts_are_put_where_their_points_are(rng, monkeypatch):
    surface, points = narrow_surface(rng, 2), rng.uniform(-1, 1, (500, 2))
    whole = tiled_heights(surface, points)
    monkeypatch.setattr(evaluation, "POINTS_A_PART", 170)
    np.testing.assert_allclose(tiled_heights(surface, points), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("count", [1, 5, 257])
def test_any_number_of_points(rng, count):
    surface, points = narrow_surface(rng, 2), rng.uniform(-1, 1, (count, 2))
    np.testing.assert_allclose(tiled_heights(surface, points), by_loops(surface, points), rtol=0, atol=1e-13)


def test_far_points_and_zero_amplitudes_give_zero(rng):
    surface = narrow_surface(rng, 2)
    assert (tiled_heights(surface, np.full((3, 2), 50.0)) == 0).all()
    flat = replace(surface, amplitudes=np.zeros(12))
    assert (tiled_heights(flat, rng.uniform(-1, 1, (9, 2))) == 0).all()


def test_small_amplitudes_are_measured_by_the_largest(rng):
    """A surface 200 decades lower is as exact: what is left out is relative to the largest amplitude."""
    surface, points = narrow_surface(rng, 2), rng.uniform(-1, 1, (400, 2))
    low = replace(surface, amplitudes=1e-200 * surface.amplitudes)
    np.testing.assert_allclose(1e200 * tiled_heights(low, points), tiled_heights(surface, points), rtol=0, atol=1e-13)
