"""Results: numbers, text, and files that come back exactly."""

import json
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._constraints.bounds import Constraints
from surfacefit._fit.make_result import settings_of
from surfacefit._fit.run_spec import RunSpec
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._results.flags import ComponentFlags
from surfacefit._results.report import summary
from surfacefit._results.summary_record import RESULT_VERSION
from surfacefit._statistics.linearization import linearized_at, model_of

Y, X = np.mgrid[:14, :16].astype(float)
HEIGHTS = (
    3 * np.exp(-0.5 * (((Y - 5) / 2) ** 2 + ((X - 8) / 3) ** 2))
    + 1
    + np.random.default_rng(0).normal(size=Y.shape) * 0.1
)


def wave(parameters, points):
    return parameters[0] + parameters[1] * jnp.cos(points[..., 0])


RESULTS = {
    "grid": lambda: sf.fit(HEIGHTS, 2, search=0),
    "nan, mask, sigma, coords": lambda: sf.fit(
        np.where(X > 13, np.nan, HEIGHTS),
        1,
        mask=Y > 12,
        sigma=0.1 + 0.01 * X,
        absolute_sigma=True,
        coords=(np.arange(14) / 3, np.arange(16) * 7.0),
        init="peaks",
    ),
    "points, plane": lambda: sf.fit_points(
        np.column_stack([Y.ravel(), X.ravel()]), HEIGHTS.ravel(), 1, background="plane", init="peaks"
    ),
    "single precision, no background": lambda: sf.fit(HEIGHTS.astype(np.float32), 1, background=None, init="peaks"),
    "function": lambda: sf.fit(HEIGHTS, 1, background=(wave, [1.0, 0.1]), init="peaks"),
    "one dimension": lambda: sf.fit(HEIGHTS[5], 1, init="peaks"),
}


@cache
def made(name):
    return RESULTS[name]()


@pytest.fixture(params=RESULTS)
def result(request):
    return made(request.param)


def test_numbers_agree_with_their_definitions(result):
    used = result.data.used
    rest = (result.data.heights - result.predict())[used].astype(float)
    np.testing.assert_allclose(result.rmse, np.sqrt(np.mean(rest**2)), rtol=1e-9)
    heights = result.data.heights[used].astype(float)
    np.testing.assert_allclose(result.r2, 1 - np.sum(rest**2) / np.sum((heights - heights.mean()) ** 2), rtol=1e-9)
    sigma = 1.0 if result.data.sigma is None else result.data.sigma[used]
    np.testing.assert_allclose(result.cost, 0.5 * np.sum((rest / sigma) ** 2), rtol=1e-5)
    np.testing.assert_allclose(result.history["cost"].min(), result.cost, rtol=1e-6)
    assert result.n_points == used.sum()
    assert 0 < len(result.history["cost"]) <= result.steps


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_files_come_back_exactly(result, tmp_path, suffix):
    path = tmp_path / f"fit.{suffix}"
    result.save(path)
    loaded = sf.load(path, background=wave)
    assert b"pickle" not in path.read_bytes()[:100]
    for name in ("amplitudes", "centers", "covariances"):
        exact(getattr(loaded.surface, name), getattr(result.surface, name))
    exact(loaded.predict(), result.predict())
    exact(loaded.residuals, result.residuals)
    for name in result.history:
        exact(loaded.history[name], result.history[name])
    assert loaded.summary() == result.summary()
    assert (loaded.cost, loaded.status, loaded.steps, loaded.timings, loaded.settings) == (
        result.cost, result.status, result.steps, result.timings, result.settings,
    )  # fmt: skip
    second = tmp_path / f"again.{suffix}"
    loaded.save(second)
    if suffix == "json":
        assert second.read_text() == path.read_text()
    exact(loaded.standard_errors.centers, result.standard_errors.centers)


def exact(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_a_missing_background_function_is_named(tmp_path):
    path = tmp_path / "fit.json"
    made("function").save(path)
    loaded = sf.load(path)
    with pytest.raises(ValueError, match=r"background function 'wave'.*load\(path, background=wave\)"):
        loaded.predict()


VALUES = {
    "covariance_type": "tied",
    "amplitudes": "signed",
    "loss": "huber",
    "periods": (1e3, None),
    "sampling": "integrated",
    "beam": np.array([[4.0, 1.0], [1.0, 3.0]]),
    "prior": sf.SurfacePrior(np.eye(2), 5.0, 2.0),
    "constraints": Constraints(
        sf.Bounds(centers=(np.zeros(2), np.full(2, 9.0)), aspect=3.0), {"centers": np.array([True, False])}
    ),
}


def other_value(option):
    """A value of an option of the model that is not its default."""
    if option.name in VALUES:
        return VALUES[option.name]
    return not option.default if isinstance(option.default, bool) else (option.default or 0) + 0.5


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_no_option_of_the_model_is_lost_after_the_fit(suffix, tmp_path, monkeypatch):
    stored = summary(made("grid"))
    parts = {"shown_flags": np.zeros(2, int), "not_checked": [], "summary": stored}
    for name, part in parts.items():  # all that is computed with the options
        monkeypatch.setattr(f"surfacefit._results.io.{name}", lambda result, part=part: part)
    with precision(np.dtype(float)):
        prepared = linearized_at(made("grid"))[0]
    options = [one for one in fields(ModelSpec) if one.name not in ("n_components", "background")]
    values = {one.name: other_value(one) for one in options}
    prepared = replace(prepared, model=replace(prepared.model, **values))
    result = replace(made("grid"), settings=settings_of(prepared, RunSpec(dtype=np.dtype(float))))
    result.save(tmp_path / f"fit.{suffix}")
    for model in (model_of(result), model_of(sf.load(tmp_path / f"fit.{suffix}"))):
        for name, value in values.items():
            np.testing.assert_equal(plain(getattr(model, name)), plain(value), err_msg=name)


def plain(value):
    return asdict(value) if is_dataclass(value) else value


def test_a_file_from_before_an_option_has_its_default(tmp_path):
    path = tmp_path / "fit.json"
    made("grid").save(path)
    document = json.loads(path.read_text())
    assert document["settings"].pop("f_scale") == 1.0
    path.write_text(json.dumps(document))
    assert sf.load(path).settings == made("grid").settings


NO_FITS = {
    "text": (b"hello", "is no surfacefit result"),
    "other json": (b'{"a": 1}', "does not say format='surfacefit result'"),
    "a list": (b"[1, 2]", "does not say format"),
    "incomplete": (
        b'{"format": "surfacefit result", "version": %d}' % RESULT_VERSION,
        "is no complete surfacefit result",
    ),
    "later version": (
        b'{"format": "surfacefit result", "version": 99}',
        f"has version 99 of the format, this surfacefit reads version {RESULT_VERSION}",
    ),
    "unknown dtype": (b'{"a": {"dtype": "float7", "shape": [1], "values": [1]}}', "is no surfacefit result"),
    "empty": (b"", "is no surfacefit result"),
}


@pytest.mark.parametrize("case", NO_FITS)
def test_a_file_that_is_no_fit(case, tmp_path):
    content, message = NO_FITS[case]
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        sf.load(path)


def test_an_npz_that_is_no_fit(tmp_path):
    np.savez(tmp_path / "map.npz", z=HEIGHTS)
    with pytest.raises(ValueError, match="is no surfacefit result"):
        sf.load(tmp_path / "map.npz")


def test_a_damaged_npz(tmp_path):
    path = tmp_path / "fit.npz"
    made("grid").save(path)
    content = bytearray(path.read_bytes())
    content[300:400] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no surfacefit result"):
        sf.load(path)


def test_an_interrupt_before_the_first_step_loses_nothing(monkeypatch, tmp_path):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("surfacefit._solvers.loop._advance", interrupt)
    result = sf.fit(HEIGHTS, 2, init="peaks")
    assert (result.status, result.steps) == (sf.Status.INTERRUPTED, 0)
    np.testing.assert_allclose(result.cost, 0.5 * np.nansum(result.residuals**2), rtol=1e-9)
    result.save(tmp_path / "fit.json")


def test_a_missing_file_and_a_wrong_suffix(tmp_path):
    with pytest.raises(FileNotFoundError):
        sf.load(tmp_path / "nothing.json")
    with pytest.raises(ValueError, match=r"`path` must end in .json or .npz"):
        made("one dimension").save(tmp_path / "fit.pkl")


def test_json_is_readable_and_strict(tmp_path):
    path = tmp_path / "fit.json"
    made("grid").save(path)
    document = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))
    assert document["version"] == RESULT_VERSION
    assert len(document["surface"]["amplitudes"]["values"]) == 2


def test_summary_says_what_matters(result):
    text = result.summary(1)
    for word in ("status", "RMSE", "R2", "points", "parameters", "background", "solver", "compile", "amplitude"):
        assert word in text
    assert f"{result.rmse:.5g}" in text
    assert all(len(line) <= 140 for line in text.splitlines())
    html = result._repr_html_()
    assert html.count("<table>") == 2
    assert f"{result.rmse:.5g}" in html
    assert repr(result).startswith("<FitResult: K=")


def test_summary_counts_what_it_does_not_show():
    assert "... and 1 smaller component" in made("grid").summary(1)


def test_an_unconverged_fit_says_what_to_do():
    result = sf.fit(HEIGHTS, 2, init="grid", solver=sf.LevenbergMarquardt(max_steps=2))
    assert not result.success
    assert "max_steps" in result.message
    assert "NOT CONVERGED" in result.summary()


def test_flags_print_as_names_and_count_as_numbers():
    flags = np.array([0, 5, 64]).view(ComponentFlags)
    assert repr(flags) == str(flags) == "ComponentFlags([0, AT_FLOOR|OUTSIDE, RESET])"
    assert flags[1] is sf.ComponentFlag.AT_FLOOR | sf.ComponentFlag.OUTSIDE
    assert sf.ComponentFlag.OUTSIDE in flags[1]
    assert [flag.name for flag in flags[1:]] == ["AT_FLOOR|OUTSIDE", "RESET"]
    np.testing.assert_array_equal(flags & sf.ComponentFlag.OUTSIDE, [0, 4, 0])
    assert type(flags > 0) is np.ndarray
    assert flags.max() == 64
    assert "ComponentFlags([" in repr(made("grid").flags)
