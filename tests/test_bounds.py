"""Bounds and fixed parameters: the optimum is SciPy's within the same bounds, nothing sticks to a bound, what is fixed
stays.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import surfacefit as sf
from surfacefit import Bounds, ComponentFlag, GaussianSurface
from surfacefit._constraints.box import Box
from surfacefit._results.flags import flags

TO_THE_END = sf.LevenbergMarquardt(slack=0, ftol=1e-14, xtol=1e-12, gtol=1e-13)
Y, X = np.mgrid[:16, :20].astype(float)
PLACES = np.stack([Y, X], axis=-1)
CENTERS = np.array([[5.0, 5.0], [10.0, 14.0]])
SHAPES = np.array([[[4.0, 1.5], [1.5, 6.0]], [[5.0, -1.0], [-1.0, 3.0]]])
TRUTH = GaussianSurface(np.array([3.0, 2.0]), CENTERS, SHAPES, 1.0)
HEIGHTS = TRUTH(PLACES) + 0.05 * np.random.default_rng(0).normal(size=X.shape)
ROUND = np.tile(4 * np.eye(2), (2, 1, 1))
START = GaussianSurface(np.array([2.2, 2.2]), CENTERS + 0.4, ROUND, 0.8)


def fitted(**options):
    return sf.fit(HEIGHTS, 2, **{"init": START, "solver": TO_THE_END, **options})


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def numbers_of(shape, kind, by_ratio):
    """Two widths and the angle of the first; one width; or the larger width, its ratio to the other and its angle."""
    if kind == "diag":
        return np.sqrt(np.diag(shape))
    if kind == "spherical":
        return np.sqrt([np.trace(shape) / 2])
    (small, large), vectors = np.linalg.eigh(shape)
    angle = np.arctan2(vectors[1, 1], vectors[0, 1])
    return np.array([np.sqrt(large), np.sqrt(large / small) if by_ratio else np.sqrt(small), angle])


def shape_of(numbers, kind, by_ratio):
    if kind == "diag":
        return np.diag(numbers**2)
    if kind == "spherical":
        return numbers[0] ** 2 * np.eye(2)
    large, other, angle = numbers
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return axes * [large**2, (large / other if by_ratio else other) ** 2] @ axes.T


def scipys(kind, bounds):
    """The surface and cost of `least_squares`, in parameters in which these bounds are a box."""
    by_ratio, size = bounds.aspect is not None, len(numbers_of(SHAPES[0], kind, bounds.aspect is not None))
    count = 1 if kind == "tied" else 2

    def surface(row):
        shapes = [shape_of(numbers, kind, by_ratio) for numbers in row[6:-1].reshape(count, size)]
        return GaussianSurface(row[:2], row[2:6].reshape(2, 2), np.array(shapes if count == 2 else shapes * 2), row[-1])

    def side(n, end):
        amplitudes, centers, widths, background = (
            end if pair is None or pair[n] is None else pair[n]
            for pair in (bounds.amplitudes, bounds.centers, bounds.widths, bounds.background)
        )
        shape = np.full((count, size), widths, float)
        if size == 3:
            shape[:, 2] = end
        if by_ratio:
            shape[:, 1] = (1.0, bounds.aspect)[n]
        parts = (np.broadcast_to(amplitudes, 2), np.broadcast_to(centers, (2, 2)).ravel(), shape.ravel(), [background])
        return np.concatenate(parts).astype(float)

    low, high = side(0, -np.inf), side(1, np.inf)
    begin = np.concatenate(
        [TRUTH.amplitudes, CENTERS.ravel(), *(numbers_of(shape, kind, by_ratio) for shape in SHAPES[:count]), [1.0]]
    )
    ends = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac"}
    best = least_squares(
        lambda row: (surface(row)(PLACES) - HEIGHTS).ravel(), np.clip(begin, low, high), bounds=(low, high), **ends
    )
    return surface(best.x), best.cost


BOUNDED = {
    "amplitudes": ("full", Bounds(amplitudes=(None, 2.5)), [1, 0]),
    "amplitudes from below": ("full", Bounds(amplitudes=(2.3, None)), [0, 1]),
    "amplitudes of each": ("full", Bounds(amplitudes=([0.1, 2.2], [2.8, 9.0])), [1, 1]),
    "centers": ("full", Bounds(centers=([5.3, 0], [15, 13.8])), [1, 1]),
    "centers of each": ("full", Bounds(centers=([[0, 0], [10.2, 0]], [[15, 19], [15, 14.5]])), [0, 1]),
    "background": ("full", Bounds(background=(None, 0.95)), [0, 0]),
    "widths": ("full", Bounds(widths=(1.7, 2.5)), [1, 1]),
    "widths of diag": ("diag", Bounds(widths=(1.8, 2.2)), [1, 1]),
    "widths of spherical": ("spherical", Bounds(widths=(None, 1.7)), [1, 1]),
    "widths of tied": ("tied", Bounds(widths=(None, 2.2)), [1, 1]),
    "one width for all": ("full", Bounds(widths=(None, 1.4)), [1, 1]),
    "one width for all tied": ("tied", Bounds(widths=(None, 1.4)), [1, 1]),
    "aspect": ("full", Bounds(aspect=1.4), [1, 1]),
    "aspect and width": ("full", Bounds(widths=(None, 2.237), aspect=1.171), [1, 1]),
    "aspect of tied": ("tied", Bounds(aspect=1.1), [1, 1]),
    "all": ("full", Bounds((None, 2.9), ([5.1, 0], [15, 19]), (None, 2.4), (0.9, None), 1.35), [1, 1]),
}


@pytest.mark.parametrize("case", BOUNDED)
def test_as_scipy_least_squares_with_bounds(case):
    kind, bounds, flagged = BOUNDED[case]
    result = fitted(covariance_type=kind, bounds=bounds)
    surface, cost = scipys(kind, bounds)
    assert cost > 1.01 * fitted(covariance_type=kind).cost
    np.testing.assert_allclose(result.cost, cost, rtol=1e-6)
    order = np.argsort(result.surface.centers[:, 0])
    for name in ("amplitudes", "centers", "covariances"):
        np.testing.assert_allclose(getattr(result.surface, name)[order], getattr(surface, name), rtol=3e-4, atol=3e-4)
    np.testing.assert_allclose(result.surface.background.value, surface.background, rtol=3e-4)
    inside(result, bounds)
    at_bound = (flags(result, quick=True)[order] & ComponentFlag.AT_BOUND) > 0
    np.testing.assert_array_equal(at_bound, np.array(flagged, bool))


def inside(result, bounds, room=1e-6):
    surface, widths = result.surface, result.surface.principal_widths
    for name, values in (("amplitudes", surface.amplitudes), ("centers", surface.centers), ("widths", widths)):
        low, high = getattr(bounds, name) or (None, None)
        assert low is None or (values >= np.array(low) - room).all()
        assert high is None or (values <= np.array(high) + room).all()
    assert bounds.aspect is None or (widths[:, 0] / widths[:, 1] <= bounds.aspect + room).all()


def start_of(amplitude=2.2, width=2.0, shift=0.4, background=0.8, shape=None):
    """Two components alike, beside their places."""
    shapes = np.tile(width**2 * np.eye(2) if shape is None else shape, (2, 1, 1))
    return GaussianSurface(np.full(2, amplitude), CENTERS + shift, shapes, background)


LONG = np.array([[1.0, 0.0], [0.0, 9.0]])
ON_A_BOUND = {
    "lowest amplitude": ("full", Bounds(amplitudes=(0.5, 9)), start_of(amplitude=0.5)),
    "highest amplitude": ("full", Bounds(amplitudes=(0.5, 9)), start_of(amplitude=9.0)),
    "lowest centre": ("full", Bounds(centers=([4, 4], [15, 19])), start_of(shift=np.array([[-1, -1], [0, 0]]))),
    "highest centre": ("full", Bounds(centers=([0, 0], [11, 15])), start_of(shift=1.0)),
    "lowest background": ("full", Bounds(background=(0.5, None)), start_of(background=0.5)),
    "highest background": ("full", Bounds(background=(None, 1.5)), start_of(background=1.5)),
    **{
        f"narrowest {kind}": (kind, Bounds(widths=(1.0, 4.0)), start_of(width=1.0))
        for kind in ("full", "diag", "spherical", "tied")
    },
    **{
        f"widest {kind}": (kind, Bounds(widths=(1.0, 3.0)), start_of(width=3.0))
        for kind in ("full", "diag", "spherical", "tied")
    },
    **{f"aspect {kind}": (kind, Bounds(aspect=3.0), start_of(shape=LONG)) for kind in ("full", "tied")},
    **{
        f"floor {kind}": (kind, None, start_of(width=0.25, shift=0.0)) for kind in ("full", "diag", "spherical", "tied")
    },
    "outside": ("full", Bounds((0.5, 9), ([4, 4], [11, 15]), (1.0, 4.0), (0.5, 1.5)), start_of(0.1, 0.5, 2.0, 3.0)),
}


@pytest.mark.parametrize("case", ON_A_BOUND)
def test_nothing_sticks_to_a_bound(case):
    kind, bounds, start = ON_A_BOUND[case]
    result, free = (fitted(covariance_type=kind, bounds=b, init=i) for b, i in ((bounds, start), (None, TRUTH)))
    assert result.cost == pytest.approx(free.cost, rel=1e-8)
    assert not (flags(result, quick=True) & (ComponentFlag.AT_BOUND | ComponentFlag.AT_FLOOR)).any()


def test_a_signed_amplitude_leaves_zero():
    start = dataclasses.replace(START, amplitudes=np.array([2.2, 0.0]))
    result = fitted(amplitudes="signed", bounds=Bounds(amplitudes=(0, None)), init=start)
    assert result.cost == pytest.approx(fitted().cost, rel=1e-8)


def errors_of(result):
    errors = result.standard_errors
    return {
        name: np.asarray(getattr(errors, name)) for name in ("amplitudes", "centers", "covariances")
    }, errors.background


AT_A_BOUND = {
    "amplitudes": ("amplitudes", [True, False]),
    "centers": ("centers", [[True, False], [False, True]]),
    "widths of diag": ("covariances", [[[False, False], [False, True]]] * 2),
}


@pytest.mark.parametrize("case", ["amplitudes", "centers", slow("widths of diag")])
def test_what_a_bound_holds_has_no_error_and_the_rest_has(case):
    kind, bounds, _ = BOUNDED[case]
    name, held = AT_A_BOUND[case]
    result = fitted(covariance_type=kind, bounds=bounds)
    errors, background = errors_of(result)
    for other, values in errors.items():
        np.testing.assert_array_equal(
            np.isinf(values), np.array(held) if other == name else np.zeros(values.shape, bool)
        )
    assert np.isfinite(background.value)


@pytest.mark.slow
def test_a_held_width_or_background_has_no_error():
    kind, bounds, _ = BOUNDED["widths"]
    widths = fitted(covariance_type=kind, bounds=bounds).uncertainty().principal_widths
    assert np.isinf([widths[0, 0], widths[1, 1]]).all()
    _, background = errors_of(fitted(bounds=BOUNDED["background"][1]))
    assert np.isinf(background.value)


TURNED = GaussianSurface(START.amplitudes, START.centers[::-1], START.covariances, START.background)
ALL, NONE, LAST = np.array([True, True]), np.array([False, False]), np.array([False, True])
FIXED = {
    "a name": ("full", "amplitudes", {"amplitudes": ALL}, 11),
    "names": ("full", ["centers", "background"], {"centers": ALL, "background": True}, 8),
    "the background": ("full", ("background",), {"background": True}, 12),
    "shapes": ("full", {"covariances": True}, {"covariances": ALL}, 7),
    "shapes of diag": ("diag", {"covariances": [False, True]}, {"covariances": LAST}, 9),
    "the tied shape": ("tied", "covariances", {"covariances": ALL}, 7),
    "masks": ("full", {"centers": [False, True], "amplitudes": ALL}, {"centers": LAST, "amplitudes": ALL}, 9),
    "a mask beside a name": ("full", {"centers": LAST, "amplitudes": True}, {"centers": LAST, "amplitudes": ALL}, 9),
    "nothing": ("full", {"background": False, "centers": False}, {}, 13),
    "nothing of what is tied": ("tied", {"covariances": False}, {}, 10),
}


@pytest.mark.parametrize(
    "case", [slow(case) if case in ("shapes of diag", "the tied shape") else case for case in FIXED]
)
def test_what_is_fixed_stays_and_the_rest_is_fitted(case):
    kind, fixed, held, n_parameters = FIXED[case]
    result = fitted(covariance_type=kind, fixed=fixed, init=TURNED)
    assert result.n_parameters == n_parameters
    in_order = bool(set(held) - {"background"})
    order = np.arange(2) if in_order else np.argsort(-result.surface.centers[:, 0])
    assert (np.diff(result.surface.centers[order, 0]) < -3).all()
    errors, background = errors_of(result)
    for name, values in errors.items():
        mask, found, begun = held.get(name, NONE), getattr(result.surface, name)[order], getattr(TURNED, name)
        np.testing.assert_allclose(found[mask], begun[mask], rtol=1e-12, atol=1e-14)
        by_component = tuple(range(1, begun.ndim))
        np.testing.assert_array_equal(np.abs(found - begun).max(axis=by_component) < 1e-3, mask)
        np.testing.assert_array_equal(values[order].max(axis=by_component) == 0, mask)
        assert np.isfinite(values).all()
    still = "background" in held
    assert (abs(result.surface.background.value - 0.8) < 1e-12) == still
    assert bool(background.value == 0) == still


@pytest.mark.parametrize("fixed", ["centers", ["centers", "covariances"], {"amplitudes": True}, "background"])
def test_components_keep_the_order_of_a_start_of_which_something_is_fixed(fixed):
    """Photometry at known places: the k-th component is the k-th source, however bright it turns out to be."""
    x = np.arange(60.0)
    truth = GaussianSurface(
        np.array([1.0, 3.0, 2.0]),
        np.array([[12.0], [45.0], [28.0]]),
        np.full((3, 1, 1), 9.0),
        sf.ConstantBackground(0.5),
    )
    start = dataclasses.replace(truth, amplitudes=np.ones(3)) if fixed != {"amplitudes": True} else truth
    result = sf.fit(truth(x), 3, init=start, fixed=fixed)
    order = [1, 2, 0] if fixed == "background" else [0, 1, 2]
    np.testing.assert_allclose(result.surface.centers, truth.centers[order], rtol=1e-6)
    np.testing.assert_allclose(result.surface.amplitudes, truth.amplitudes[order], rtol=1e-6)


def test_fixed_and_free_numbers_are_those_of_scipy():
    result = fitted(
        fixed={"centers": [True, False]},
        bounds=Bounds(amplitudes=(None, 2.5)),
        init=dataclasses.replace(START, centers=CENTERS),
    )
    held = Bounds((None, 2.5), ([CENTERS[0] - 1e-12, [0, 0]], [CENTERS[0] + 1e-12, [15, 19]]))
    surface, cost = scipys("full", held)
    assert result.cost == pytest.approx(cost, rel=1e-7)
    np.testing.assert_allclose(result.surface.covariances, surface.covariances, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("init", ["growth", slow("auto")])
def test_a_background_stays_while_components_are_grown(init):
    result = fitted(init=init, background=sf.ConstantBackground(0.9), fixed="background")
    assert result.surface.background.value == pytest.approx(0.9, rel=1e-12)


def test_limits_and_masks_of_each_of_many():
    """Room for one component more than there are."""
    x = np.arange(120.0)
    places = 8 + 13 * np.arange(9.0)[:, None]
    truth = GaussianSurface(np.linspace(1, 3, 9), places, np.full((9, 1, 1), 6.0), 0.5)
    highest, held = np.where(np.arange(9) % 2, np.inf, 1.2), np.arange(9) > 6
    start = dataclasses.replace(truth, amplitudes=np.ones(9), centers=places + 0.5)
    bounds, fixed = Bounds(amplitudes=(None, highest)), {"centers": held, "background": True}
    result = sf.fit(truth(x[:, None]), 9, init=start, bounds=bounds, fixed=fixed, solver=TO_THE_END)
    np.testing.assert_allclose(result.surface.amplitudes[::2][1:], 1.2, rtol=1e-12)
    assert (result.surface.amplitudes[1::2] > 1.2).all()
    np.testing.assert_allclose(result.surface.centers[held], places[held] + 0.5, rtol=1e-12)
    np.testing.assert_allclose(result.surface.centers[~held], places[~held], atol=0.1)
    assert result.n_parameters == 28 - 3


TILED = sf.Tiled(cutoff=1e-9, tile_size=64)
SOLVED = {
    "tiled": ({"engine": TILED}, 1e-6),
    "products": ({"engine": dataclasses.replace(TILED, normal="products")}, 1e-6),
    "qr": ({"solver": dataclasses.replace(TO_THE_END, method="qr")}, 1e-6),
    "dogleg": ({"solver": sf.Dogleg(slack=0, ftol=1e-14, xtol=1e-12, gtol=1e-13)}, 1e-6),
    "dogleg, tiled": ({"engine": TILED, "solver": sf.Dogleg(slack=0, max_steps=2000)}, 1e-6),
    "adam": ({"solver": sf.Adam(max_steps=3000, learning_rate=0.01)}, 1e-4),
    "superimposed": ({"solver": "superimposed"}, 1e-3),
}


@pytest.mark.parametrize(
    ("how", "case"),
    [
        ("tiled", "widths"),
        ("qr", "widths"),
        ("dogleg", "widths"),
        slow("dogleg", "aspect"),
        slow("dogleg, tiled", "widths"),
        ("qr", "aspect"),
        slow("tiled", "aspect"),
        slow("products", "widths"),
        slow("products", "aspect"),
        slow("superimposed", "aspect"),
        ("adam", "widths"),
        slow("superimposed", "widths"),
        *(slow(how, "amplitudes") for how in SOLVED),
    ],
)
def test_engines_and_solvers_end_at_the_same_bounded_cost(how, case):
    kind, bounds, _ = BOUNDED[case]
    options, rtol = SOLVED[how]
    result = fitted(covariance_type=kind, bounds=bounds, **options)
    assert result.settings.engine == ("tiled" if how in ("tiled", "products", "dogleg, tiled") else "dense")
    assert result.cost == pytest.approx(scipys(kind, bounds)[1], rel=rtol)
    inside(result, bounds)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["widths", "aspect", "all"])
def test_bounds_in_single_precision(case):
    kind, bounds, _ = BOUNDED[case]
    result = fitted(covariance_type=kind, bounds=bounds, dtype="float32", solver=sf.LevenbergMarquardt(slack=0))
    assert result.cost == pytest.approx(scipys(kind, bounds)[1], rel=1e-3)
    inside(result, bounds, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n_components", [2, "auto"])
def test_growth_and_search_stay_inside(n_components):
    bounds = Bounds((None, 2.9), ([4, 4], [11, 15]), (1.7, 2.5))
    result = sf.fit(HEIGHTS, n_components, bounds=bounds)
    inside(result, bounds)
    assert result.cost <= 1.001 * fitted(bounds=bounds).cost


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_widths_are_bounded_alike_where_axes_are_sampled_unlike(kind):
    for scales in ([0.3, 1.0], [1.0, 0.3]):
        init = GaussianSurface(START.amplitudes, CENTERS * scales, 0.36 * ROUND / 4, 0.8)
        for bounds in (Bounds(widths=(None, 0.5)), Bounds(widths=(2.5, None))):
            coords = [np.arange(n) * scale for n, scale in zip(X.shape, scales, strict=True)]
            result = fitted(coords=coords, covariance_type=kind, bounds=bounds, init=init, solver="lm")
            inside(result, bounds)
            widths = result.surface.principal_widths
            assert np.isclose(widths, 0.5 if bounds.widths[1] else 2.5).any()


def test_bounds_come_in_the_units_of_the_data():
    kind, bounds, _ = BOUNDED["all"]
    units = {"amplitudes": 1e6, "centers": 1e-3, "widths": 1e-3, "background": 1e6}
    pairs = {
        name: tuple(side if side is None else np.multiply(side, unit) for side in getattr(bounds, name))
        for name, unit in units.items()
    }
    start = GaussianSurface(
        1e6 * START.amplitudes, 1e-3 * START.centers, 1e-6 * START.covariances, 1e6 * START.background
    )
    options = {"coords": [1e-3 * np.arange(n) for n in X.shape], "init": start, "solver": TO_THE_END}
    scaled = sf.fit(1e6 * HEIGHTS, 2, bounds=dataclasses.replace(bounds, **pairs), **options)
    plain = fitted(covariance_type=kind, bounds=bounds)
    for name, unit in (("amplitudes", 1e6), ("centers", 1e-3), ("covariances", 1e-6)):
        np.testing.assert_allclose(getattr(scaled.surface, name), unit * getattr(plain.surface, name), rtol=1e-5)
    np.testing.assert_allclose(scaled.surface.background.value, 1e6 * plain.surface.background.value, rtol=1e-5)
    np.testing.assert_array_equal(flags(scaled, quick=True), flags(plain, quick=True))


def test_a_bound_far_away_is_not_met():
    result = fitted(bounds=Bounds((0, 1e9), (-1e9, 1e9), (1e-9, 1e9)))
    assert not flags(result, quick=True).any()


@pytest.mark.slow
def test_a_file_keeps_bounds_and_what_is_fixed(tmp_path):
    bounds = Bounds(([0.1, -np.inf], [2.8, 9.0]), (None, [15, 19]), (1.0, 6.0), (0.5, None), 3.0)
    result = fitted(bounds=bounds, fixed={"centers": [True, False], "background": True})
    for file in (tmp_path / "fit.json", tmp_path / "fit.npz"):
        result.save(file)
        loaded = sf.load(file)
        assert loaded.settings.constraints == result.settings.constraints
        assert loaded.n_parameters == result.n_parameters == 10
        np.testing.assert_array_equal(loaded.flags, result.flags)
        np.testing.assert_array_equal(loaded.standard_errors.centers, result.standard_errors.centers)
    assert fitted(bounds=bounds).settings.constraints != result.settings.constraints


@pytest.mark.slow
def test_a_plane_and_a_function_are_bounded_alike():
    """A slope of 0.05 that may be 0.03 at most."""
    low, high = [-np.inf] * 3, [np.inf, 0.03, np.inf]
    options = {
        "init": dataclasses.replace(START, background=None),
        "solver": TO_THE_END,
        "bounds": Bounds(background=(low, high)),
    }
    plane = sf.fit(HEIGHTS + 0.05 * Y, 2, background="plane", **options)
    function = sf.fit(
        HEIGHTS + 0.05 * Y, 2, background=(lambda q, x: q[0] + jnp.dot(x, q[1:]), [1.0, 0.0, 0.0]), **options
    )
    assert plane.surface.background.slopes[0] == pytest.approx(0.03, rel=1e-9)
    assert function.surface.background.parameters[1] == pytest.approx(0.03, rel=1e-9)
    assert plane.cost == pytest.approx(function.cost, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bounds", [Bounds(widths=(0.6, 1.0)), Bounds(aspect=1.3), Bounds(widths=(None, 0.7)), Bounds(widths=(1.1, None))]
)
def test_no_allowed_change_is_better_in_three_dimensions(bounds):
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (600, 3))
    shape = np.array([[1.0, 0.5, 0.2], [0.5, 0.8, -0.2], [0.2, -0.2, 0.3]])
    heights = GaussianSurface([2.0], [[0.1, 0.2, -0.3]], [shape], 0.5)(points) + 0.02 * rng.normal(size=600)
    result = sf.fit_points(points, heights, 1, bounds=bounds, init="peaks", solver=TO_THE_END)
    inside(result, bounds)
    assert flags(result, quick=True) & ComponentFlag.AT_BOUND
    vectors, widths, _ = np.linalg.svd(np.linalg.cholesky(result.surface.covariances[0]))
    low, high = bounds.widths or (None, None)
    for size in (1e-2, 1e-4, 1e-5):
        for _ in range(200):
            turned, _ = np.linalg.qr(vectors + size * rng.normal(size=(3, 3)))
            sizes = np.clip(widths * (1 + size * rng.normal(size=3)), low or 0, high or np.inf)
            sizes = np.maximum(sizes, sizes.max() / (bounds.aspect or np.inf))
            other = dataclasses.replace(result.surface, covariances=np.array([turned * sizes**2 @ turned.T]))
            assert 0.5 * np.sum((other(points) - heights) ** 2) >= result.cost * (1 - 1e-9)


WRONG = {
    "no bounds": ({"bounds": (0, 1)}, "`bounds` must be None or a surfacefit.Bounds"),
    "no pair": ({"bounds": Bounds(amplitudes=3.0)}, r"`bounds.amplitudes` must be a pair \(low, high\), got 3.0"),
    "three sides": ({"bounds": Bounds(widths=(1, 2, 3))}, "`bounds.widths` must be a pair"),
    "falling": ({"bounds": Bounds(amplitudes=(2, 1))}, "`bounds.amplitudes` must rise, got 2 to 1"),
    "no room": ({"bounds": Bounds(background=(1, 1))}, "`bounds.background` must rise, .* to hold a value use `fixed`"),
    "NaN": ({"bounds": Bounds(centers=(np.nan, 1))}, "`bounds.centers` must not be NaN, got nan"),
    "text": ({"bounds": Bounds(widths=("a", 1))}, "`bounds.widths` must be an array of numbers"),
    "no amplitude": ({"bounds": Bounds(amplitudes=(-2, 0))}, "`bounds.amplitudes` must leave room above 0"),
    "no width": ({"bounds": Bounds(widths=(-2, -1))}, "`bounds.widths` must be positive"),
    "widths below the floor": ({"bounds": Bounds(widths=(None, 0.2))}, "`bounds.widths`"),
    "widths below one axis' floor": (
        {
            "bounds": Bounds(widths=(None, 0.2)),
            "coords": [np.arange(16.0), 0.1 * np.arange(20)],
            "min_width": 0.25,
            "init": "peaks",
        },
        "`bounds.widths` must leave room above `min_width`, here 0.25",
    ),
    "sides of two shapes": (
        {"bounds": Bounds(background=([0, 0], [1, 1, 1]))},
        r"`bounds.background` must have two sides of one shape",
    ),
    "no background to fix": (
        {"fixed": "background", "background": None},
        "`fixed` names a background, and background=None has none",
    ),
    "part of a shared shape": (
        {"fixed": {"covariances": [True, False]}, "covariance_type": "tied"},
        r"`fixed\['covariances'\]` must be the same for all where they share one shape",
    ),
    "a list of lists": ({"fixed": [["amplitudes"]]}, r"`fixed` must be one of 'amplitudes'.*got \['amplitudes'\]"),
    "widths of each": (
        {"bounds": Bounds(widths=([1, 1], [2, 2]))},
        r"`bounds.widths` must be numbers, got shape \(2,\)",
    ),
    "centers of three": (
        {"bounds": Bounds(centers=([0, 0, 0], None))},
        r"`bounds.centers` must be numbers or shape \(2,\)",
    ),
    "amplitudes of three": (
        {"bounds": Bounds(amplitudes=(0, [1, 2, 3]))},
        r"`bounds.amplitudes` must be numbers or shape \(2,\)",
    ),
    "each without a start": (
        {"bounds": Bounds(amplitudes=(0, [1, 2])), "init": "peaks"},
        "`bounds.amplitudes` .* need `init`",
    ),
    "backgrounds": (
        {"bounds": Bounds(background=([0, 0], None))},
        r"`bounds.background` must be numbers or have shape \(1,\)",
    ),
    "no background": ({"bounds": Bounds(background=(0, 1)), "background": None}, "`bounds.background`"),
    "aspect of diag": (
        {"bounds": Bounds(aspect=2), "covariance_type": "diag"},
        "`bounds.aspect` .* got 2 with covariance_type='diag'",
    ),
    "aspect of 1": ({"bounds": Bounds(aspect=1)}, "`bounds.aspect` must be a number above 1"),
    "aspect of text": ({"bounds": Bounds(aspect="x")}, "`bounds.aspect`"),
    "aspect a pair": ({"bounds": Bounds(aspect=(1, 2))}, "`bounds.aspect`"),
    "unknown": ({"fixed": "amplitude"}, "`fixed` must be one of .*; did you mean 'amplitudes'"),
    "unknown of some": (
        {"fixed": {"widths": True}},
        "`fixed` must be one of .*, got 'widths': widths and angles are held by 'covariances'",
    ),
    "no value of a background": (
        {"fixed": "background", "init": "peaks"},
        "`fixed` holds a background at the value given for it, got none .*init=Gauss",
    ),
    "another kind in the start": (
        {"fixed": "background", "background": "plane"},
        "`fixed` holds a background at the value given for it, got none",
    ),
    "none in the start": (
        {"fixed": {"background": True}, "init": dataclasses.replace(START, background=None)},
        "`fixed` holds a background at the value",
    ),
    "a level outside its bounds": (
        {"fixed": "background", "background": 0.9, "init": "peaks", "bounds": Bounds(background=(0, 0.5))},
        "`fixed` holds the background .* its number 0, 0.9, is none that `bounds.background` allow, 0 to 0.5",
    ),
    "a start's level outside its bounds": (
        {"fixed": "background", "bounds": Bounds(background=(7, None))},
        "`fixed` holds the background .* `bounds.background` allow, 7 to inf",
    ),
    "a slope outside its bounds": (
        {
            "fixed": "background",
            "background": sf.PlaneBackground(1.0, np.array([0.5, 2.0]), np.zeros(2)),
            "init": dataclasses.replace(START, background=None),
            "bounds": Bounds(background=(None, [3, 1, 1])),
        },
        "`fixed` holds the background .* its number 2, 2, is none that `bounds.background` allow, -inf to 1",
    ),
    "all": ({"fixed": True}, "`fixed`"),
    "no mask": (
        {"fixed": {"centers": [0, 1]}},
        r"`fixed\['centers'\]` must be True or a boolean array.*got \[0, 1\]: for 0 and 1 give",
    ),
    "too long": (
        {"fixed": {"centers": [True] * 3}},
        r"`fixed\['centers'\]` must have one entry for each component .* got \(3,\)",
    ),
    "background's mask": ({"fixed": {"background": [True]}}, r"`fixed\['background'\]` must be True"),
    "mask without a start": (
        {"fixed": {"centers": [True, False]}, "init": "peaks"},
        r"`fixed\['centers'\]` .*init=GaussianSurface",
    ),
    "growth": ({"fixed": "centers", "init": "auto"}, "`fixed` holds components at their start: give one"),
    "search": ({"fixed": "centers", "search": 1.0}, "`fixed` holds components at their start: .* no `search`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case, monkeypatch):
    options, message = WRONG[case]
    monkeypatch.setattr("surfacefit._fit.fitting.initialize", lambda *a: pytest.fail("work was done"))
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(**options)


HELD_AT = sf.GaussianSurface([1.0], [[9.0, 9.0]], [[[9.0, 1.0], [1.0, 4.0]]])
NOT_HELD = {
    "amplitude above its bound": ("amplitudes", {"bounds": Bounds(amplitudes=(0, 0.5))}),
    "centre outside its bounds": ("centers", {"bounds": Bounds(centers=([12, 0], [15, 15]))}),
    "widths below their bound": ("covariances", {"bounds": Bounds(widths=(4, 9))}),
    "widths below min_width": ("covariances", {"min_width": 3.5}),
    "slanted among axes": ("covariances", {"covariance_type": "diag"}),
    "ellipsoid among spheres": ("covariances", {"covariance_type": "spherical"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", NOT_HELD)
def test_what_cannot_be_held_at_its_start_is_refused(case, dtype):
    name, options = NOT_HELD[case]
    heights = HELD_AT(np.stack(np.indices((18, 18)), axis=-1).astype(float))
    with pytest.raises(ValueError, match=rf"`fixed` holds `{name}` at the start, but that of component 0"):
        sf.fit(heights, 1, init=HELD_AT, fixed=name, dtype=dtype, **options)


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_number_without_a_limit_is_at_none(xp):
    low, high = xp.array([-np.inf, 0.0, -np.inf, 2.0], float), xp.array([np.inf, np.inf, 1.0, 2.0], float)
    box = Box(low[None, :], high[None, :], xp.zeros(0), xp.zeros(0))

    class Parts:
        n_components = 1
        layout = type("Layout", (), {"n_components": 1, "block_size": 4})

    params = xp.array([1e30, 0.0, 1.0, 2.0], float)
    held = [np.asarray(box.at_bound(Parts, params, sign * xp.ones(4))).tolist() for sign in (1.0, -1.0)]
    assert held == [[False, True, False, True], [False, False, True, True]]
