"""Nested dissection: blocks of an inverse against NumPy's, and errors of many components against the whole inverse."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from test_uncertainty import at

import surfacefit as sf
from surfacefit._constraints.bounds import Bounds, Constraints, checked_bounds
from surfacefit._data.data import grid_data, point_data
from surfacefit._linear.regional_inverse import inverse_blocks_by_regions, regions
from surfacefit._linear.selected_inverse import Elements, inverse_blocks
from surfacefit._statistics.covariance_methods import uncertainty


def lattice(shape, size, border, seed=0, empty=()):
    """Tiles on a lattice, each over the blocks of its own place and of the next along each axis, and over a border that
    all share.

    Gives the elements, the whole matrix, the blocks and the border. Blocks in ``empty`` are in no tile.
    """
    rng = np.random.default_rng(seed)
    places = list(itertools.product(*map(range, shape)))
    number = dict(zip(places, rng.permutation(len(places)), strict=True))
    n_own = len(places) * size
    shared = n_own + np.arange(border)
    members = []
    for place in places:
        near = [tuple(p + (axis == i) for i, p in enumerate(place)) for axis in range(-1, len(shape))]
        some = sorted(number[p] for p in near if p in number and number[p] not in empty)
        members.append(np.concatenate([*(k * size + np.arange(size) for k in some), shared]).astype(int))
    roots = [rng.normal(size=(len(m), len(m) // 2 + 1)) for m in members]
    extra = rng.uniform(0.1, 1, n_own + border)
    whole = np.diag(extra)
    for m, root in zip(members, roots, strict=True):
        whole[np.ix_(m, m)] += root @ root.T
    elements = Elements(members, lambda t: roots[t] @ roots[t].T, np.array(places, float), extra)
    return elements, whole, np.arange(n_own).reshape(-1, size), shared


@pytest.mark.parametrize("leaf", [1, 8])
@pytest.mark.parametrize(
    ("shape", "size", "border"), [((40,), 3, 0), ((40,), 1, 2), ((7, 9), 4, 3), ((7, 9), 6, 0), ((4, 4, 5), 3, 1)]
)
def test_blocks_of_the_inverse_are_numpys(shape, size, border, leaf, monkeypatch):
    monkeypatch.setattr("surfacefit._linear.selected_inverse.TILES_A_LEAF", leaf)
    elements, whole, blocks, shared = lattice(shape, size, border)
    found, corner = inverse_blocks(elements, blocks, shared)
    expected = np.linalg.inv(whole)
    np.testing.assert_allclose(found, expected[blocks[:, :, None], blocks[:, None, :]], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(corner, expected[np.ix_(shared, shared)], rtol=1e-8, atol=1e-10)


def test_blocks_may_reach_into_the_border(monkeypatch):
    """As those of components of one shape do; in any order within a block."""
    monkeypatch.setattr("surfacefit._linear.selected_inverse.TILES_A_LEAF", 2)
    elements, whole, blocks, shared = lattice((6, 6), 3, 3)
    blocks = np.concatenate([blocks, np.broadcast_to(shared[[2, 0]], (36, 2))], axis=1)
    found, corner = inverse_blocks(elements, blocks, shared[[1]])
    expected = np.linalg.inv(whole)
    np.testing.assert_allclose(found, expected[blocks[:, :, None], blocks[:, None, :]], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(corner, expected[np.ix_(shared[[1]], shared[[1]])], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_tiles", [1, 3])
def test_a_few_tiles_need_no_halving(n_tiles):
    elements, whole, blocks, shared = lattice((n_tiles,), 2, 1)
    np.testing.assert_allclose(inverse_blocks(elements, blocks, shared)[0][0], np.linalg.inv(whole)[:2, :2], rtol=1e-9)


def test_unknowns_in_no_tile_stand_alone():
    elements, whole, blocks, shared = lattice((30,), 2, 1, empty=(4, 17))
    found, _ = inverse_blocks(elements, blocks, shared)
    np.testing.assert_allclose(
        found, np.linalg.inv(whole)[blocks[:, :, None], blocks[:, None, :]], rtol=1e-8, atol=1e-10
    )


def test_a_matrix_that_is_not_positive_definite_is_told():
    elements, _, blocks, shared = lattice((30,), 2, 1)
    with pytest.raises(np.linalg.LinAlgError):
        inverse_blocks(elements._replace(extra=np.full(61, -50.0)), blocks, shared)


def test_tiles_are_asked_for_once_and_in_small_numbers():
    """Their matrices are what takes memory."""
    elements, _, blocks, shared = lattice((8, 8), 2, 1)
    asked = []
    inverse_blocks(elements._replace(of=lambda t: asked.append(t) or elements.of(t)), blocks, shared)
    assert sorted(asked) == list(range(64))


@pytest.mark.parametrize("border", [0, 2])
def test_variances_by_regions_are_never_too_small_and_come_nearer_with_the_halo(border):
    elements, whole, blocks, shared = lattice((14, 14), 2, border, empty=(9, 100))
    exact = np.linalg.inv(whole)
    home = np.full(len(blocks), -1)
    for t, members in enumerate(elements.members):  # any tile that holds the block
        home[members[members < 392][::2] // 2] = t
    excess = []
    for halo in (0.0, 2.0, 4.0, 14.0):
        found, corner = inverse_blocks_by_regions(elements, blocks, shared, home, np.full(2, halo), 4)
        differences = found - exact[blocks[:, :, None], blocks[:, None, :]]
        assert np.linalg.eigvalsh(differences).min() > -1e-10
        assert not border or np.linalg.eigvalsh(corner - exact[np.ix_(shared, shared)]).min() > -1e-10
        excess.append(float(np.abs(differences).max()))
    assert excess[0] > excess[1] > excess[2]
    assert excess[3] < 1e-10


def test_regions_hold_each_tile_once_and_about_as_many_members():
    elements, *_ = lattice((14, 14), 2, 1)
    found = list(regions(elements, 5))
    assert sorted(np.concatenate(found)) == list(range(196))
    loads = [sum(len(elements.members[t]) for t in tiles) for tiles in found]
    assert max(loads) < 1.2 * min(loads)


SHAPE = (40, 44)
RNG = np.random.default_rng(0)
SIGMA = RNG.uniform(0.03, 0.07, SHAPE)
HOLE = np.hypot(*(np.mgrid[:40, :44] - np.array([20, 10])[:, None, None])) < 8
PLANE = sf.PlaneBackground(0.5, np.array([0.01, 0.02]), np.array([19.5, 21.5]))
CONSTANT = sf.ConstantBackground(0.5)
PRIOR = sf.SurfacePrior(scale=5e4, degrees_of_freedom=1e4, amplitude=0.5)


def scene(shape=SHAPE, k=9, kind="full", background=CONSTANT):
    """Components that overlap here and there."""
    rng, n_dim = np.random.default_rng(1), len(shape)
    factors = np.eye(n_dim) * rng.uniform(1.5, 2.5, (k, 1, 1)) + np.tril(0.5 * rng.normal(size=(k, n_dim, n_dim)), -1)
    covariances = factors @ factors.swapaxes(1, 2)
    covariances = {
        "full": covariances,
        "diag": covariances * np.eye(n_dim),
        "spherical": covariances[:, :1, :1] * np.eye(n_dim),
        "tied": np.repeat(covariances[:1], k, axis=0),
    }[kind]
    return sf.GaussianSurface(
        rng.uniform(1, 3, k), rng.uniform(3, np.array(shape) - 4, (k, n_dim)), covariances, background
    )


def on_grid(surface, shape=SHAPE, mask=None, sigma=None, absolute=False):
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    return grid_data(surface(points) + 0.05 * np.random.default_rng(2).normal(size=shape), None, mask, sigma, absolute)


def full():
    return at(scene(), on_grid(scene()))


def diag_and_sigma():
    surface = scene(kind="diag", background=None)
    return at(surface, on_grid(surface, sigma=SIGMA), "diag")


def tied_over_a_plane():
    surface = scene(kind="tied", background=PLANE)
    return at(surface, on_grid(surface), "tied")


def tied_with_a_prior():
    surface = scene(kind="tied")
    return at(surface, on_grid(surface, sigma=SIGMA, absolute=True), "tied", prior=PRIOR)


def spherical():
    surface = scene(kind="spherical")
    return at(surface, on_grid(surface), "spherical")


def prior_and_hole():
    return at(scene(), on_grid(scene(), mask=HOLE, sigma=SIGMA, absolute=True), prior=PRIOR)


def scattered():
    points = np.random.default_rng(3).uniform(0, np.array(SHAPE) - 1, (1500, 2))
    return at(scene(), point_data(points, scene()(points) + 0.05 * np.random.default_rng(2).normal(size=1500)))


def robust():
    return at(scene(), on_grid(scene()), loss="soft_l1", f_scale=0.05)


def curve():
    surface = scene((2000,), 20)
    return at(surface, on_grid(surface, (2000,)))


def volume():
    surface = scene((14, 16, 18), 4)
    return at(surface, on_grid(surface, (14, 16, 18)))


def fixed():
    held = {"centers": np.arange(9) == 0, "amplitudes": np.arange(9) == 4, "background": True}
    return at(scene(), on_grid(scene()), constraints=Constraints(fixed=held))


def at_a_bound(off=0.0):
    """The first amplitude would be higher."""
    surface = scene()
    low = surface.amplitudes - np.where(np.arange(9) == 0, 0.1, 0)
    bounds = checked_bounds(
        Bounds(amplitudes=(None, np.where(np.arange(9) == 0, low * (1 + off), 10))), 9, 2, False, "full"
    )
    return at(replace(surface, amplitudes=low), on_grid(surface), constraints=Constraints(bounds))


def near_a_bound():
    return at_a_bound(1e-9)


def at_a_wall():
    """Every largest width would be larger."""
    surface = scene()
    values, vectors = np.linalg.eigh(surface.covariances)
    small = replace(surface, covariances=vectors @ (np.minimum(values, 3.0)[:, :, None] * vectors.swapaxes(1, 2)))
    bounds = checked_bounds(Bounds(widths=(None, np.sqrt(3.0))), 9, 2, False, "full")
    return at(small, on_grid(surface), constraints=Constraints(bounds))


def twins():
    surface = scene()
    parts = [np.concatenate([part, part[:1]]) for part in (surface.amplitudes, surface.centers, surface.covariances)]
    parts[0][[0, 9]] /= 2
    return at(sf.GaussianSurface(*parts, CONSTANT), on_grid(surface))


CASES = [
    full, diag_and_sigma, tied_over_a_plane, prior_and_hole, at_a_bound,
    *(
        pytest.param(case, marks=pytest.mark.slow)
        for case in (spherical, robust, curve, volume, tied_with_a_prior, scattered, fixed, near_a_bound, twins,
                     at_a_wall)
    ),
]  # fmt: skip


@pytest.mark.parametrize("make", CASES)
def test_errors_by_dissection_are_those_of_the_whole_inverse(make, monkeypatch):
    result = make()
    whole, local = result.uncertainty(), dissected(result, monkeypatch)
    assert repr(local) == f"<Uncertainty: hessian, by nested dissection, {result.n_components} components>"
    assert not local.exact
    for name in ("amplitudes", "centers", "covariances"):
        np.testing.assert_allclose(getattr(local, name), getattr(whole, name), rtol=1e-3)
    for found, expected in zip(jax.tree.leaves(local.background), jax.tree.leaves(whole.background), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_derived_errors_by_dissection(monkeypatch):
    result = full()
    whole, local = result.uncertainty(), dissected(result, monkeypatch)
    for name in ("principal_widths", "fwhm", "orientation", "volumes"):
        np.testing.assert_allclose(getattr(local, name), getattr(whole, name), rtol=1e-3)


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_a_component_that_no_tile_feels_is_not_known_exactly(prior, monkeypatch):
    """It is five widths outside, and so high that its tail is seen nevertheless."""
    surface = scene()
    further = (np.array([50.0]), np.array([[-10.4, 20.0]]), 4 * np.eye(2)[None])
    parts = map(np.concatenate, zip((surface.amplitudes, surface.centers, surface.covariances), further, strict=True))
    surface = sf.GaussianSurface(*parts, CONSTANT)
    result = at(surface, on_grid(surface, sigma=SIGMA, absolute=True), prior=prior)
    whole, local = result.uncertainty(), dissected(result, monkeypatch)
    assert local.amplitudes[-1] > 0.9 * whole.amplitudes[-1] > 0
    assert (local.centers[-1] > 0.9 * whole.centers[-1]).all()


def dissected(result, monkeypatch):
    for module in ("covariance_methods", "uncertainty"):
        monkeypatch.setattr(f"surfacefit._statistics.{module}.MAX_EXACT_PARAMETERS", 5)
    monkeypatch.setattr("surfacefit._linear.selected_inverse.TILES_A_LEAF", 1)
    return uncertainty(result, "hessian")


REFUSED = {
    "of": (
        lambda errors: errors.of(lambda surface: surface.amplitudes),
        "`of` needs the whole normal matrix, of at most 5 parameters",
    ),
    "band": (
        lambda errors: errors.band(np.zeros((1, 2))),
        "`band` needs the whole normal matrix, of at most 5 parameters",
    ),
    "matrix": (
        lambda errors: errors.matrix,
        "`matrix` needs the whole normal matrix, of at most 5 parameters: fit a part of the data",
    ),
    "correlation": (lambda errors: errors.correlation, "`correlation` needs the whole normal matrix"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_the_whole_matrix_is_refused(case, monkeypatch):
    ask, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        ask(dissected(full(), monkeypatch))


@pytest.mark.parametrize("method", ["sandwich", "correlated"])
def test_other_methods_of_many_parameters_are_refused(method, monkeypatch):
    dissected(full(), monkeypatch)
    with pytest.raises(ValueError, match=f"`method`='{method}' needs the whole normal matrix, of at most 5 parameters"):
        full().uncertainty(method)
