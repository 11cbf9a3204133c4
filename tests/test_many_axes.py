"""Grids of many axes: what grows with a power of their number is left out."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._data.effective_size import noise_of
from surfacefit._data.noise import Grid


def test_the_noise_of_ten_axes_is_looked_at_without_a_million_lags(monkeypatch):
    monkeypatch.setattr(Grid, "autocovariance", lambda *_: pytest.fail("all lags were looked at"))
    residuals = np.random.default_rng(0).normal(size=1024)
    noise = noise_of(grid_data(np.zeros((2,) * 10)), residuals)
    assert noise.variance == pytest.approx(1, abs=0.1)
    assert 1 <= noise.volume < 3


@pytest.mark.slow
def test_a_hill_on_seven_axes_is_fitted():
    places = np.indices((2,) * 7)
    heights = 3 * np.exp(-0.5 * np.sum((places - 0.3) ** 2, axis=0))
    result = sf.fit(heights, 1, search=0, background=None, covariance_type="spherical")
    assert result.rmse < 1e-6 * heights.std()
