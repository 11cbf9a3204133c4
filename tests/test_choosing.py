"""The number of components: found where it is known, by every criterion, and never lost at a limit."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import surfacefit as sf
from surfacefit._data.blocks_left_out import folds
from surfacefit._data.data import grid_data, point_data
from surfacefit._results.criteria import ComponentPath

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
    ("shape", "count"),
    [((90,), 1), ((120,), 4), ((44, 50), 1), ((44, 50), 6), pytest.param((16, 17, 18), 3, marks=pytest.mark.slow)],
)
def test_the_number_is_found(shape, count):
    heights, centers = scene(shape, count)
    result = sf.fit(heights)
    assert result.n_components == count
    distance = np.linalg.norm(result.surface.centers[None] - centers[:, None], axis=-1)
    assert distance.min(axis=1).max() < 0.3
    assert result.path.chosen == count
    assert result.path.criterion == "effective_bic"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"engine": "tiled"}, {"dtype": "float32"}, {"covariance_type": "spherical"}, {"amplitudes": "signed"}]
)
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
@pytest.mark.parametrize("criterion", ["bic", "aicc", "held_out"])
def test_criteria_agree_where_the_number_is_plain(criterion):
    heights, _ = scene((44, 50), 4)
    result = sf.fit(heights, sf.AutoComponents(criterion, block=3), background=None)
    assert 4 <= result.n_components <= (12 if criterion == "aicc" else 4)
    if criterion != "held_out":
        values = getattr(result.path, criterion)
        assert values[result.path.n_components == result.n_components] == values.min()
    assert np.isfinite(result.path.held_out).all() == (criterion == "held_out")
    assert np.isfinite(result.path.held_out_se).all() == (criterion == "held_out")


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


def test_criteria_are_those_of_their_formulas():
    """The formulas, from a plain sum of squares."""
    heights, _ = scene((20, 22), 1)
    result = sf.fit(heights, background=None)
    n, p, square = heights.size, 6, np.sum(result.residuals**2)
    k, here = p + 1, result.path.n_components == 1  # the variance is one more
    assert result.path.bic[here] == pytest.approx(n * np.log(square / n) + k * np.log(n), rel=1e-6)
    assert result.path.aicc[here] == pytest.approx(
        n * np.log(square / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1), rel=1e-6
    )
    assert result.path.rmse[here] == pytest.approx(result.rmse, rel=1e-4)
    sigma = NOISE * heights.std()
    known = sf.fit(heights, sigma=sigma, absolute_sigma=True, background=None)
    assert known.n_components == 1
    assert known.path.bic[known.path.n_components == 1] == pytest.approx(
        np.sum(known.residuals**2) / sigma**2 + p * np.log(n), rel=1e-3
    )


@pytest.mark.slow
def test_most_is_not_passed():
    heights, _ = scene((44, 50), 6)
    result = sf.fit(heights, sf.AutoComponents(most=3))
    assert result.n_components == 3
    assert result.path.n_components.max() == 3
    assert sf.fit(np.random.default_rng(0).normal(size=(5, 5)), background=None).n_components <= 2


@pytest.mark.parametrize(("count", "shape"), [(5, (20, 35)), (4, (20, 35)), (3, (40,)), (5, (15, 15, 15))])
def test_each_block_is_left_out_once_and_each_fold_is_everywhere(count, shape):
    fold = folds(grid_data(np.zeros(shape)), 5, count).reshape(shape)
    blocks = fold[tuple(slice(None, None, 5) for _ in shape)]
    assert (np.kron(blocks, np.ones((5,) * len(shape), int)) == fold).all()
    for axis in range(len(shape)):
        assert (np.diff(blocks, axis=axis) != 0).all()
    assert np.ptp(np.bincount(blocks.ravel())) <= max(1, blocks.size // 10)
    assert len(np.unique(fold)) == count
    used = np.random.default_rng(0).random(shape) < 0.6
    used.flat[0] = True
    some = folds(point_data(np.argwhere(used) * 3.0, np.zeros(used.sum())), 5, count)
    assert len(np.unique(some)) == count
    masked = grid_data(np.where(used, 0.0, np.nan))
    np.testing.assert_array_equal(folds(masked, 5, count), fold[used])


def test_few_blocks_make_few_folds():
    ends = np.full(50, np.nan)
    ends[:5], ends[25:30] = 0, 0  # blocks 0 and 5, of one fold in the raster
    np.testing.assert_array_equal(folds(grid_data(ends), 5, 5), np.repeat([0, 1], 5))


def hills(seed):
    """Three hills of 8, 12 and 20 standard deviations of white noise."""
    rows, columns = np.mgrid[:44, :48]
    scenery = ((8, 12, 12, 3), (12, 30, 18, 4), (20, 20, 36, 5))
    heights = sum(a * np.exp(-0.5 * ((rows - r) ** 2 + (columns - c) ** 2) / w**2) for a, r, c, w in scenery)
    return heights + np.random.default_rng(seed).normal(size=rows.shape)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_blocks_left_out_support_the_hills_and_not_the_noise(seed):
    path = sf.fit(hills(seed), sf.AutoComponents("held_out")).path
    assert path.chosen == 3
    assert path.n_components.max() > 4
    lowest = path.held_out.argmin()
    within = path.held_out <= path.held_out[lowest] + path.held_out_se[lowest]
    assert path.chosen == path.n_components[within].min()


def test_the_error_in_blocks_left_out_is_that_of_fits_without_them():
    heights = hills(0)[:, 24:]
    sigma = np.random.default_rng(1).uniform(0.5, 2, heights.shape)
    fold = folds(grid_data(heights), 6, 3).reshape(heights.shape)
    errors = []
    for n in range(3):
        fit = sf.fit(heights, 1, sigma=sigma, mask=fold == n, seed=1, search=0)
        misfit, weights = (heights - fit.predict())[fold == n], 1 / sigma[fold == n]
        errors.append(np.sqrt(np.sum((weights * misfit) ** 2) / np.sum(weights**2)))
    path = sf.fit(heights, sf.AutoComponents("held_out", most=1, block=6, folds=3), sigma=sigma).path
    assert path.held_out[path.n_components == 1] == pytest.approx(np.mean(errors), rel=2e-3)
    assert path.held_out_se[path.n_components == 1] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
    "options", [{}, {"amplitudes": "signed"}, pytest.param({"engine": "tiled"}, marks=pytest.mark.slow)], ids=str
)
def test_what_stands_in_a_block_left_out_is_not_predicted(options):
    offsets = np.mgrid[:25, :25] - 12
    heights = np.exp(-0.5 * np.sum(offsets**2, axis=0) / 0.6**2)  # all of it in one block
    path = sf.fit(heights, sf.AutoComponents("held_out", most=1, block=5), background=None, **options).path
    n_out = np.count_nonzero(folds(grid_data(heights), 5, 5) == folds(grid_data(heights), 5, 5).reshape(25, 25)[12, 12])
    unseen = np.sqrt(np.sum(heights**2) / n_out)
    assert path.held_out[path.n_components == 1] == pytest.approx(unseen / 5, rel=0.01)


NOTHING = np.random.default_rng(0).normal(size=(24, 30))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"background": "plane"},
        pytest.param({"background": "plane", "covariance_type": "tied"}, marks=pytest.mark.slow),
        pytest.param({"engine": "tiled"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_noise_supports_no_component(options):
    result = sf.fit(NOTHING, **options)
    background = np.stack([np.ones(NOTHING.shape), *np.mgrid[:24, :30]]).reshape(3, -1)[
        : 3 if "background" in options else 1
    ]
    square = np.linalg.lstsq(background.T, NOTHING.ravel())[1][0]
    n, size = NOTHING.size, len(background)
    assert result.path.n_components[0] == 0
    assert result.path.bic[0] == pytest.approx(n * np.log(square / n) + (size + 1) * np.log(n), rel=1e-6, abs=1e-3)
    assert (result.path.chosen, result.n_components, result.n_parameters) == (0, 0, size)
    assert result.cost == pytest.approx(square / 2, rel=1e-9)
    assert "The data support no component" in result.message


def test_what_is_said_where_the_data_support_no_component(tmp_path):
    level = sf.fit(np.full((12, 12), 3.0))
    assert "BIC of effective points supports none; tried 0 alone" in level.summary()
    level.save(tmp_path / "level.json")
    assert sf.load(tmp_path / "level.json").message == level.message
    assert "support no component" in level.message
    assert "support no component" not in sf.fit(hills(0), sf.AutoComponents(most=3)).message
    assert sf.fit(NOTHING, sf.AutoComponents("held_out"), background=None).path.chosen == 0


def test_correlated_residuals_are_said_to_mislead_bic():
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(44, 48)), 1.3, mode="wrap")
    heights = hills(0) - np.random.default_rng(0).normal(size=(44, 48)) + noise / noise.std()
    smooth = sf.fit(heights, sf.AutoComponents("bic", most=4))
    assert 3 <= smooth.diagnostics.reach <= 8
    reach = round(smooth.diagnostics.reach)
    said = " ".join(smooth.summary().split())
    assert (
        f"correlated over about {reach} samples: BIC counts too many components; see AutoComponents('effective_bic'),"
        f" 'held_out' or a target" in said
    )
    known = sf.fit(heights, sf.AutoComponents(most=4))
    assert known.n_components == 3
    assert "samples count as one" in known.summary()
    white = sf.fit(hills(0), sf.AutoComponents("bic", most=4))
    assert white.diagnostics.reach == 0
    assert "counts too many" not in white.summary()
    assert "counts too many" not in sf.fit(heights, 3, init="peaks", reset=False).summary()


def test_a_picture_shows_criteria_side_by_side():
    counts, values = np.arange(4), np.array([4.0, 2.0, 1.0, 1.1])
    unknown = np.full(4, np.nan)
    plain = ComponentPath(
        counts, values, values, values, values, unknown, unknown, counts, values, unknown, "bic", 2
    ).plot()
    assert [panel.get_ylabel() for panel in plain.axes] == ["RMSE", "BIC"]
    target = ComponentPath(
        counts, values, values, values, values, unknown, unknown, counts, values, unknown, "r2", 2
    ).plot()
    assert [panel.get_ylabel() for panel in target.axes] == ["RMSE", "BIC", "R2"]
    assert [panel.get_legend().get_texts()[0].get_text() for panel in plain.axes] == [
        "chosen: K = 2",
        "chosen by this: K = 2",
    ]
    left_out = (2 * values, 0.25 * values, counts, values, unknown)
    known = ComponentPath(counts, values, values, values, values, *left_out, "held_out", 2).plot()
    assert [panel.get_ylabel() for panel in known.axes] == ["RMSE", "BIC", "error in blocks left out"]
    bars = [panel.containers[0][2] for panel in known.axes]
    assert [len(lines) for lines in bars] == [0, 0, 1]
    np.testing.assert_allclose(
        [segment[:, 1] for segment in bars[2][0].get_segments()], np.stack([1.75 * values, 2.25 * values], axis=1)
    )
    assert known.axes[2].get_legend().get_texts()[0].get_text() == "chosen by this: K = 2"


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
    assert result.n_components == result.path.chosen


@pytest.mark.slow
def test_a_path_is_drawn_and_saved(tmp_path):
    heights, _ = scene((44, 50), 3)
    result = sf.fit(heights)
    assert len(result.path.plot().axes) == 3
    result.save(tmp_path / "fit.json")
    loaded = sf.load(tmp_path / "fit.json").path
    np.testing.assert_array_equal(loaded.bic, result.path.bic)
    assert loaded.chosen == result.path.chosen
    assert "chosen by" in result.summary()
    assert sf.fit(heights, 3, init="peaks").path is None


@pytest.mark.parametrize(
    ("n_components", "options", "message"),
    [
        ("many", {}, "`n_components` must be an integer, got 'many'"),
        (sf.AutoComponents("bik"), {}, "did you mean 'bic'"),
        (sf.AutoComponents("rmse"), {}, "needs `target`"),
        (sf.AutoComponents("bic", target=1.0), {}, "has no `target`"),
        (sf.AutoComponents("r2", target=1.5), {}, "must be below 1"),
        (sf.AutoComponents(most=0), {}, "`n_components.most` must be at least 1"),
        (sf.AutoComponents("held_out", block=99), {}, "makes one block of all data"),
        (sf.AutoComponents(folds=1), {}, "`n_components.folds` must be at least 2"),
        (sf.AutoComponents(n_sigma=0), {}, "`n_components.n_sigma` must be"),
        (sf.AutoComponents(tolerance=1.0), {}, "`n_components.tolerance` must be below 1"),
        (sf.AutoComponents("bic", tolerance=0.1), {}, "has no `tolerance`"),
        ("auto", {"init": "grid"}, "leave `init` out, or give a number"),
    ],
)
def test_invalid_numbers_are_refused(n_components, options, message):
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


@pytest.mark.slow
def test_many_equal_hills_are_all_found_by_blocks_left_out():
    """Each lowers the error by less than its standard error, which must not end the growth."""
    y, x = np.mgrid[:48, :48]
    heights = 0.05 * np.random.default_rng(0).normal(size=x.shape)
    for i in range(3):
        for j in range(3):
            heights += np.exp(-0.5 * ((y - 8 - 16 * i) ** 2 + (x - 8 - 16 * j) ** 2) / 16)
    result = sf.fit(heights, sf.AutoComponents("held_out"), covariance_type="spherical", search=0, progress=False)
    assert result.n_components == 9


@pytest.mark.parametrize("criterion", ["effective_bic", "held_out"])
def test_a_choice_that_a_limit_ended_says_nothing_of_what_was_not_tried(criterion, monkeypatch):
    """Interrupted before any number was tried, and stopped by the clock after the background alone looked best."""
    heights = np.random.default_rng(0).normal(size=(10, 10))

    def interrupted(choice):
        raise KeyboardInterrupt

    stopped = sf.fit(heights, sf.AutoComponents(criterion, most=2), max_time=1e-9)
    assert "support no component" not in stopped.message
    monkeypatch.setattr("surfacefit._search.choosing.Choice._walk", interrupted)
    result = sf.fit(heights, sf.AutoComponents(criterion, most=2))
    assert result.status is sf.Status.INTERRUPTED
    assert result.path.chosen == -1
    assert result.message.startswith("interrupted")
    assert "a limit was met before any number was tried" in result.summary()


def test_the_summary_of_a_frame_without_counts():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "status" in sf.fit(np.zeros(40), loss="poisson").summary()
