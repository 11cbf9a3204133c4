"""Several random starts: all end somewhere, the best is kept, and limits end them all."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit import Status
from surfacefit._starts import STARTS

RNG = np.random.default_rng(3)
Y, X = np.mgrid[:20, :24].astype(float)
MANY = sf.GaussianSurface(RNG.uniform(1, 5, 12), RNG.uniform(0, 20, (12, 2)), np.eye(2) * RNG.uniform(1, 9, (12, 1, 1)))
HEIGHTS = MANY(np.stack([Y, X], axis=-1)) + 0.05 * RNG.normal(size=X.shape)


def fitted(n=5, **options):
    options = {"reset": False, **options}
    return sf.fit(HEIGHTS, 5, init=sf.RandomStarts(n), **options)


def test_the_first_is_the_random_start_and_the_best_is_kept():
    single, result, again = sf.fit(HEIGHTS, 5, init="random", reset=False), fitted(), fitted()
    assert result.starts.shape == (5,)
    assert result.starts[0] == pytest.approx(single.cost, rel=1e-9)
    assert result.cost == pytest.approx(result.starts.min(), rel=1e-9)
    assert result.starts.argmin() != 0  # else the test could not tell the best from the first
    assert len(np.unique(result.starts)) > 2
    np.testing.assert_array_equal(again.starts, result.starts)
    assert result.cost == pytest.approx(0.5 * np.sum(result.residuals**2), rel=1e-9)
    assert result.history["cost"].min() == pytest.approx(result.cost, rel=1e-9)
    assert result.steps > len(result.history["cost"])
    assert not np.allclose(fitted(seed=1).starts, result.starts)


def test_no_start_compiles_anything_new():
    fitted(1)
    assert fitted(4).timings.compile == 0


def test_starts_of_points_and_of_other_solvers():
    points = np.column_stack([Y.ravel(), X.ravel()])
    result = sf.fit_points(
        points, HEIGHTS.ravel(), 3, init=sf.RandomStarts(2), solver=sf.Adam(max_steps=20), reset=False
    )
    assert result.steps == 40
    assert result.cost == pytest.approx(result.starts.min(), rel=1e-9)


def test_only_the_best_is_reset():
    assert fitted(reset=True).cost <= fitted().starts.min()


def test_summary_and_files_tell_of_all(tmp_path):
    result = fitted()
    near = np.count_nonzero(result.starts <= 1.01 * result.starts.min())
    assert "5 random ones ended at costs" in result.summary()
    assert f"{near} within 1 % of the lowest" in " ".join(result.summary().split())
    result.save(tmp_path / "fit.npz")
    loaded = sf.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(loaded.starts, result.starts)
    assert sf.fit(HEIGHTS, 5, init="random", reset=False).starts is None


def ctrl_c(progress):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("act", "status"), [(lambda progress: True, Status.STOPPED), (ctrl_c, Status.INTERRUPTED)])
@pytest.mark.parametrize("n_steps", [3, 10])
def test_who_stops_one_stops_them_all(act, status, n_steps):
    first, seen = fitted(1), []

    def callback(progress):
        seen.append(progress)
        return act(progress) if progress.steps > first.steps + n_steps else False

    result = fitted(callback=callback)
    assert result.status == status
    assert np.isfinite(result.starts).tolist() == [True, True, False, False, False]
    assert result.cost == pytest.approx(min(progress.cost for progress in seen), rel=1e-9)
    assert result.cost <= first.cost * (1 + 1e-12)
    assert result.steps == seen[-1].steps
    assert (np.diff([progress.cost for progress in seen]) <= 0).all()
    assert (np.diff([progress.steps for progress in seen]) > 0).all()


def test_ctrl_c_between_two_starts(monkeypatch):
    first, draw, drawn = fitted(1), STARTS["random"], []

    def interrupted(request):
        if drawn:
            raise KeyboardInterrupt
        return drawn.append(1) or draw(request)

    monkeypatch.setitem(STARTS, "random", interrupted)
    result = fitted()
    assert result.status == Status.INTERRUPTED
    assert result.cost == first.cost


def test_time_that_is_over_leaves_the_rest_untried(monkeypatch):
    first = fitted(1)

    def last(progress):
        if progress.steps >= first.steps:
            monkeypatch.setattr("time.perf_counter", lambda: 1e9)

    result = fitted(max_time=3600, callback=last)
    assert result.status == Status.MAX_TIME
    assert result.cost == first.cost
    assert np.isfinite(result.starts).sum() == 1
