"""Several maps with shared places and shapes: the algebra against differences, and what comes back."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime, least_squares

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.precision import precision
from surfacefit._channels.maps import channel_maps
from surfacefit._channels.setup import ChannelModel, channel_setup
from surfacefit._channels.starts import common_map, principal_component
from surfacefit._engines.engines import Dense, EngineChoice, Tiled
from surfacefit._problem import planning

SHAPE = (14, 17)
Y, X = np.indices(SHAPE, dtype=float)
PLACES = np.stack([Y, X], axis=-1)
CENTERS = np.array([[5.0, 4.5], [8.5, 11.0]])
COVARIANCES = np.array([[[5.0, 1.0], [1.0, 4.0]], [[3.5, -0.5], [-0.5, 6.0]]])
AMPLITUDES = np.array([[2.0, 0.5, 1.0], [0.4, 1.5, 1.1]])
LEVELS = np.array([1.0, -2.0, 0.3])


def heights(amplitudes=AMPLITUDES, centers=CENTERS, covariances=COVARIANCES, levels=LEVELS):
    """The model by loops, (rows, columns, C)."""
    result = np.zeros((*SHAPE, len(levels))) + levels
    for a, c, s in zip(amplitudes, centers, covariances, strict=True):
        inverse = np.linalg.inv(s)
        dy, dx = Y - c[0], X - c[1]
        square = inverse[0, 0] * dy**2 + 2 * inverse[0, 1] * dy * dx + inverse[1, 1] * dx**2
        result += np.exp(-square / 2)[..., None] * a
    return result


MAPS = heights() + 0.02 * np.random.default_rng(0).normal(size=(*SHAPE, 3))
START = sf.GaussianSurface([1.0, 1.0], CENTERS + 0.4, 1.2 * COVARIANCES)
GAPS = np.random.default_rng(1).random(MAPS.shape) < 0.1
ENGINES = {"dense": Dense(), "tiled": Tiled(cutoff=0.0)}
SIGMA = np.random.default_rng(2).uniform(0.5, 2, MAPS.shape)


@pytest.fixture
def blocks_pay(monkeypatch):
    monkeypatch.setattr(planning, "MOST_NODES_A_PLACE", float("inf"))


def problem_of(engine, mask=None, sigma=None, background="plane", amplitudes="positive"):
    """A problem with its plan, and parameters off the truth."""
    model = ChannelModel(2, background=background, amplitudes=amplitudes)
    data = channel_maps(MAPS, None, None, mask, sigma, False)
    prepared = channel_setup(data, model, np.dtype(float), EngineChoice(engine))
    backgrounds = prepared.backgrounds
    params = prepared.packed(0.8 * AMPLITUDES, CENTERS + 0.3, 1.1 * COVARIANCES, backgrounds)
    problem = prepared.problem
    if prepared.planner is not None:
        problem = prepared.planner(problem, params, params)
    return problem, params


@quick_jit
def residuals_of(problem, params):
    return problem.residuals(params)


@quick_jit
def operations(problem, params, direction):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    blocks, corner = jacobian.block_diagonal()
    return {
        "residuals": residuals,
        "matrix": jacobian.as_matrix(),
        "mv": jacobian.mv(direction),
        "rmv": jacobian.rmv(residuals),
        "normal": jacobian.restored(normal).as_matrix(),
        "gradient": gradient,
        "blocks": blocks,
        "corner": corner,
    }


CASES = [("tiled", False)] + [
    pytest.param(*case, marks=pytest.mark.slow) for case in (("tiled", True), ("dense", False), ("dense", True))
]


@pytest.mark.parametrize(("engine", "uneven"), CASES)
def test_operators_are_those_of_differences(engine, uneven, blocks_pay):
    """J, J v, J^T r and J^T J, for all points alike in closed form, against differences of the residuals."""
    with precision(np.dtype(float)):
        problem, params = problem_of(ENGINES[engine], *((GAPS, SIGMA) if uneven else (None, None)))
        expected = approx_fprime(np.asarray(params), lambda p: np.asarray(residuals_of(problem, p)), 1e-6)
        direction = np.linspace(-1, 1, params.size)
        found = {name: np.asarray(array) for name, array in operations(problem, params, direction).items()}
        r = found["residuals"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found["matrix"], expected, atol=1e-5 * scale)
        np.testing.assert_allclose(found["mv"], expected @ direction, atol=1e-5 * scale)
        for name in ("rmv", "gradient"):
            np.testing.assert_allclose(found[name], expected.T @ r, atol=1e-5 * scale * np.abs(r).sum())
        product = expected.T @ expected
        units = np.sqrt(np.outer(np.diag(product), np.diag(product)))
        np.testing.assert_allclose(found["normal"] / units, product / units, atol=2e-4)
        size, n_own = found["blocks"].shape[1], 2 * found["blocks"].shape[1]
        np.testing.assert_allclose(found["blocks"][1], product[size:n_own, size:n_own], atol=1e-4 * product.max())
        np.testing.assert_allclose(found["corner"], product[n_own:, n_own:], atol=1e-4 * product.max())


def test_the_tiled_engine_knows_j_t_j_in_closed_form(blocks_pay):
    with precision(np.dtype(float)):
        even, _ = problem_of(Tiled(cutoff=0.0))
        uneven, _ = problem_of(Tiled(cutoff=0.0), GAPS)
    assert even.engine.curvature is not None
    assert uneven.engine.curvature is None


def flat(centers, factors, amplitudes, levels):
    return np.concatenate([np.ravel(part) for part in (centers, factors, amplitudes, levels)])


def model_of(numbers):
    """The model of a vector: centres (2, 2), factors (2, 3), amplitudes (2, 3), levels (3,)."""
    centers, rest = numbers[:4].reshape(2, 2), numbers[4:]
    factors = np.zeros((2, 2, 2))
    factors[:, [0, 1, 1], [0, 0, 1]] = rest[:6].reshape(2, 3)
    return heights(rest[6:12].reshape(2, 3), centers, factors @ factors.swapaxes(1, 2), rest[12:])


@pytest.mark.parametrize("engine", ["dense", pytest.param("tiled", marks=pytest.mark.slow)])
def test_a_fit_is_that_of_scipy_with_its_errors(engine):
    """Values, cost and standard errors against SciPy's least squares on the model by loops."""
    missing = np.where(GAPS, np.nan, MAPS)
    result = sf.fit_channels(missing, 2, init=START, engine=engine)
    there = ~GAPS
    factors = np.linalg.cholesky(COVARIANCES)[:, [0, 1, 1], [0, 0, 1]]
    start = flat(CENTERS, factors, AMPLITUDES, LEVELS)
    best = least_squares(lambda p: (model_of(p) - MAPS)[there], start, xtol=1e-12, ftol=1e-12)
    covariance = np.linalg.inv(best.jac.T @ best.jac) * 2 * best.cost / (there.sum() - len(start))
    errors = np.sqrt(np.diag(covariance))
    assert result.success
    assert result.cost == pytest.approx(best.cost, rel=1e-6)
    np.testing.assert_allclose(result.centers.ravel(), best.x[:4], atol=0.02 * errors[:4].min())
    np.testing.assert_allclose(result.amplitudes.ravel(), best.x[10:16], atol=0.02 * errors[10:16].min())
    np.testing.assert_allclose(result.standard_errors.centers.ravel(), errors[:4], rtol=1e-3)
    np.testing.assert_allclose(result.standard_errors.amplitudes.ravel(), errors[10:16], rtol=1e-3)
    np.testing.assert_allclose(result.standard_errors.background.ravel(), errors[16:], rtol=1e-3)
    chain = np.zeros((2, 10 + 9))  # Sigma_00 = L_00^2, and Sigma_11 = L_10^2 + L_11^2, of the first component
    chain[0, 4], chain[1, 5:7] = 2 * best.x[4], 2 * best.x[5:7]
    expected = np.sqrt(np.diag(chain @ covariance @ chain.T))
    np.testing.assert_allclose(np.diag(result.standard_errors.covariances[0]), expected, rtol=1e-3)
    rmse = np.sqrt(np.nanmean((model_of(best.x) - missing) ** 2, axis=(0, 1)))
    np.testing.assert_allclose(result.rmse, rmse, rtol=1e-5)


@pytest.mark.slow
def test_signed_amplitudes_and_files(tmp_path):
    """Peaks in one channel are pits in another; a file gives back every number."""
    signs = np.array([1.0, -1.0, 1.0])
    axes = (np.arange(14.0)[::-1], np.arange(17.0))
    result = sf.fit_channels(
        list(np.moveaxis(signs * MAPS, 2, 0)), 2, init=START, amplitudes="signed", coords=axes, sigma=[0.02, 0.02, 0.03]
    )
    turned = np.abs(result.centers[:, 0] - (13 - CENTERS[:, 0]))
    assert turned.max() < 0.2
    np.testing.assert_allclose(result.amplitudes, signs * AMPLITUDES, atol=0.1)
    for suffix in (".json", ".npz"):
        path = tmp_path / f"channels{suffix}"
        result.save(path)
        back = sf.ChannelResult.load(path)
        for name in ("amplitudes", "centers", "covariances", "background", "rmse", "history"):
            np.testing.assert_array_equal(getattr(back, name), getattr(result, name))
        assert (back.status, back.cost, str(back)) == (result.status, result.cost, str(result))
        np.testing.assert_array_equal(back.standard_errors.centers, result.standard_errors.centers)
    with pytest.raises(ValueError, match=r"json or \.npz"):
        result.save(tmp_path / "channels.txt")
    assert len(result.plot().axes) == 9


def test_a_table_has_amplitudes_and_volumes_of_each_channel(tmp_path):
    """With the errors that are known, by the names of the axes; the surface of a channel comes back."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("pandas")
    cube = xarray.DataArray(MAPS, {"lat": np.arange(14.0), "lon": np.arange(17.0)}, dims=("lat", "lon", "band"))
    result = sf.fit_channels(cube, 2, init=START)
    table, errors = result.table(), result.standard_errors
    for c in range(3):
        np.testing.assert_array_equal(table[f"amplitude_{c}"], result.amplitudes[:, c])
        np.testing.assert_array_equal(table[f"amplitude_{c}_error"], errors.amplitudes[:, c])
        np.testing.assert_allclose(table[f"volume_{c}"], result.surface(c).volumes, rtol=1e-12)
        back = sf.GaussianSurface.from_table(table, {"amplitude": f"amplitude_{c}"}, result.backgrounds[c])
        np.testing.assert_allclose(back(PLACES), result.surface(c)(PLACES), rtol=1e-13)
    np.testing.assert_array_equal(table["lat_error"], errors.centers[:, 0])
    np.testing.assert_array_equal(table["covariance_lon_lat_error"], errors.covariances[:, 1, 0])
    assert not {"amplitude", "volume", "volume_0_error", "sigma_major_error"} & set(table)
    assert not any(name.endswith("_error") for name in result.table(errors=False))
    table.save(tmp_path / "channels.csv")
    assert "amplitude_2" in (tmp_path / "channels.csv").read_text()
    assert list(result.table("pandas").columns) == list(table)
    result.table().save(tmp_path / "channels.reg")
    assert (tmp_path / "channels.reg").read_text().count("ellipse(") == 2
    with pytest.raises(ValueError, match="kind"):
        result.table("excel")
    with pytest.raises(TypeError, match="errors"):
        result.table(errors="hessian")


def test_columns_of_channels_have_their_own_units_and_pixels():
    xarray = pytest.importorskip("xarray")
    places = {"y": ("y", 100.0 + 2 * np.arange(14), {"units": "m"}), "x": ("x", np.arange(17.0), {"units": "m"})}
    start = sf.GaussianSurface([1.0, 1.0], CENTERS * [2, 1] + [100, 0], COVARIANCES * np.array([[4, 2], [2, 1]]))
    maps = [
        xarray.DataArray(MAPS[..., c], places, ("y", "x"), attrs={"units": unit}) for c, unit in ((0, "K"), (1, "Jy"))
    ]
    table = sf.fit_channels(maps, 2, init=start).table(errors=False)
    assert [table.units[name] for name in ("amplitude_0", "amplitude_1", "y")] == ["K", "Jy", "m"]
    assert table.units["volume_1"] == "m2 Jy"
    assert table.meta["pixels"] == [[100.0, 2.0], [0.0, 1.0]]


def test_a_file_of_channels_names_what_reads_it(tmp_path):
    sf.fit_channels(MAPS, 2, init=START).save(tmp_path / "channels.npz")
    with pytest.raises(ValueError, match=r"surfacefit channels, which `surfacefit\.ChannelResult\.load` reads"):
        sf.load(tmp_path / "channels.npz")


@pytest.mark.slow
def test_a_start_of_its_own_goes_on_where_it_ended():
    first = sf.fit_channels(MAPS, 2, init=START)
    again = sf.fit_channels(MAPS, 2, init=first)
    assert again.steps <= 2
    assert again.cost == pytest.approx(first.cost, rel=1e-9)


def test_the_common_map_is_what_channels_share():
    """Shares against the first principal component by singular values; a channel's gap is filled from the others."""
    pattern = np.exp(-((Y - 6) ** 2 + (X - 8) ** 2) / 20)
    shares = np.array([3.0, -1.0, 2.0])
    some = pattern[..., None] * shares
    some[2, 3, 0] = np.nan
    common = common_map(channel_maps(some, None, None, None, None, False), signed=True)
    np.testing.assert_allclose(common.shares / common.shares[0], shares / 3, rtol=1e-2)
    rows = np.random.default_rng(3).normal(size=(4, 50))
    left = np.linalg.svd(rows)[0][:, 0]
    np.testing.assert_allclose(principal_component(rows, True), left * np.sign(left.sum()), atol=1e-12)
    assert (principal_component(rows, False) >= 0).all()
    assert np.isfinite(common.heights).all()


@pytest.mark.slow
def test_a_photograph_is_grown():
    """Two discs of different colours, in single precision, without a guess."""
    result = sf.fit_channels(MAPS.astype(np.float32), 2, init="peaks")
    order = np.argsort(result.centers[:, 0])
    np.testing.assert_allclose(result.amplitudes[order], AMPLITUDES, atol=0.1)


REFUSED = {
    "different shapes": (([MAPS[..., 0], MAPS[:-1, :, 1]],), {}, r"one shape.*\(14, 17\).*maps\[0\].*maps\[1\]"),
    "one map": ((X[0],), {}, "list of maps"),
    "none": (([],), {}, "at least one map"),
    "no channel": ((MAPS[..., :0],), {}, "at least one channel"),
    "all missing": (([X, np.full(SHAPE, np.nan)],), {}, "channel 1 of `maps`.*no point is left"),
    "infinite": (([X, np.full(SHAPE, np.inf)],), {}, "channel 1 of `maps`.*infinite"),
    "sigma of some": ((MAPS,), {"sigma": [0.1, None, 0.1]}, "`sigma` must be known of all channels or of none"),
    "too few sigmas": ((MAPS,), {"sigma": [0.1, 0.1]}, "3 channels, got 2"),
    "sigma's shape": ((MAPS,), {"sigma": np.ones((3, 3))}, r"`sigma` must have the shape of a map"),
    "bad sigma": ((MAPS,), {"sigma": [0.1, 0.1, -1.0]}, "channel 2 of `maps`.*positive"),
    "mask's shape": ((MAPS,), {"mask": np.zeros(5, bool)}, "`mask` must have the shape of a map"),
    "both places": ((MAPS,), {"coords": (X[0], Y[:, 0]), "points": X}, "give one of them"),
    "tied": ((MAPS,), {"covariance_type": "tied"}, "`covariance_type` must be one of 'full', 'diag', 'spherical'"),
    "too many": ((MAPS,), {"n_components": 200}, "at most n_components=88"),
    "init": ((MAPS,), {"init": 3}, "`init` must be the name of a start"),
    "init's number": ((MAPS,), {"init": START.component([0])}, "K=2 components"),
    "solver": ((MAPS,), {"solver": "adam"}, "`solver` must be 'lm', 'dogleg'"),
    "word": ((MAPS,), {"n_channels": 3}, "no option `n_channels`"),
    "periodic start": ((MAPS,), {"init": replace(START, periods=(14.0, None))}, r"`init\.periods` must be None"),
    "periods": ((MAPS,), {"periods": (14.0, None)}, "no option `periods`"),
    "beam": ((MAPS,), {"beam": np.eye(2)}, "no option `beam`"),
    "ties": ((MAPS,), {"tie": {"centers": [[0, 1]]}}, "no option `tie`"),
    "words as heights": (([X, np.full(SHAPE, "a")],), {}, "channel 1 of `maps`.*real numbers"),
    "no such start": ((MAPS,), {"init": "em2"}, "`init` must be one of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    arguments, options, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        sf.fit_channels(*arguments, **{"n_components": 2, **options})


def test_one_channel_is_a_fit_and_integers_are_heights():
    """A single channel gives what `fit` gives; bytes count as the numbers that they are, and so does a mask as NaN."""
    levels = np.clip(np.round(40 * MAPS[..., :1] + 20), 0, 255).astype(np.uint8)
    mask = GAPS[..., :1]
    one = sf.fit_channels(levels, 2, init=START, mask=mask)
    alone = sf.fit(np.where(mask, np.nan, levels)[..., 0], 2, init=replace(START, amplitudes=[40.0, 40.0]))
    order = np.argsort(alone.surface.centers[:, 0])
    assert one.amplitudes.shape == (2, 1)
    assert one.cost == pytest.approx(alone.cost, rel=1e-6)
    np.testing.assert_allclose(one.amplitudes[:, 0], alone.surface.amplitudes[order], rtol=1e-3)
    np.testing.assert_allclose(one.centers, alone.surface.centers[order], rtol=1e-3)


@pytest.mark.slow
def test_plots_are_of_grids():
    points = np.stack([Y.ravel(), X.ravel()], axis=-1)
    result = sf.fit_channels(MAPS.reshape(-1, 3), 2, points=points, init=START)
    np.testing.assert_allclose(result.amplitudes, AMPLITUDES, atol=0.1)
    with pytest.raises(ValueError, match="scattered points"):
        result.plot()


UNITS = np.array([1e-12, 1.0, 1e12])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_units_of_channels_do_not_matter_beside_sigma(dtype):
    """The same fit whatever the units, in the start's amplitudes, too: 1 % of a large channel is no start in a small
    one.
    """
    one, other = (
        sf.fit_channels((MAPS * units).astype(dtype), 2, sigma=list(0.02 * units), init=START)
        for units in (np.ones(3), UNITS)
    )
    np.testing.assert_allclose(other.amplitudes / UNITS, one.amplitudes, rtol=2e-3)
    np.testing.assert_allclose(other.centers, one.centers, rtol=2e-3)
    assert other.steps <= one.steps + 3


def test_a_list_of_errors_and_masks_may_mix_numbers_and_maps():
    sigma, mask = np.full(SHAPE, 0.02), np.zeros(SHAPE, bool)
    mask[3:5] = True
    result = sf.fit_channels(MAPS, 2, sigma=[0.02, sigma, 0.02], mask=[None, mask, None], init=START)
    assert result.maps.n_used == MAPS.size - mask.sum()
    expected = sf.fit_channels(MAPS, 2, sigma=0.02, mask=[~mask & mask, mask, ~mask & mask], init=START)
    np.testing.assert_array_equal(result.amplitudes, expected.amplitudes)


def test_one_channel_of_float64_makes_the_fit_precise():
    maps = [MAPS[..., 0].astype("float32"), *np.moveaxis(MAPS[..., 1:], 2, 0)]
    assert sf.fit_channels(maps, 2, init=START).status.name != "PRECISION"
    again = sf.fit_channels(maps, 2, init=START, dtype="float64")
    np.testing.assert_array_equal(sf.fit_channels(maps, 2, init=START).centers, again.centers)


def test_arrays_of_xarray_bring_their_coordinates():
    xarray = pytest.importorskip("xarray")
    y, x = np.arange(SHAPE[0])[::-1] * 2.0, np.arange(SHAPE[1]) * 0.5
    cube = xarray.DataArray(MAPS, dims=("y", "x", "band"), coords={"y": y, "x": x})
    plain = sf.fit_channels(MAPS, 2, coords=(y, x))
    for maps in (cube, [cube[..., c] for c in range(3)]):
        np.testing.assert_array_equal(sf.fit_channels(maps, 2).centers, plain.centers)
    with pytest.raises(ValueError, match=r"got others in maps\[1\]"):
        sf.fit_channels([cube[..., 0], cube[..., 1].assign_coords(x=x + 1)], 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": -1.0}, "`search` must be positive"),
        ({"search": 3.0}, "`search` looks for a better start"),
        ({"seed": "a"}, "`seed` must be an integer"),
        ({"min_width": 1e6}, "`min_width` is in sampling distances"),
    ],
)
def test_options_of_starts_are_checked_beside_one_that_is_given(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sf.fit_channels(MAPS, 2, init=START, **options)
