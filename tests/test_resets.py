"""Resets: what has collapsed is put where the residual is, kept only where that is lower, and never at the price of a
limit.
"""

import time

import numpy as np
import pytest

import surfacefit as sf
from surfacefit import Bounds, ComponentFlag, GaussianSurface, Status
from surfacefit._fit.resets import LEAST_FALL, most_worth

PEAKS = "surfacefit._search.residual_views.ResidualViews.blocks_at_peaks"
Y, X = np.mgrid[:24, :30].astype(float)
PLACES = np.stack([Y, X], axis=-1)
TRUTH = GaussianSurface([3.0, 2.0], [[7.0, 8.0], [16.0, 21.0]], [np.diag([9.0, 6.0]), np.diag([4.0, 8.0])], 0.5)
HEIGHTS = TRUTH(PLACES) + 0.01 * np.random.default_rng(0).normal(size=X.shape)


def with_second(amplitude, center, width):
    """The first hill as it is, and a component that will not get anywhere by itself."""
    return GaussianSurface([3.0, amplitude], [[7.0, 8.0], center], [np.diag([9.0, 6.0]), width**2 * np.eye(2)], 0.5)


COLLAPSED = {
    "nothing": with_second(1e-9, [2.0, 27.0], 2.0),
    "far outside": with_second(1.0, [300.0, -200.0], 3.0),
    "a spike": with_second(1e-9, [2.0, 27.0], 0.26),
}


def fitted(start=COLLAPSED["far outside"], **options):
    return sf.fit(HEIGHTS, 2, init=start, **{"reset": True, **options})


@pytest.mark.parametrize(
    "options",
    [{}, {"engine": "tiled"}, {"dtype": "float32"}, {"solver": sf.Adam(max_steps=300)}, {"covariance_type": "tied"}],
    ids=str,
)
@pytest.mark.parametrize("case", COLLAPSED)
def test_what_has_collapsed_goes_where_the_residual_is(case, options):
    left, result = fitted(COLLAPSED[case], reset=False, **options), fitted(COLLAPSED[case], **options)
    assert result.cost < 0.1 * left.cost
    assert left.resets.tolist() == [0, 0]
    assert result.resets.tolist() == [0, 1]
    np.testing.assert_allclose(result.surface.centers, TRUTH.centers, atol=0.2)
    np.testing.assert_allclose(result.history["cost"].min(), result.cost, rtol=1e-5)
    assert len(result.history["cost"]) == result.steps > left.steps


def test_a_start_of_the_users_own_is_let_be_unless_asked():
    assert sf.fit(HEIGHTS, 2, init=COLLAPSED["nothing"]).resets.sum() == 0


def test_the_order_is_that_of_the_result():
    start = COLLAPSED["nothing"]
    turned = GaussianSurface(*(np.asarray(a)[::-1] for a in (start.amplitudes, start.centers, start.covariances)), 0.5)
    low = sf.fit(
        HEIGHTS - 2 * GaussianSurface([1.0], [[7.0, 8.0]], [np.diag([9.0, 6.0])])(PLACES), 2, init=turned, reset=True
    )
    assert low.surface.centers[0] == pytest.approx([16, 21], abs=0.3)
    assert low.resets.tolist() == [1, 0]


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_flags_summary_and_files_say_so(suffix, tmp_path):
    result = fitted()
    assert result.flags.tolist() == [0, ComponentFlag.RESET]
    assert f"reset component 1: {sf.FLAGS[ComponentFlag.RESET].cause}" in " ".join(result.summary().split())
    result.save(tmp_path / f"fit.{suffix}")
    loaded = sf.load(tmp_path / f"fit.{suffix}")
    assert loaded.resets.tolist() == [0, 1]
    assert loaded.flags.tolist() == result.flags.tolist()
    assert "1 flagged" in {text.get_text() for panel in result.plot().axes for text in panel.texts}


def test_where_nothing_has_collapsed_nothing_is_done(monkeypatch):
    left = fitted(TRUTH, reset=False)
    monkeypatch.setattr(
        PEAKS,
        lambda *a: pytest.fail("peaks were looked for"),
    )
    result = fitted(TRUTH)
    np.testing.assert_array_equal(result.surface.amplitudes, left.surface.amplitudes)
    assert result.steps == left.steps


KEPT = {
    "a center held": {"fixed": {"centers": [True, False]}},
    "all amplitudes held": {"fixed": "amplitudes"},
    "limits of one": {"bounds": Bounds(amplitudes=(None, [9.0, 8.0]))},
    "no steps left": {"solver": sf.LevenbergMarquardt(max_steps=0)},
    "few steps": {"solver": sf.LevenbergMarquardt(max_steps=2, slack=0, ftol=0, gtol=0, xtol=0)},
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_held_or_out_of_steps_is_let_be(case, monkeypatch):
    monkeypatch.setattr(
        PEAKS,
        lambda *a: pytest.fail("peaks were looked for"),
    )
    assert fitted(**KEPT[case]).resets.tolist() == [0, 0]


def test_a_background_that_is_held_and_bounds_of_all_are_kept():
    start = with_second(1e-9, [2.0, 27.0], 2.0)
    result = fitted(start, fixed="background", bounds=Bounds(amplitudes=(None, 1.5), widths=(1, 2.5)))
    assert result.resets.sum() == 1
    assert float(result.surface.background.value) == pytest.approx(0.5, abs=1e-12)
    assert result.surface.amplitudes.max() <= 1.5 * (1 + 1e-9)
    assert result.surface.principal_widths.max() <= 2.5 * (1 + 1e-9)


def test_no_step_too_many():
    assert (
        fitted(solver=sf.LevenbergMarquardt(max_steps=fitted(reset=False).steps + 3)).steps
        == fitted(reset=False).steps + 3
    )


def test_what_ends_no_lower_is_not_kept(monkeypatch):
    left = fitted(reset=False)
    monkeypatch.setattr(
        PEAKS,
        lambda views, state, n: np.full((n, 6), -40.0),
    )
    result = fitted()
    np.testing.assert_array_equal(result.surface.centers, left.surface.centers)
    assert (result.status, result.resets.sum()) == (left.status, 0)
    assert result.steps > left.steps
    assert len(result.history["cost"]) == left.steps


def ctrl_c(progress):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("act", "status"), [(lambda progress: True, Status.STOPPED), (ctrl_c, Status.INTERRUPTED)])
def test_who_stops_it_gets_the_best_of_before_or_now(act, status):
    left, seen = fitted(reset=False), []

    def callback(progress):
        seen.append(progress)
        return act(progress) if progress.steps > left.steps else False

    result = fitted(callback=callback)
    assert result.status == status
    assert result.steps == seen[-1].steps
    assert result.cost == pytest.approx(min(progress.cost for progress in seen), rel=1e-9)
    assert (np.diff([progress.cost for progress in seen]) <= 0).all()
    assert (np.diff([progress.steps for progress in seen]) > 0).all()
    assert result.cost <= left.cost * (1 + 1e-12)
    assert (result.resets.sum() == 1) == (result.cost < (1 - LEAST_FALL) * left.cost)


def test_ctrl_c_while_peaks_are_looked_for(monkeypatch):
    left = fitted(reset=False)
    monkeypatch.setattr(PEAKS, lambda *a: ctrl_c(None))
    result = fitted()
    assert result.status == Status.INTERRUPTED
    assert result.cost == left.cost


def test_time_that_is_over_leaves_the_fit_as_it_ended(monkeypatch):
    left = fitted(reset=False)

    def last(progress):
        if progress.steps >= left.steps:
            monkeypatch.setattr(time, "perf_counter", lambda: 1e9)

    monkeypatch.setattr(
        PEAKS,
        lambda *a: pytest.fail("peaks were looked for"),
    )
    result = fitted(max_time=3600, callback=last)
    assert (result.resets.sum(), result.status) == (0, left.status)


def test_worth_at_most_is_what_a_sum_over_the_points_says():
    surface = GaussianSurface(
        [2.0, 1.5, 3.0],
        [[12.0, 15.0], [10.0, 20.0], [-3.0, 33.0]],
        [np.diag([2.0, 5.0]), [[3, 1], [1, 2]], [[9, -8], [-8, 12]]],
    )
    result = sf.fit(HEIGHTS, 3, init=surface, solver=sf.LevenbergMarquardt(max_steps=0))
    by_hand = [0.5 * np.sum(surface.component(k)(PLACES) ** 2) for k in range(3)]
    np.testing.assert_allclose(most_worth(surface, result.data), by_hand, rtol=1e-6)


def test_ctrl_c_while_worth_is_asked_for(monkeypatch):
    monkeypatch.setattr("surfacefit._fit.resets.most_worth", lambda *a: ctrl_c(None))
    result = fitted()
    assert result.status == Status.INTERRUPTED
    monkeypatch.undo()
    assert result.cost == pytest.approx(fitted(reset=False).cost)


def test_what_lies_under_heavy_points_is_worth_more():
    sigma = np.where(X > 15, 0.1, 1.0)
    data = sf.fit(HEIGHTS, 1, sigma=sigma, init="peaks", solver=sf.LevenbergMarquardt(max_steps=0)).data
    surface = GaussianSurface([1.0], [[12.0, 22.0]], [4 * np.eye(2)])
    points, unit = data.used_points, np.mean(data.weights**2)
    exact = 0.5 * np.sum(data.weights**2 / unit * surface(points) ** 2)
    assert most_worth(surface, data)[0] >= exact
