"""Fronts of nested dissection against NumPy's whole matrices, and the cuts between rows of tiles."""

import itertools

import numpy as np
import pytest

from surfacefit._linear.dissection import Elements, dissected
from surfacefit._linear.frontal_matrices import FrontalMatrix, eliminated, inverse

SIZES = [(0, 0), (3, 0), (0, 4), (5, 7)]


def triangle(whole, n):
    """What stands above the diagonal is spoilt."""
    lower = np.tril(whole) + np.triu(np.full_like(whole, 1e6), 1)
    return FrontalMatrix(lower[:n, :n].copy(), lower[n:, :n].copy(), lower[n:, n:].copy())


def whole(front):
    lower = np.block([[np.tril(front.own), np.zeros_like(front.across.T)], [front.across, np.tril(front.rest)]])
    return lower + np.tril(lower, -1).T


def positive(size, seed=0):
    root = np.random.default_rng(seed).normal(size=(size, size + 2))
    return root @ root.T


@pytest.mark.parametrize("places", [[0, 1, 2, 5, 6, 9], [4, 5], [3], [6, 8, 11], [], list(range(12))])
@pytest.mark.parametrize("n", [0, 5, 12])
def test_a_part_is_added_and_taken_where_it_stands(n, places):
    places, expected = np.array(places, int), positive(12)
    part, front = positive(len(places), 1), triangle(expected, n)
    np.testing.assert_array_equal(np.tril(front.taken(places)), np.tril(expected[np.ix_(places, places)]))
    front.add(np.tril(part), places)
    expected[np.ix_(places, places)] += part
    np.testing.assert_allclose(whole(front), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [0, 5, 9])
def test_blocks_are_whole_in_any_order(n):
    expected, places = positive(9), np.array([[4, 0, 8], [7, 5, 6]])
    np.testing.assert_array_equal(
        triangle(expected, n).blocks(places), expected[places[:, :, None], places[:, None, :]]
    )


@pytest.mark.parametrize(("n", "w"), SIZES)
def test_elimination_and_inverse(n, w):
    matrix = positive(n + w)
    factor, coupling, left = eliminated(triangle(matrix, n))
    np.testing.assert_allclose(np.tril(factor) @ np.tril(factor).T, matrix[:n, :n], atol=1e-10)
    outer = matrix[n:, :n] @ np.linalg.inv(matrix[:n, :n])
    np.testing.assert_allclose(coupling, outer, atol=1e-10)
    np.testing.assert_allclose(np.tril(left), np.tril(matrix[n:, n:] - outer @ matrix[:n, n:]), atol=1e-10)
    expected = np.linalg.inv(matrix)
    found = inverse(factor, coupling, np.tril(expected[n:, n:]) + np.triu(np.full((w, w), np.nan), 1))
    np.testing.assert_allclose(whole(FrontalMatrix(found.own, found.across, np.tril(found.rest))), expected, atol=1e-8)


def test_cuts_stand_between_rows_of_tiles():
    """A row more or less on one side, however few tiles it has, rather than a step."""
    places = list(itertools.product(range(6), range(7)))
    members = [np.array([i]) for i in range(42)]
    part, _ = dissected(Elements(members, lambda t: np.eye(1), np.array(places, float), np.zeros(42)), 21)
    for half in part.halves:
        rows, columns = (np.unique(np.array(places)[half.tiles, axis]) for axis in (0, 1))
        assert len(rows) * len(columns) == len(half.tiles)
