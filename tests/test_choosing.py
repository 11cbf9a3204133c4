"""The number of components: found where it is known, by every criterion, and never lost at a limit."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._blocks_left_out import divided
from surfacefit._criteria import Deviance
from surfacefit._data import grid_data

NOISE = 0.01


def scene(shape, count, seed=0, noise=NOISE):
    """Bumps at least two widths apart, heights over a decade, and their centres."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij"), axis=-1)
    heights, centers, widths = np.zeros(shape), [], []
    while len(centers) < count:
        center, width = rng.uniform(4, np.array(shape) - 5), rng.uniform(1.5, 3)
        if all(np.linalg.norm(center - c) > 2 * max(width, w) for c, w in zip(centers, widths, strict=True)):
            centers.append(center)
            widths.append(width)
            heights += 10 ** rng.uniform(-1, 0) * np.exp(-0.5 * np.sum((grid - center) ** 2, axis=-1) / width**2)
    return heights + noise * heights.std() * rng.normal(size=shape), np.array(centers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "count"), [((90,), 1), ((120,), 4), ((44, 50), 1), ((44, 50), 6), pytest.param((16, 17, 18), 3, marks=pytest.mark.slow)]
)
def test_the_number_is_found(shape, count):
    heights, centers = scene(shape, count)
    result = sf.fit(heights)
    assert result.n_components == count
    distance = np.linalg.norm(result.surface.centers[None] - centers[:, None], axis=-1)
    assert distance.min(axis=1).max() < 0.3
    assert result.path.chosen == count
    assert result.path.criterion == "bic"


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"engine": "tiled"}, {"dtype": "float32"}, {"covariance_type": "spherical"}, {"amplitudes": "signed"}])
def test_the_number_is_found_under_any_option(options):
    heights, _ = scene((44, 50), 5)
    assert sf.fit(heights, "auto", background=None, **options).n_components == 5


@pytest.mark.slow
def test_scattered_and_masked_points():
    heights, _ = scene((44, 50), 4)
    points = np.argwhere(np.ones(heights.shape, bool)).astype(float)
    kept = np.random.default_rng(1).permutation(len(points))[:1500]
    assert sf.fit_points(points[kept], heights.ravel()[kept], background=None).n_components == 4
    spoiled = heights.copy()
    spoiled[::7, ::5] = np.nan
    assert sf.fit(spoiled, background=None).n_components == 4


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["bic", "aicc", pytest.param("held_out", marks=pytest.mark.slow)])
def test_criteria_agree_where_the_number_is_plain(criterion):
    heights, _ = scene((44, 50), 4)
    result = sf.fit(heights, sf.AutoComponents(criterion, block=3), background=None)
    assert 4 <= result.n_components <= (4 if criterion == "bic" else 12)
    values = getattr(result.path, criterion)
    assert values[result.path.n_components == result.n_components] == values.min()
    assert np.isfinite(result.path.held_out).all() == (criterion == "held_out")


@pytest.mark.slow
def test_targets_are_met_by_the_fewest():
    heights, _ = scene((44, 50), 6)
    result = sf.fit(heights, sf.AutoComponents("r2", target=0.95), background=None)
    assert result.r2 >= 0.95
    assert result.n_components < 6
    fewer = result.path.n_components < result.n_components
    assert (result.path.r2[fewer] < 0.95).all()
    rmse = 1.5 * NOISE * heights.std()
    assert sf.fit(heights, sf.AutoComponents("rmse", target=rmse), background=None).rmse <= rmse * (1 + 1e-9)


def test_what_is_said_of_a_number_is_right():
    """The formulas, from a plain sum of squares."""
    heights, _ = scene((44, 50), 3)
    result = sf.fit(heights, background=None)
    n, p, square = heights.size, 6 * 3, np.sum(result.residuals**2)
    here = result.path.n_components == 3
    assert result.path.bic[here] == pytest.approx(n * np.log(square / n) + p * np.log(n), rel=1e-6)
    assert result.path.aicc[here] == pytest.approx(n * np.log(square / n) + 2 * p + 2 * p * (p + 1) / (n - p - 1), rel=1e-6)
    assert result.path.rmse[here] == pytest.approx(result.rmse, rel=1e-4)
    sigma = NOISE * heights.std()
    known = sf.fit(heights, sigma=sigma, absolute_sigma=True, background=None)
    assert known.n_components == 3
    assert known.path.bic[known.path.n_components == 3] == pytest.approx(np.sum(known.residuals**2) / sigma**2 + p * np.log(n), rel=1e-3)


@pytest.mark.slow
def test_most_is_not_passed():
    heights, _ = scene((44, 50), 6)
    result = sf.fit(heights, sf.AutoComponents(most=3))
    assert result.n_components == 3
    assert result.path.n_components.max() == 3
    assert sf.fit(np.random.default_rng(0).normal(size=(5, 5)), background=None).n_components <= 2


def test_blocks_are_left_out_whole():
    data = grid_data(np.arange(400.0).reshape(20, 20))
    division = divided(data, 5, 0.25, 0)
    assert np.count_nonzero(division.left_out) == 100
    for block in division.left_out.reshape(4, 5, 4, 5).swapaxes(1, 2).reshape(16, 25):
        assert block.all() or not block.any()
    assert not (division.fitted.used & division.left_out).any()
    assert Deviance.of(division.fitted).n_points == 300


def test_limits_keep_what_was_found():
    heights, _ = scene((44, 50), 6)
    seen = []

    def stop(progress):
        seen.append(progress)
        return len(seen) == 3

    result = sf.fit(heights, background=None, callback=stop)
    assert result.status == sf.Status.STOPPED
    assert result.n_components == seen[-1].surface().n_components
    np.testing.assert_allclose(result.rmse, seen[-1].rmse, rtol=1e-6)

    def interrupt(progress):
        raise KeyboardInterrupt

    assert sf.fit(heights, background=None, callback=interrupt).status == sf.Status.INTERRUPTED
    early = sf.fit(heights, background=None, max_time=1e-6)
    assert early.status == sf.Status.MAX_TIME
    assert np.isfinite(early.rmse)


@pytest.mark.parametrize("heights", [np.zeros((12, 12)), np.ones((9, 9)), np.full((12, 12), -2.0), np.eye(3)], ids=str)
def test_flat_and_tiny_maps(heights):
    result = sf.fit(heights)
    assert np.isfinite(result.rmse)
    assert result.n_components >= 1


@pytest.mark.slow
def test_a_path_is_drawn_and_saved(tmp_path):
    heights, _ = scene((44, 50), 3)
    result = sf.fit(heights)
    assert len(result.path.plot().axes) == 2
    result.save(tmp_path / "fit.json")
    loaded = sf.load(tmp_path / "fit.json").path
    np.testing.assert_array_equal(loaded.bic, result.path.bic)
    assert loaded.chosen == result.path.chosen
    assert "chosen by BIC" in result.summary()
    assert sf.fit(heights, 3).path is None


@pytest.mark.parametrize(
    ("n_components", "options", "message"),
    [
        ("many", {}, "`n_components` must be one of 'auto'"),
        (sf.AutoComponents("bik"), {}, "did you mean 'bic'"),
        (sf.AutoComponents("rmse"), {}, "needs `target`"),
        (sf.AutoComponents("bic", target=1.0), {}, "has no `target`"),
        (sf.AutoComponents("r2", target=1.5), {}, "must be below 1"),
        (sf.AutoComponents(most=0), {}, "`n_components.most` must be at least 1"),
        (sf.AutoComponents("held_out", block=99), {}, "makes one block of all data"),
        (sf.AutoComponents(share=1.5), {}, "`n_components.share` must be between 0 and 1"),
        ("auto", {"init": "grid"}, "leave `init` out, or give a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(n_components, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sf.fit(np.eye(12), n_components, **options)


@pytest.mark.slow
def test_worth_is_what_the_loss_of_a_component_costs():
    """Against fits without each of them, the faintest last; and one too many is redundant, whichever it is."""
    heights, _ = scene((44, 50), 3)
    result = sf.fit(heights, 3, background=None)
    assert not result.redundant.any()
    lefts = [result.surface.component(np.delete(np.arange(3), k)) for k in range(3)]
    rises = np.array([sf.fit(heights, 2, init=left, background=None).cost - result.cost for left in lefts])
    assert (rises <= 1.02 * result.worth).all()  # what is left may go and take its place
    assert rises[-1] == pytest.approx(result.worth[-1], rel=0.02)
    twin = result.surface.component([0, 1, 2, 2])
    halved = sf.GaussianSurface(twin.amplitudes * np.array([1, 1, 0.5, 0.5]), twin.centers, twin.covariances)
    doubled = sf.fit(heights, 4, init=halved, background=None, solver=sf.LevenbergMarquardt(max_steps=0))
    twins = np.linalg.norm(doubled.surface.centers - twin.centers[2], axis=1) < 1e-6
    np.testing.assert_array_equal(doubled.redundant, twins)
