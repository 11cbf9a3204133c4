"""Numbers that follow from others: against curve_fit of the model with the fewer numbers, and by what must hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import curve_fit, least_squares

import surfacefit as sf
from surfacefit._base.precision import in_precision, precision
from surfacefit._model.background import background_model
from surfacefit._model.covariance import COVARIANCE_TYPES
from surfacefit._model.parameters import Parameterization, surface_of
from surfacefit._model.scaling import Scaling
from surfacefit._model.units import to_internal, to_physical
from surfacefit._ties.places import Places
from surfacefit._ties.rules import checked_items
from surfacefit._ties.tied_map import TiePlan, tied_map

X = np.linspace(0, 100, 201)
DOUBLET = sf.GaussianSurface([2.0, 1.0], [[38.0], [52.0]], [[[9.0]], [[9.0]]])
RULES = {"widths": True, "amplitudes[1]": "amplitudes[0] / 3", "centers[1]": "centers[0] + 14.4"}
Y2, X2 = np.mgrid[:24, :30].astype(float)


def line(x, a, c, w):
    return a * np.exp(-0.5 * ((x - c) / w) ** 2)


def doublet(x, a, c, w, b):
    return line(x, a, c, w) + line(x, a / 3, c + 14.4, w) + b


def noisy(heights, seed=0, size=0.05):
    return heights + size * np.random.default_rng(seed).normal(size=heights.shape)


def ellipse(amplitude, center, widths, angle):
    axes = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    covariance = axes.T @ np.diag(np.square(widths)) @ axes
    return sf.GaussianSurface(np.array([amplitude]), np.array([center]), covariance[None])


def together(*surfaces):
    arrays = (
        np.concatenate([getattr(one, name) for one in surfaces]) for name in ("amplitudes", "centers", "covariances")
    )
    return sf.GaussianSurface(*arrays)


def on_grid(surface):
    return surface(np.stack([Y2, X2], axis=-1))


@pytest.fixture(scope="module")
def fitted():
    heights = noisy(doublet(X, 3.0, 40.0, 4.0, 0.5))
    return heights, sf.fit(heights, 2, coords=X, init=DOUBLET, tie=RULES)


def test_a_doublet_is_that_of_curve_fit(fitted):
    heights, result = fitted
    values, covariance = curve_fit(doublet, X, heights, [2, 38, 3, 0.4], ftol=1e-14, xtol=1e-14, gtol=1e-14)
    errors, found, known = np.sqrt(np.diag(covariance)), result.surface, result.standard_errors
    a, c, w, b = values
    np.testing.assert_allclose(found.amplitudes, [a, a / 3], rtol=1e-6)
    np.testing.assert_allclose(found.centers[:, 0], [c, c + 14.4], rtol=1e-6)
    np.testing.assert_allclose(found.principal_widths[:, 0], [w, w], rtol=1e-6)
    np.testing.assert_allclose(float(found.background.value), b, rtol=1e-6)
    np.testing.assert_allclose(known.amplitudes, [errors[0], errors[0] / 3], rtol=1e-6)
    np.testing.assert_allclose(known.centers[:, 0], errors[[1, 1]], rtol=1e-6)
    np.testing.assert_allclose(known.principal_widths[:, 0], errors[[2, 2]], rtol=1e-6)
    np.testing.assert_allclose(float(known.background.value), errors[3], rtol=1e-6)
    assert result.n_parameters == 4
    assert result.statistics.degrees_of_freedom == 197


def test_a_tied_fit_is_saved_and_read(fitted, tmp_path):
    result = fitted[1]
    result.save(tmp_path / "fit.json")
    again = sf.load(tmp_path / "fit.json")
    assert again.settings == result.settings
    np.testing.assert_array_equal(again.standard_errors.centers, result.standard_errors.centers)
    for refused in (again.bootstrap, lambda: again.worth, again.sensitivity):
        with pytest.raises(ValueError, match="does not know of `tie`"):
            refused()


def turned(rng, n_dim, count):
    """A surface whose components have clearly different widths and any axes."""
    axes = np.linalg.qr(rng.normal(size=(count, n_dim, n_dim)))[0]
    widths = np.array([3.0, 2.0, 1.3])[:n_dim] * rng.uniform(0.9, 1.1, (count, n_dim))
    covariances = np.einsum("kij,kj,klj->kil", axes, widths**2, axes)
    return sf.GaussianSurface(rng.uniform(1, 2, count), rng.uniform(8, 12, (count, n_dim)), covariances, 0.3)


# Rules, and what must hold of the surface whatever the free numbers are: (dimensions, rules, left side, right side).
HOLDS = {
    "one centre": (2, {"centers": True}, lambda s: s.centers[1:], lambda s: s.centers[[0, 0]]),
    "one centre in 3-D": (3, {"centers": True}, lambda s: s.centers[1:], lambda s: s.centers[[0, 0]]),
    "two angles": (2, {"angles": [[0, 2]]}, lambda s: s.orientation[0], lambda s: s.orientation[2]),
    "aspects": (
        2,
        {"aspects": True},
        lambda s: s.principal_widths[1:, 0] / s.principal_widths[1:, 1],
        lambda s: (s.principal_widths[:, 0] / s.principal_widths[:, 1])[[0, 0]],
    ),
    "widths in 3-D": (3, {"widths": [[1, 2]]}, lambda s: s.principal_widths[1], lambda s: s.principal_widths[2]),
    "one covariance": (3, {"covariances": [[0, 1]]}, lambda s: s.covariances[1], lambda s: s.covariances[0]),
    "turned covariances": (
        2,
        {"covariances": [[0, 1]], "angles[0]": 0.5},
        lambda s: [*s.covariances[1].ravel(), s.orientation[1]],
        lambda s: [*s.covariances[0].ravel(), 0.5],
    ),
    "a larger covariance": (
        2,
        {"covariances[1]": "4 * covariances[0]"},
        lambda s: s.covariances[1],
        lambda s: 4 * s.covariances[0],
    ),
    "volumes": (2, {"volumes": [[2, 0]]}, lambda s: s.volumes[0], lambda s: s.volumes[2]),
    "the volume": (2, {"volume": 150.0}, lambda s: s.volume, lambda s: 150.0),
    "spacing": (
        2,
        {"spacing": [[0, 1, 2]]},
        lambda s: s.centers[1] - s.centers[0],
        lambda s: s.centers[2] - s.centers[1],
    ),
    "a function": (
        2,
        {"amplitudes[2]": lambda s: jnp.sum(s.amplitudes[:2]) * s.centers[0, 1]},
        lambda s: s.amplitudes[2],
        lambda s: s.amplitudes[:2].sum() * s.centers[0, 1],
    ),
    "a chain": (
        2,
        {"amplitudes[2]": "2 * amplitudes[1]", "amplitudes[1]": "sqrt(background[0]) + pi * centers[0, 0]"},
        lambda s: s.amplitudes[1:],
        lambda s: (np.sqrt(s.background.value) + np.pi * s.centers[0, 0]) * np.array([1, 2]),
    ),
    "one width": (2, {"widths[1, 0]": 2.5}, lambda s: s.principal_widths[1, 0], lambda s: 2.5),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", HOLDS)
def test_what_a_rule_says_holds_wherever_the_free_numbers_are(case, dtype):
    n_dim, tie, left, right = HOLDS[case]
    with precision(np.dtype(dtype)):
        tied, parts, scaling = map_of(turned(np.random.default_rng(3), n_dim, 3), tie, np.dtype(dtype))
        moved = np.asarray(tied.free) + 0.05 * np.random.default_rng(4).normal(size=len(tied.free)).astype(dtype)
        params = np.asarray(tied.params(jnp.asarray(moved)))
        surface = jax.tree.map(np.asarray, to_physical(surface_of(parts, jnp.asarray(params)), scaling))
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(np.asarray(left(surface)), np.asarray(right(surface)), rtol=tolerance, atol=tolerance)
    assert len(tied.free) < len(params)
    native = ~tied.is_turned
    np.testing.assert_array_equal(params[tied.plan.free[native]], moved[native])  # what is free stands as it is


def test_the_derivative_of_the_map_is_that_of_differences():
    tie = {"angles": True, "aspects": [[0, 1]], "volumes[2]": "volumes[0] * background[0]", "spacing": [[0, 1, 2]]}
    with precision(np.dtype(np.float64)):
        tied, _, _ = map_of(turned(np.random.default_rng(3), 2, 3), tie, np.dtype(float))
        theta, steps = np.asarray(tied.free), 1e-6 * np.eye(len(tied.free))
        ahead, behind = (jax.jit(jax.vmap(tied.params))(jnp.asarray(theta + sign * steps)) for sign in (1, -1))
        np.testing.assert_allclose(jax.jit(tied.slopes)(jnp.asarray(theta)), ((ahead - behind) / 2e-6).T, atol=1e-8)


def test_widths_are_told_apart_by_their_rule():
    """A width that is held may have become the smaller one, which a surface alone does not tell."""
    with precision(np.dtype(np.float64)):
        surface = ellipse(1.0, [10.0, 10.0], [3.0, 2.0], 0.4)
        tied, _, _ = map_of(surface, {"widths[0, 0]": 2.0}, np.dtype(float), has_ended=True)
        np.testing.assert_allclose(tied.params(jnp.asarray(tied.free)), tied.parts.pack(inner(surface)), atol=1e-12)


UNITS = Scaling(np.array([9.0, 10.0, 11.0]), np.array([4.0, 5.0, 6.0]), 0.2, 3.0)


def inner(surface):
    return to_internal(surface, units(surface.n_dim))


def units(n_dim):
    return Scaling(UNITS.point_shift[:n_dim], UNITS.point_scale[:n_dim], UNITS.height_shift, UNITS.height_scale)


def map_of(surface, tie, dtype, **options):
    """The map of rules at a surface, without a fit, in units of which no two are alike."""
    kind, scaling, count = COVARIANCE_TYPES["full"], units(surface.n_dim), surface.n_components
    background = background_model(surface.background).to_internal(scaling)
    parts = Parameterization(np.full(surface.n_dim, 0.01, dtype), background, dtype.type(count), kind, count)
    plan = TiePlan(tuple(checked_items(tie, count).items()), Places(parts.layout, count, kind), frozenset())
    params = parts.pack(to_internal(surface, scaling)).astype(dtype)
    return tied_map(plan, parts, in_precision(scaling, dtype), params, surface, **options), parts, scaling


def concentric(p):
    return together(ellipse(p[0], p[2:4], p[5:7], p[4]), ellipse(p[1], p[2:4], p[7:9], p[4]))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dense", "tiled"])
def test_concentric_components_are_those_of_least_squares(engine):
    truth = np.array([3, 1.5, 11.3, 14.2, 0.6, 3, 1.5, 8, 5, 0.7])
    heights = noisy(on_grid(concentric(truth)) + truth[-1])
    start = together(ellipse(2.0, [12, 14.0], [2.5, 2], 0.4), ellipse(1.0, [12, 14.0], [7, 4.0], 0.9))
    result = sf.fit(heights, 2, init=start, tie={"centers": True, "angles": True}, engine=engine)
    exact = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14}
    known = least_squares(lambda p: (on_grid(concentric(p)) + p[-1] - heights).ravel(), truth, **exact)
    variance = 2 * known.cost / (heights.size - len(truth))
    errors = np.sqrt(np.diag(np.linalg.inv(known.jac.T @ known.jac)) * variance)
    for one, expected in ((result.surface, known.x), (result.standard_errors, errors)):
        numbers = [*one.amplitudes, *one.centers[0], one.orientation[0], *np.ravel(one.principal_widths)]
        np.testing.assert_allclose(numbers, expected[:9], rtol=1e-6)
    assert result.n_parameters == 10


BAD = {
    "a circle": (
        {"centers[1]": "centers[0] + 1", "centers[0]": "centers[1] - 1"},
        ValueError,
        "goes round in a circle",
    ),
    "itself": ({"centers[1]": "centers[1] + 1"}, ValueError, "goes round in a circle"),
    "twice": ({"amplitudes[1]": 2.0, "volumes[1]": 3.0}, ValueError, "sets a number twice"),
    "two leaders": ({"widths": True, "widths[0]": 2.0, "widths[1]": 3.0}, ValueError, "equal, which"),
    "a word": ({"centres": [[0, 1]]}, ValueError, "have groups|has groups"),
    "no name": ({"centers[1]": "x + 1"}, ValueError, "`tie` knows amplitudes, centers"),
    "python": ({"centers[1]": "__import__('os').system('true')"}, ValueError, "knows the functions"),
    "syntax": ({"centers[1]": "centers[0] +"}, ValueError, "must be formulas"),
    "an index": ({"centers[2]": "centers[0] + 1"}, ValueError, "there are only"),
    "one member": ({"centers": [[0]]}, ValueError, "at least 2 different"),
    "a member outside": ({"centers": [[0, 2]]}, ValueError, "components from 0 to 1"),
    "NaN": ({"amplitudes[1]": "log(-amplitudes[0])"}, ValueError, "must be finite at the start"),
    "a NaN number": ({"amplitudes[1]": np.nan}, ValueError, "must be finite"),
    "negative": ({"amplitudes[1]": "-amplitudes[0]"}, ValueError, "must be positive at the start"),
    "an angle in 1-D": ({"angles": True}, ValueError, "angles and aspects are those of"),
    "a quotient of zero": ({"amplitudes[1]": "1 / 0"}, ValueError, "cannot be computed at the start"),
    "a huge power": ({"amplitudes[1]": "9 ** 9 ** 9"}, ValueError, "cannot be computed at the start"),
    "thousands of terms": ({"amplitudes[1]": "+".join(["amplitudes[0]"] * 3000)}, ValueError, "some hundred terms"),
    "deep brackets": ({"amplitudes[1]": "(" * 500 + "1" + ")" * 500}, ValueError, "must be formulas"),
    "a list": ([["centers", 0, 1]], TypeError, "must be a dict"),
    "a boolean": ({"centers": False}, TypeError, "must be groups"),
    "spacing of two": ({"spacing": [[0, 1]]}, ValueError, "at least 3 different"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_meant_is_refused(case):
    tie, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        sf.fit(line(X, 3, 40, 4), 2, coords=X, init=DOUBLET, tie=tie)


FUNCTIONS = {
    "NaN": (lambda s: jnp.log(-s.amplitudes[0]), ValueError, "must be finite at the start"),
    "NumPy": (lambda s: np.log(s.amplitudes[0]), TypeError, "must be written with jax.numpy"),
    "a shape": (lambda s: s.amplitudes, ValueError, "real numbers of shape"),
    "a circle": (lambda s: s.amplitudes[1] + 1, ValueError, "goes round in a circle"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_that_give_no_value_are_refused(case):
    function, kind, message = FUNCTIONS[case]
    with pytest.raises(kind, match=message):
        sf.fit(line(X, 3, 40, 4), 2, coords=X, init=DOUBLET, tie={"amplitudes[1]": function})


BESIDE = {
    "no start": ({"init": "peaks"}, "give init=GaussianSurface"),
    "a search": ({"search": 1.0}, "no `search`"),
    "a chosen number": ({"n_components": "auto"}, "grows from nothing"),
    "bounds of what follows": ({"bounds": sf.Bounds(centers=(0, 50))}, "`bounds.centers` limit what"),
    "bounds of widths": ({"bounds": sf.Bounds(widths=(1, 5))}, "cannot be followed beside `tie`"),
    "one shape": ({"tied": "covariances"}, "no component has a shape of its own"),
    "EM": ({"solver": "superimposed"}, "must be 'lm', 'dogleg' or 'adam' beside `tie`"),
    "what is fixed": ({"fixed": {"centers": [False, True]}}, "sets a number twice"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_what_does_not_go_with_ties_is_refused(case):
    options, message = BESIDE[case]
    given = {"n_components": 2, "coords": X, "init": DOUBLET, "tie": RULES} | options
    with pytest.raises(ValueError, match=message):
        sf.fit(line(X, 3, 40, 4), **given)


def test_a_batch_has_no_ties():
    with pytest.raises(TypeError, match="no option `tie`"):
        sf.fit_many(np.ones((2, 5)), 1, tie=RULES)
