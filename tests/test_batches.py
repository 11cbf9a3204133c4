"""What is done with many fits: cut-outs, an order of components, labels, pictures, files."""

import base64
from dataclasses import replace

import numpy as np
import pytest
import xarray

import surfacefit as sf
from surfacefit._base.documents import NotAFit
from surfacefit._batches.labels import DATASET_NAMES, _labels
from surfacefit._batches.matching import distances

X = np.arange(40.0)


def spots(shape=(30, 34), seed=0):
    """An image of three round spots with noise, and where they are."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[: shape[0], : shape[1]]
    places = np.array([[8.3, 9.1], [20.2, 24.6], [28.4, 32.2]])
    image = sum(3 * np.exp(-0.5 * ((y - v) ** 2 + (x - u) ** 2) / 2.5) for v, u in places)
    return 1 + image + rng.normal(0, 0.02, shape), places


def cube(n_rows=4, n_columns=6):
    """Curves with three lines whose areas cross over the batch, and the amplitudes and centres of each (..., 3)."""
    rows, columns = np.mgrid[:n_rows, :n_columns] / np.reshape([max(1, n_rows - 1), max(1, n_columns - 1)], (2, 1, 1))
    amplitudes = np.stack([1 + 2 * columns, 3 - 2 * columns, 1.2 + rows], axis=-1)
    centers = np.stack([9 + 2 * rows, 20 + 0 * rows, 30 + 2 * columns], axis=-1)
    curves = (amplitudes[..., None] * np.exp(-0.5 * ((X - centers[..., None]) / 2) ** 2)).sum(axis=-2)
    return curves + np.random.default_rng(1).normal(0, 0.01, curves.shape), amplitudes, centers


@pytest.fixture(scope="module")
def lines():
    maps, amplitudes, centers = cube()
    return sf.fit_many(maps, 3, ndim=1, init="growth"), amplitudes, centers


def test_cutouts_are_fits_of_boxes_in_the_coordinates_of_the_image():
    image, places = spots()
    image[7, 8] = np.nan
    mask, sigma = np.zeros(image.shape, bool), np.full(image.shape, 0.02)
    mask[20, 23], sigma[21, 24] = True, np.nan
    axes = (10 + 0.5 * np.arange(30), 2.0 * np.arange(34))
    positions = [*np.round(places) * [0.5, 2] + [10, 0], (200.0, 3.0), (1e300, -1e12)]
    batch = sf.fit_cutouts(image, positions, (9, 8), coords=axes, mask=mask, sigma=sigma, absolute_sigma=True)
    assert (batch.status[3:] == sf.Status.EMPTY).all()
    np.testing.assert_allclose(batch.centers[:3, 0], places * [0.5, 2] + [10, 0], atol=0.1)
    assert batch.n_used.tolist() == [71, 70, 6 * 6, 0, 0]
    box = (slice(4, 13), slice(5, 13))
    alone = sf.fit(
        image[box],
        1,
        coords=[axes[0][box[0]], axes[1][box[1]]],
        sigma=0.02,
        absolute_sigma=True,
        init="growth",
        search=0,
    )
    np.testing.assert_allclose(batch.centers[0], alone.surface.centers, rtol=1e-6)
    np.testing.assert_allclose(batch.standard_errors.centers[0], alone.standard_errors.centers, rtol=1e-4)
    assert batch.rmse[0] == pytest.approx(batch[0].rmse) == pytest.approx(alone.rmse, rel=1e-6)


def test_cutouts_of_a_curve_and_of_a_masked_image():
    curve = sum(np.exp(-0.5 * ((X - c) / 2) ** 2) for c in (9, 30))
    batch = sf.fit_cutouts(curve, [9.4, 29.6], 13)
    np.testing.assert_allclose(batch.centers[:, 0, 0], [9, 30], atol=1e-3)
    masked = np.ma.masked_greater(curve, 0.9)
    assert sf.fit_cutouts(masked, [9, 30], 13).n_used.tolist() == [12, 12]


ELSEWHERE = {
    "bounds": {"bounds": sf.Bounds(centers=([0, 0], [40, 40]))},
    "start": {"init": sf.GaussianSurface([2.0], [[20.0, 25.0]], [np.eye(2) * 3], 1.0)},
    "uneven axes": {"coords": (np.arange(30) + 1e-6 * np.arange(30) ** 2, np.arange(34.0))},
    "plane": {"background": "plane"},
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_cutouts_that_are_fitted_where_they_are_are_those_fitted_at_one_place(case):
    image, places = spots()
    options, which = ELSEWHERE[case], slice(1, 2) if case == "start" else slice(0, 2)
    batch = sf.fit_cutouts(image, places[which], 9, **options)
    plain = sf.fit_cutouts(
        image,
        places[which],
        9,
        **({} if case != "plane" else {**options, "coords": ELSEWHERE["uneven axes"]["coords"]}),
    )
    np.testing.assert_allclose(batch.centers, plain.centers, atol=2e-3)
    np.testing.assert_allclose(batch.amplitudes, plain.amplitudes, rtol=1e-3)
    for n, result in enumerate(batch.results):
        assert result.rmse == pytest.approx(batch.rmse[n], rel=1e-6)


IMAGE = spots()[0]
WRONG_CUTOUTS = {
    "positions": (lambda: sf.fit_cutouts(IMAGE, [(1, 2, 3)], 5), r"`positions` must have shape \(M, 2\)"),
    "none": (lambda: sf.fit_cutouts(IMAGE, np.zeros((0, 2)), 5), "`positions` must hold at least one"),
    "booleans": (lambda: sf.fit_cutouts(IMAGE, [(True, False)], 5), "`positions` must be places in `image`, got bool"),
    "infinite place": (lambda: sf.fit_cutouts(IMAGE, [(1, 2), (1, np.inf)], 5), r"inf at index \(1, 1\)"),
    "huge": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 10**9), "`shape` must be at most 136, 4 times"),
    "nan": (lambda: sf.fit_cutouts(IMAGE, [(1, np.nan)], 5), "`positions` must be finite"),
    "shape": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], (5, 5, 5)), "`shape` must be"),
    "zero": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 0), "`shape` must be"),
    "words": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], "big"), "`shape` must be"),
    "image": (lambda: sf.fit_cutouts("image.png", [(1, 2)], 5), "`image` must"),
    "infinite": (lambda: sf.fit_cutouts(np.where(IMAGE > 3, np.inf, IMAGE), [(1, 2)], 5), "`image` must not be inf"),
    "mask": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 5, mask=np.zeros(3)), "`mask` must have the shape"),
    "sigma": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 5, sigma=np.ones(3)), "`sigma` must be a number or"),
    "coords": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 5, coords=[X]), "`coords` must hold one array"),
    "ndim": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 5, ndim=2), "no option `ndim`"),
    "option": (lambda: sf.fit_cutouts(IMAGE, [(1, 2)], 5, search=3), r"fit_cutouts\(\) has no option `search`"),
}


@pytest.mark.parametrize("case", WRONG_CUTOUTS)
def test_wrong_arguments_of_cutouts_are_named(case):
    call, message = WRONG_CUTOUTS[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_coordinates_of_each_map():
    maps, _, _ = cube(1, 2)
    batch = sf.fit_many(maps[0], 3, coords=[(X,), (X + 100,)], init="growth")
    plain = sf.fit_many(maps[0], 3, init="growth")
    np.testing.assert_allclose(batch.centers, plain.centers + np.reshape([0, 100], (2, 1, 1)), rtol=1e-6)
    np.testing.assert_allclose(batch.rmse, plain.rmse, rtol=1e-6)
    with pytest.raises(ValueError, match=r"`coords` must be one array an axis, or a list of 2"):
        sf.fit_many(maps[0], 3, coords=[(X,), (X,), (X,)])


def test_components_are_ordered_alike(lines):
    batch, amplitudes, centers = lines
    assert np.abs(batch.centers[..., 0] - centers).max() > 5  # by volume, maps of centres jump
    found = batch.matched()
    order = np.argsort(found.centers[0, 0, :, 0])
    np.testing.assert_allclose(found.centers[..., order, 0], centers, atol=0.1)
    np.testing.assert_allclose(found.amplitudes[..., order], amplitudes, atol=0.05)
    np.testing.assert_array_equal(found[2, 3].surface.centers, found.centers[2, 3])
    np.testing.assert_array_equal(
        np.sort(found[2, 3].standard_errors.centers[:, 0]), np.sort(batch.standard_errors.centers[2, 3, :, 0])
    )
    np.testing.assert_array_equal(found.cost, batch.cost)
    np.testing.assert_array_equal(found[1].amplitudes, found.amplitudes[1])
    again = sf.fit_many(cube()[0], 3, ndim=1, init=batch, match="neighbours")
    np.testing.assert_allclose(np.sort(again.centers[..., 0]), np.sort(centers), atol=0.1)
    assert np.abs(np.diff(again.centers[..., 0], axis=1)).max() < 1


def test_a_component_that_is_missing_in_between_keeps_its_place():
    maps, _, centers = cube(1, 5)
    counts = np.array([3, 3, 2, 3, 3])
    maps[0, 2] = np.exp(-0.5 * ((X - centers[0, 2, 0]) / 2) ** 2) + np.exp(-0.5 * ((X - centers[0, 2, 2]) / 2) ** 2)
    maps = np.concatenate([maps[0], np.full((1, 40), np.nan)])
    batch = sf.fit_many(maps, [*counts, 3], init="growth", match="neighbours")
    order = np.argsort(batch.centers[0, :, 0])
    found = batch.centers[:, order, 0]
    assert np.isnan(found[2]).tolist() == [False, True, False]
    assert batch.active[:, order].sum(axis=1).tolist() == [3, 3, 2, 3, 3, 0]
    np.testing.assert_allclose(np.delete(found[:5], 2, axis=0), np.delete(centers[0], 2, axis=0), atol=0.1)
    np.testing.assert_array_equal(batch[2].surface.centers[:, 0], batch.centers[2][batch.active[2]][:, 0])
    assert np.isnan(batch.standard_errors.centers[2, :, 0]).tolist() == (~batch.active[2]).tolist()


def test_distances_of_components_are_those_of_plain_loops():
    rng = np.random.default_rng(0)

    def some(k):
        factors = np.eye(2) + 0.3 * np.tril(rng.normal(size=(k, 2, 2)))
        return rng.uniform(1, 2, k), rng.normal(size=(k, 2)), factors @ factors.swapaxes(1, 2)

    one, other = some(3), some(2)
    for k in range(3):
        for m in range(2):
            (a, c, s), (b, d, t) = ([array[n] for array in which] for n, which in ((k, one), (m, other)))
            ratios = np.log(np.sqrt(np.linalg.eigvalsh(s)) / np.sqrt(np.linalg.eigvalsh(t)))
            plain = (c - d) @ np.linalg.inv((s + t) / 2) @ (c - d) + ratios @ ratios + (a - b) ** 2 / (a**2 + b**2)
            assert distances(*one, *other)[k, m] == pytest.approx(plain)


def labelled():
    maps, _, _ = cube()
    coords = {"row": [10, 20, 30, 40], "column": list("abcdef"), "wavelength": X[::-1] + 500}
    return xarray.DataArray(maps[..., ::-1], dims=list(coords), coords=coords, name="flux", attrs={"units": "Jy"})


def test_labels_go_in_and_come_out(lines):
    maps, (plain, _, _) = labelled(), lines
    batch = sf.fit_many(maps, 3, ndim=1, init="growth", mask=xarray.zeros_like(maps, bool))
    np.testing.assert_allclose(batch.centers, plain.centers + 500, rtol=1e-6)
    found = batch.to_xarray()
    assert found.modelfit_coefficients.dims == ("row", "column", "param")
    assert found.centers.sel(row=30, column="b", component=0).axis.values.tolist() == ["wavelength"]
    one = found.sel(row=30, column="b")
    np.testing.assert_array_equal(one.amplitudes, batch.amplitudes[2, 1])
    np.testing.assert_array_equal(one.modelfit_coefficients.sel(param="g1_center_0"), batch.centers[2, 1, 1, 0])
    np.testing.assert_array_equal(
        one.modelfit_stderr.sel(param="g1_center_0"), batch.standard_errors.centers[2, 1, 1, 0]
    )
    assert float(one.modelfit_stats.sel(fit_stat="chisqr")) == batch.chi2[2, 1]
    assert found.attrs == {"units": "Jy"}
    part = batch[1:3, 2].to_xarray(errors=False)
    assert (part.row.values.tolist(), str(part.column.values), "modelfit_stderr" in part) == ([20, 30], "c", False)
    assert batch[np.array([0, 2])].labels is None
    assert plain.to_xarray(errors=False).centers.dims == ("map_0", "map_1", "component", "axis")


def test_names_of_maps_do_not_replace_numbers_of_the_fit(lines):
    batch, _, _ = lines
    named = batch.to_xarray()
    assert {*map(str, named.variables), *map(str, named.dims)} - {"map_0", "map_1"} == set(DATASET_NAMES)
    maps = labelled()[:1, :2].assign_coords(amplitudes=("column", [7.0, 8.0]), flags=3)
    found = sf.fit_many(maps, 3, ndim=1, init="growth").to_xarray()
    assert found.amplitudes.dims == ("row", "column", "component")
    assert (found.maps_amplitudes.values.tolist(), int(found.maps_flags)) == ([7.0, 8.0], 3)


def test_components_that_are_missing_in_between_find_their_places_again():
    """Three lines; the map in the middle has the first alone, and the others have them in different orders."""
    x = np.arange(60.0)

    def curve(*heights):
        return sum(h * np.exp(-0.5 * ((x - c) / 2.5) ** 2) for h, c in zip(heights, (12, 30, 48), strict=True))

    maps = np.array([curve(5, 2, 3), curve(5, 0, 0), curve(2, 3, 5)])
    found = sf.fit_many(maps, np.array([3, 1, 3]), init="growth").matched()
    places = found.centers[0, :, 0]
    np.testing.assert_allclose(np.sort(places), [12, 30, 48], atol=0.1)
    np.testing.assert_allclose(found.centers[2, :, 0], places, atol=0.1)
    np.testing.assert_array_equal(found.active[1], places < 13)


def test_no_maps_are_in_order(lines):
    assert lines[0][0:0].matched().shape == (0, 6)


def test_parameters_are_named_in_their_order():
    image, places = spots()
    found = sf.fit_cutouts(image, np.round(places), 9, background="plane").to_xarray(errors=False)
    one = found.isel(map_0=0).modelfit_coefficients
    assert one.param.values.tolist() == [
        *("g0_amplitude", "g0_center_0", "g0_center_1", "g0_covariance_00", "g0_covariance_10", "g0_covariance_11"),
        *("background_0", "background_1", "background_2"),
    ]
    assert float(one.sel(param="g0_covariance_10")) == float(found.covariances[0, 0, 1, 0])


WRONG_LABELS = {
    "ndim": (lambda: sf.fit_many(labelled(), 1, ndim=3), "`ndim` must leave leading dimensions"),
    "words": (
        lambda: sf.fit_many(labelled().transpose("row", "wavelength", "column"), 1, ndim=1),
        "must have numbers as",
    ),
    "match": (lambda: sf.fit_many(labelled(), 1, ndim=1, match="nearest"), "`match` must be"),
    "name": (lambda: sf.fit_many(labelled().rename(row="param"), 1, ndim=1), "`maps` must not have 'param'"),
}


@pytest.mark.parametrize("case", WRONG_LABELS)
def test_wrong_labels_are_named(case):
    call, message = WRONG_LABELS[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "quantity", ["amplitude", "center", "width", "volume", "flags", "status", "rmse", "background"]
)
def test_a_map_shows_the_values_of_the_batch(lines, quantity):
    batch = lines[0]
    figure = batch.plot(quantity)
    images = [panel.get_images()[0].get_array() for panel in figure.axes if panel.get_images()]
    values = {
        "amplitude": batch.amplitudes[..., 1],
        "center": batch.centers[..., 1, 0],
        "width": np.sqrt(batch.covariances[..., 1, 0, 0]),
        "volume": batch.amplitudes[..., 1] * np.sqrt(2 * np.pi * batch.covariances[..., 1, 0, 0]),
        "flags": np.unique(batch.flags[..., 1], return_inverse=True)[1].reshape(batch.shape),
        "status": np.unique(batch.status, return_inverse=True)[1].reshape(batch.shape),
        "rmse": batch.rmse,
        "background": batch.background[..., 0],
    }[quantity]
    np.testing.assert_allclose(images[min(1, len(images) - 1)], values)


def test_pictures_have_the_names_and_units_of_the_maps(lines):
    maps = labelled().assign_coords(row=("row", [10, 20, 30, 40], {"units": "km"}))
    batch = replace(lines[0], labels=_labels(maps, ("wavelength",)))
    figure = batch.plot("center")
    assert (figure.axes[0].get_ylabel(), figure.axes[2].get_xlabel()) == ("row [km]", "column")
    assert figure.axes[1].get_title() == "center along wavelength of component 1"
    assert "amplitude [Jy]" in [panel.get_ylabel() for panel in batch.plot("amplitude").axes]


def test_volumes_are_drawn_where_maps_have_fewer_components():
    x = np.arange(20.0)
    maps = np.stack([np.exp(-0.5 * ((x - 8) / 2) ** 2), np.full(20, np.nan), x * 0])
    batch = sf.fit_many(maps, [1, 1, 0], init="growth", progress=False)
    (line,) = batch.plot("volume").axes[0].get_lines()
    np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False, True, True])


def test_a_curve_shows_the_values_of_a_row(lines):
    row = lines[0][1]
    (panel,) = row.plot("amplitude").axes
    np.testing.assert_array_equal([line.get_ydata() for line in panel.get_lines()], row.amplitudes.T)
    (panel,) = row.plot("status").axes
    np.testing.assert_array_equal(panel.get_lines()[0].get_ydata(), row.status)
    (line,) = row.plot("center", component=2).axes[0].get_lines()
    assert line.get_linestyle() == "None"
    (line,) = row.matched()[1:].plot("center", component=2).axes[0].get_lines()
    assert line.get_linestyle() == "-"


def test_what_cannot_be_drawn_is_named(lines):
    batch = lines[0]
    with pytest.raises(ValueError, match="`quantity` must be one of"):
        batch.plot("height")
    with pytest.raises(ValueError, match="`component` must be None or one of 0 to 2"):
        batch.plot("amplitude", component=3)
    with pytest.raises(ValueError, match="`component` must be None for the quantity"):
        batch.plot("rmse", component=0)
    with pytest.raises(ValueError, match="one or two axes"):
        sf.fit_many(cube()[0][None], 1, ndim=1, init=sf.GaussianSurface([1.0], [[9.0]], [[[4.0]]])).plot()


KEPT = ("amplitudes", "centers", "covariances", "background", "status", "cost", "steps", "rmse", "bic", "n_used")
SAVED = {
    "grid": lambda: sf.fit_many(cube(2, 2)[0], 3, ndim=1, init="growth", sigma=0.01, absolute_sigma=True),
    "coordinates": lambda: sf.fit_many(cube(1, 2)[0][0], 3, coords=X - 7, mask=X < 2, init="growth"),
    "list": lambda: sf.fit_many([X * np.nan, cube(1, 1)[0][0, 0][:30], cube(1, 1)[0][0, 0]], [1, 2, 3], init="growth"),
    "points": lambda: sf.fit_many(cube(1, 2)[0][0], 3, points=X[:, None], loss="huber", init="growth"),
    "cut-outs": lambda: sf.fit_cutouts(IMAGE, spots()[1], 9, sigma=IMAGE),
    "matched": lambda: sf.fit_many(cube(1, 4)[0][0], [3, 2, 3, 3], init="growth").matched()[1:],
}


@pytest.mark.parametrize("case", SAVED)
@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_a_batch_comes_back_from_its_file(tmp_path, case, suffix):
    batch = SAVED[case]()
    batch.save(tmp_path / f"batch.{suffix}")
    again = sf.load(tmp_path / f"batch.{suffix}")
    assert again.shape == batch.shape
    for name in KEPT:
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
    last, before = again.results[len(again.results) - 1], batch.results[len(batch.results) - 1]
    np.testing.assert_array_equal(last.residuals, before.residuals)
    np.testing.assert_array_equal(last.surface.centers, before.surface.centers)
    assert last.settings.n_parameters == before.settings.n_parameters
    np.testing.assert_allclose(again.standard_errors.centers, batch.standard_errors.centers, rtol=1e-9)


def hostile(change):
    """A saved batch as JSON, changed."""

    def changed(path):
        import json

        sf.fit_many(cube(1, 2)[0][0], 2, init="growth", sigma=[0.1, 0.2]).save(path)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return changed


def put(*keys, value):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return hostile(change)


def numbers(*values):
    return {"dtype": "float64", "shape": [len(values)], "base64": base64.b64encode(np.array(values, float)).decode()}


NAN = {"dtype": "float64", "shape": [2], "base64": "AAAAAAAA+H8AAAAAAAD4fw=="}
HOSTILE = {
    "no maps": (hostile(lambda document: document.pop("maps")), "it has no 'maps'"),
    "shape": (put("shape", value=[3]), "must have shape"),
    "huge": (put("shape", value=[10**9, 10**9]), "must have shape"),
    "not a shape": (put("shape", value=["a"]), "`shape` must be a list"),
    "status": (
        put("ends", "status", value={"dtype": "int64", "shape": [2], "values": [77, 1]}),
        "codes that mean nothing",
    ),
    "count": (
        put("ends", "n_components", value={"dtype": "int64", "shape": [2], "values": [1, 2]}),
        "must be NaN where",
    ),
    "steps": (
        put("ends", "steps", value={"dtype": "int64", "shape": [2], "values": [-1, 2]}),
        "must be zero or positive",
    ),
    "used": (put("ends", "n_used", value={"dtype": "int64", "shape": [2], "values": [99, 2]}), "`ends.n_used`"),
    "cost": (put("ends", "cost", value=NAN), "`ends.cost` must be finite"),
    "used too few": (
        put("ends", "n_used", value={"dtype": "int64", "shape": [2], "values": [39, 40]}),
        "`ends.n_used` must be 40 for map 0",
    ),
    "negative cost": (put("ends", "cost", value=numbers(1, -1)), "`ends.cost` must be zero or positive"),
    "negative penalty": (put("ends", "penalty", value=numbers(-1, 0)), "`ends.penalty` must be zero or positive"),
    "negative amplitude": (
        put("surfaces", "amplitudes", value={**numbers(3, 2, 3, -2), "shape": [2, 2]}),
        "`surfaces.amplitudes` must not be negative",
    ),
    "sigmas": (put("maps", "sigmas", value="many"), "`sigmas` must be an array"),
    "too few": (put("maps", "sigmas", value={"of_each": [None]}), "must be as many"),
    "loss": (put("settings", "loss", value="hubris"), "`settings.loss` must be"),
    "version": (put("version", value=99), "has version 99"),
    "format": (put("format", value="surfacefit salad"), "it is a surfacefit salad"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_of_batches_are_refused(tmp_path, case):
    make, message = HOSTILE[case]
    make(tmp_path / "batch.json")
    with pytest.raises(NotAFit, match=message):
        sf.load(tmp_path / "batch.json")


def overlapping(n=9, noise=0.02):
    """n x n curves of three lines that overlap and vary smoothly, and their centres (n, n, 3)."""
    v, u = np.mgrid[:n, :n] / (n - 1.0)
    amplitudes = np.stack([1 + 0.5 * np.sin(2 * np.pi * u), 1.1 + 0.5 * np.cos(np.pi * (u + v)), 0.9 + 0.3 * v], -1)
    centers = np.stack([11 + 2 * v, 19 + u * v, 27 - 2 * u], -1)
    curves = (amplitudes[..., None] * np.exp(-0.5 * ((X - centers[..., None]) / 2.8) ** 2)).sum(-2)
    return curves + np.random.default_rng(2).normal(0, noise, curves.shape), centers


def test_starts_from_neighbours_end_lower_and_without_jumps():
    maps, centers = overlapping()
    maps[4, 4], maps[8, 0, 5:] = np.nan, np.nan
    own = sf.fit_many(maps, 3, ndim=1, init="growth")
    seen = []
    batch = sf.fit_many(maps, 3, ndim=1, init="neighbours", match="neighbours", callback=lambda p: seen.append(p.done))
    fitted = own.n_components > 0
    assert (batch.cost[fitted] <= own.cost[fitted] * (1 + 1e-9)).all()
    assert batch.chi2[fitted].sum() < 0.999 * own.chi2[fitted].sum()
    assert batch.status[4, 4] == sf.Status.EMPTY
    assert batch.status[8, 0] == sf.Status.TOO_FEW_POINTS
    order = np.argsort(batch.centers[0, 0, :, 0])
    assert np.abs(batch.centers[fitted][:, order, 0] - centers[fitted]).max() < 2
    assert np.abs(np.sort(own.centers[fitted][:, :, 0]) - centers[fitted]).max() > 4
    assert max(seen) == seen[-1] == maps[..., 0].size
    np.testing.assert_allclose(batch[3, 5].rmse, batch.rmse[3, 5], rtol=1e-6)


def test_numbers_of_components_are_those_that_fit_chooses():
    rng = np.random.default_rng(3)
    maps = np.concatenate(
        [cube(1, 2)[0][0], cube(1, 1)[0][0][:, :17].repeat(1, 0) @ np.eye(17, 40), rng.normal(0, 1, (2, 40))]
    )
    maps[-1] = np.nan
    batch = sf.fit_many(maps, "auto")
    for n, one in enumerate(maps[:-1]):
        alone = sf.fit(one, search=0)
        assert batch.n_components[n] == alone.n_components
        assert batch[n].path.chosen == alone.path.chosen
        assert batch.rmse[n] == pytest.approx(alone.rmse, rel=1e-6) == pytest.approx(batch[n].rmse, rel=1e-6)
    assert batch.n_components.tolist()[:2] == [3, 3]
    assert batch.n_components[-2:].tolist() == [0, 0]
    assert (batch.status[-2], batch.status[-1]) == (sf.Status.CONVERGED_COST, sf.Status.EMPTY)
    assert batch.success[-2]
    assert batch[-2].n_components == 0
    assert batch.matched().n_components.tolist() == batch.n_components.tolist()
    assert len(batch.table()["component"]) == batch.n_components.sum()
    with pytest.raises(ValueError, match="`init` must be 'auto'"):
        sf.fit_many(maps, "auto", init="peaks")
    stopped = sf.fit_many(maps, sf.AutoComponents("bic"), callback=lambda progress: True)
    assert (stopped.status == sf.Status.STOPPED).sum() in (1, 2, 3, 4)


def test_neighbours_have_as_many_components():
    maps, _ = overlapping(4)
    counts = np.full((4, 4), 3)
    counts[:, 2:] = 2
    own = sf.fit_many(maps, counts, ndim=1, init="growth")
    batch = sf.fit_many(maps, counts, ndim=1, init="neighbours")
    np.testing.assert_array_equal(batch.n_components, counts)
    assert (batch.cost <= own.cost * (1 + 1e-9)).all()


def test_what_neighbours_have_reached_in_time_is_kept(monkeypatch):
    monkeypatch.setattr("surfacefit._many.lanes.MOST_MAPS_A_PROGRAM", 2)
    monkeypatch.setattr("surfacefit._many.fit_many.cores", lambda: 1)
    batch = sf.fit_many(overlapping(4)[0], 2, ndim=1, init="neighbours", callback=lambda progress: progress.done >= 3)
    reached = np.isfinite(batch.cost)
    assert (batch.status[~reached] == sf.Status.STOPPED).all()
    assert 0 < reached.sum() < 16
