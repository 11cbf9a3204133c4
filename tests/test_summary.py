"""Tables of components: numbers with their errors, as many digits as these call for, within the width of a summary."""

from functools import cache

import numpy as np
import pytest
from test_uncertainty import at

import surfacefit as sf
from surfacefit._base.layout import SUMMARY_COLUMNS, error, positions
from surfacefit._data.data import grid_data


@cache
def truth_fitted(n_dim):
    return fitted(n_dim)


def fitted(n_dim, shift=0.0, step=1.0, **options):
    """Two components on a grid from ``shift`` in steps of ``step``, fitted from the truth."""
    axes = [shift + step * np.arange((40, 20, 10)[n_dim - 1]) for _ in range(n_dim)]
    centers = shift + step * np.array([[3.0, 4.0, 4.5], [7.0, 6.0, 5.0]])[:, :n_dim]
    truth = sf.GaussianSurface(
        [3.0, 2.0], centers, np.tile(step**2 * np.diag([2.5, 2.0, 1.5])[:n_dim, :n_dim], (2, 1, 1)), 0.5
    )
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    heights = truth(points) + 0.05 * np.random.default_rng(0).normal(size=points.shape[:-1])
    return sf.fit(heights, 2, coords=axes, init=truth, **options)


def table(result):
    """Cells of the table in a summary, row by row."""
    return [line.split() for line in result.summary().split("-" * SUMMARY_COLUMNS)[1].splitlines()[1:-1]]


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_a_row_of_errors_stands_under_each_row_of_numbers(n_dim):
    result = truth_fitted(n_dim)
    header, *rows = table(result)
    errors = result.uncertainty()
    expected = np.column_stack([errors.amplitudes, errors.centers, errors.principal_widths])
    assert header[1 : 2 + 2 * n_dim] == [
        "amplitude",
        *(f"center{i}" for i in range(n_dim)),
        *(f"width{i}" for i in range(n_dim)),
    ]
    assert [row[0] for row in rows] == ["0", "±", "1", "±"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1::2]], float), expected, rtol=0.05)
    np.testing.assert_allclose(
        np.array([row[3 : 3 + n_dim] for row in rows[::2]], float), result.surface.centers, atol=0.01
    )


@pytest.mark.parametrize("n_dim", [1, 2, 3])
@pytest.mark.parametrize(("shift", "step"), [(0.0, 1.0), (-4783612.0, 25.0), (1.7e9, 10.0), (0.0, 1e-7)])
def test_summaries_keep_to_their_width(n_dim, shift, step):
    points = [shift + step * np.arange((40, 20, 10)[n_dim - 1]) for _ in range(n_dim)]
    covariance = step**2 * np.diag([2.5, 2.0, 1.5])[:n_dim, :n_dim]
    surface = sf.GaussianSurface(np.array([0.00012345]), np.array([[axis[5] for axis in points]]), covariance[None])
    heights = surface(np.stack(np.meshgrid(*points, indexing="ij"), axis=-1))
    result = at(surface, grid_data(heights + 1e-6 * np.random.default_rng(0).normal(size=heights.shape), points))
    assert max(map(len, result.summary().splitlines())) <= SUMMARY_COLUMNS


def test_centres_at_large_coordinates_differ():
    _, first, errors, second, _ = table(fitted(1, 1.7e9, 10.0))
    assert float(second[3]) - float(first[3]) == pytest.approx(40, abs=1)
    assert len(first[3].split(".")[1]) == len(errors[2].split(".")[1])


def test_what_has_no_error_says_why():
    result = fitted(2, fixed={"centers": [True, False]}, bounds=sf.Bounds(amplitudes=([0, 0], [9, 1.5])))
    _, _, first, _, second, *_ = table(result)
    assert first[2:4] == ["fixed", "fixed"]
    assert first[1] != "-"
    assert second[1] == "-"
    assert "fixed" not in second


def test_large_fits_are_summed_up_without_errors(monkeypatch):
    result = truth_fitted(1)
    monkeypatch.setattr("surfacefit._results.report.MAX_SHOWN_PARAMETERS", 5)
    assert [row[0] for row in table(result)[1:]] == ["0", "1"]


def test_means_of_mixtures_at_large_coordinates_differ():
    points = np.random.default_rng(0).normal(size=(200, 1)) + np.repeat([4783612.0, 4783652.0], 100)[:, None]
    rows = [line.split() for line in sf.fit_mixture(points, 2, seed=0).summary().splitlines()[-3:-1]]
    assert abs(float(rows[0][2]) - float(rows[1][2])) == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.012"), (0.0999, "0.10"), (120.4, "120"), (1234.0, "1200"), (0.0, "0"), (1e-9, "1e-09"), (np.inf, "-")],
)
def test_errors_have_two_digits(value, text):
    assert error(value) == text


@pytest.mark.parametrize(
    ("values", "units", "text"),
    [
        ([1.23456, -0.00001], [0.02, 0.4], ["1.235", "0.000"]),
        ([1700003612.4], [10.0], ["1700003612"]),
        ([2.5], [0.0], ["2.50000000"]),
        ([1.23456789e-10], [1e-12], ["1.23457e-10"]),
        ([2.5, 3.0], [np.inf, 0.3], ["2.50", "3.00"]),
    ],
)
def test_positions_have_the_decimals_of_their_unit(values, units, text):
    assert positions(values, units) == text


def test_pits_under_components_that_only_add_are_named(rng):
    y, x = np.mgrid[:24, :26]
    pit = 3 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 13) ** 2) / 9)
    noise = 0.02 * rng.normal(size=pit.shape)
    assert "amplitudes='signed'" in sf.fit(5 - pit + noise, 1, search=0).message
    assert "signed" not in sf.fit(5 - pit + noise, 1, amplitudes="signed", search=0).message
    for heights in (5 + pit + noise, noise, np.full_like(noise, 3.0)):
        assert "signed" not in sf.fit(heights, 1, search=0).message
