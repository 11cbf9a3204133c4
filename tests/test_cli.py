"""The command line and the files it reads."""

import inspect
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from scipy.ndimage import uniform_filter

import surfacefit as sf
from surfacefit._base.layout import error
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import ENGINES
from surfacefit._fit import cli_actions
from surfacefit._fit.cli import main
from surfacefit._fit.cli_options import FIT_OPTIONS
from surfacefit._fit.cli_parser import MOST_COMPONENTS
from surfacefit._fit.options import checked_options
from surfacefit._losses import LOSSES, ROBUST
from surfacefit._model.amplitudes import AMPLITUDE_TYPES
from surfacefit._model.covariance import COVARIANCE_TYPES
from surfacefit._search.initialization import INITS
from surfacefit._solvers import SOLVERS
from surfacefit._system.interrupts import ended_by_interrupts, interrupts_kept
from surfacefit.interop.files.formats import CannotRead, read, read_points

CHOICES = {
    "amplitudes": {*AMPLITUDE_TYPES},
    "loss": {*LOSSES},
    "covariance_type": {*COVARIANCE_TYPES, "beam"},
    "sampling": {"points", "integrated"},
    "solver": {*SOLVERS},
    "engine": {"auto", *ENGINES},
    "init": {*INITS},
}
ROWS, COLUMNS = 20, 25
CENTER = np.array([8.0, 14.0])


def hill(y, x):
    return 1.5 + 3 * np.exp(-0.5 * (((y - CENTER[0]) / 4) ** 2 + ((x - CENTER[1]) / 5) ** 2))


GRID = hill(*np.mgrid[:ROWS, :COLUMNS])
POINTS = np.stack([a.ravel() for a in np.mgrid[:ROWS, :COLUMNS]], axis=1).astype(float)
SMALL = np.array([[1.0, 2.5, -3.0, 4.0, 0.1], [5.0, 1e-300, 7.0, 8.0, 1 / 3]])


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def lines(rows, delimiter=","):
    return "".join(delimiter.join(repr(float(v)) for v in row) + "\n" for row in rows)


def error_of(capsys, *arguments):
    """The one line that a failing command prints, without its beginning."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as exit:
        code = exit.code
    _, err = capsys.readouterr()
    assert code == 2
    assert err.startswith("surfacefit: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("surfacefit: error: ").rstrip("\n")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A saved fit of the hill, made by the command itself."""
    folder = tmp_path_factory.mktemp("fit")
    np.save(folder / "hill.npy", GRID)
    assert main(["fit", str(folder / "hill.npy"), "-k", "1", "-o", str(folder / "fit.json"), "-q"]) == 0
    return folder / "fit.json"


class TestFit:
    def test_errors_of_the_summary_are_of_the_method_asked_for(self, tmp_path, capsys):
        noise = 0.2 * uniform_filter(np.random.default_rng(0).normal(size=GRID.shape), 5)
        np.save(tmp_path / "a.npy", GRID + noise)
        saved = tmp_path / "fit.json"
        options = ["-k", "1", "--errors", "correlated", "--init", "peaks"]
        assert main(["fit", str(tmp_path / "a.npy"), *options, "-o", str(saved)]) == 0
        result, out = sf.load(saved), capsys.readouterr().out
        assert result.summary(errors="correlated") in out
        assert result.summary(errors="correlated") != result.summary()
        assert "by method 'correlated'" in out
        correlated, plain = (result.uncertainty(name).amplitudes[0] for name in ("correlated", "hessian"))
        assert error(correlated) in out.split()
        assert error(correlated) != error(plain)

    def test_errors_that_cannot_be_had_are_refused_before_the_fit(self, tmp_path, capsys):
        written(tmp_path / "a.csv", "x,y,z\n1,2,3\n2,2,1\n0,5,4\n7,1,2\n")
        message = error_of(capsys, "fit", str(tmp_path / "a.csv"), "-k", "1", "--errors", "correlated")
        assert "`--errors correlated` needs heights on a grid" in message

    def test_prints_summary_and_saves(self, tmp_path, capsys):
        np.save(tmp_path / "hill.npy", GRID)
        assert main(["fit", str(tmp_path / "hill.npy"), "-k", "1", "-o", str(tmp_path / "fit.npz")]) == 0
        result = sf.load(tmp_path / "fit.npz")
        np.testing.assert_allclose(result.surface.centers, [CENTER], atol=1e-6)
        np.testing.assert_allclose(result.surface.amplitudes, [3.0], rtol=1e-6)
        out = capsys.readouterr().out
        assert "2-D grid of 20 x 25 heights" in out.splitlines()[0]
        assert result.summary() in out
        assert out.splitlines()[-2] == f"saved fit to {tmp_path / 'fit.npz'}"
        total, *parts = map(float, re.findall(r"\d+\.\d", out.splitlines()[-1]))
        assert re.sub(r"\d+\.\d", "0", out.splitlines()[-1]) == (
            "0 s in all: reading 0, importing 0, fitting 0, errors and summary, saved 0"
        )
        assert sum(parts) == pytest.approx(total, abs=0.3)  # each is rounded

    def test_options_reach_the_fit(self, tmp_path, monkeypatch):
        seen = {}
        result = type("Result", (), {"summary": lambda self, n_rows, errors: f"rows {n_rows}"})()
        monkeypatch.setattr(
            sf, "fit", lambda heights, k, **options: seen.update(options, k=k, heights=heights) or result
        )
        np.save(tmp_path / "a.npy", SMALL)
        options = (
            "--background none --covariance-type diag --amplitudes signed --solver adam --max-steps 7 --engine tiled"
            " --init random --search 4 --dtype float32 --max-time 2.5 --seed 3 --periods 360,none -q"
        )
        assert main(["fit", str(tmp_path / "a.npy"), "-k", "2", *options.split()]) == 0
        np.testing.assert_array_equal(seen.pop("heights"), SMALL)
        assert seen == {
            "k": 2,
            "background": None,
            "covariance_type": "diag",
            "amplitudes": "signed",
            "init": "random",
            "search": 4.0,
            "solver": sf.Adam(max_steps=7),
            "engine": "tiled",
            "dtype": "float32",
            "max_time": 2.5,
            "seed": 3,
            "periods": (360.0, None),
            "progress": False,
        }

    @pytest.mark.parametrize(("engine", "kind"), [("", sf.Tiled), (" --engine dense", sf.Dense)])
    def test_devices_are_those_of_the_engine(self, tmp_path, monkeypatch, engine, kind):
        seen = {}
        result = type("Result", (), {"summary": lambda self, n_rows, errors: ""})()
        monkeypatch.setattr(sf, "fit", lambda heights, k, **options: seen.update(options) or result)
        np.save(tmp_path / "a.npy", SMALL)
        assert main(["fit", str(tmp_path / "a.npy"), "-k", "2", *f"--devices 3{engine}".split()]) == 0
        assert seen == {"progress": None, "engine": kind(devices=3)}

    def test_devices_that_are_cores_are_made_before_jax_starts(self, tmp_path):
        np.save(tmp_path / "a.npy", GRID)
        command = [sys.executable, "-m", "surfacefit", "fit", str(tmp_path / "a.npy"), "-k1", "--devices=2", "-q"]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        done = subprocess.run([*command, "-o", str(tmp_path / "fit.json")], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert sf.load(tmp_path / "fit.json").rmse < 1e-6

    def test_the_number_may_be_chosen(self, tmp_path, monkeypatch, capsys):
        seen = []
        result = type("Result", (), {"summary": lambda self, n_rows, errors: ""})()
        monkeypatch.setattr(sf, "fit", lambda heights, k, **options: seen.append(k) or result)
        np.save(tmp_path / "a.npy", SMALL)
        for options in ("", "-k auto", "--criterion r2 --target 0.9 --most 20"):
            assert main(["fit", str(tmp_path / "a.npy"), *options.split()]) == 0
        assert seen == [sf.AutoComponents(), sf.AutoComponents(), sf.AutoComponents("r2", 0.9, 20)]
        assert "leave -k out" in error_of(capsys, "fit", tmp_path / "a.npy", "-k", "3", "--criterion", "aicc")
        with pytest.raises(SystemExit):
            main(["fit", str(tmp_path / "a.npy"), "-k", "few"])

    def test_defaults_are_those_of_the_library(self, tmp_path, monkeypatch):
        seen = {}
        result = type("Result", (), {"summary": lambda self, n_rows, errors: ""})()
        monkeypatch.setattr(sf, "fit", lambda heights, k, **options: seen.update(options) or result)
        np.save(tmp_path / "a.npy", SMALL)
        assert main(["fit", str(tmp_path / "a.npy"), "-k", "2"]) == 0
        assert seen == {"progress": None}
        assert sf.AutoComponents().most == MOST_COMPONENTS

    @pytest.mark.parametrize("row", FIT_OPTIONS, ids=lambda row: row.name)
    def test_every_row_is_an_option_of_fit_and_its_choices_are_valid(self, row):
        defaults = {name: one.default for name, one in inspect.signature(sf.fit).parameters.items()}
        assert row.name in defaults
        for choice in row.choices or ():
            beam = 1.0 if choice == "beam" else None
            options = {**defaults, "n_components": 1, "beam": beam, row.name: None if choice == "none" else choice}
            checked_options(options, grid_data(np.ones((4, 5))))

    @pytest.mark.parametrize("row", FIT_OPTIONS, ids=lambda row: row.name)
    def test_every_choice_and_default_of_the_library_is_told(self, row):
        """The command line writes them out, so that its help needs no JAX."""
        default = inspect.signature(sf.fit).parameters[row.name].default
        assert default is None or row.default.split(":")[0] == str(default)
        assert set(row.choices or ()) == CHOICES.get(row.name, set(row.choices or ()))
        names = {"loss": ROBUST, "solver": [f"{name}: {kind.__name__}" for name, kind in SOLVERS.items()]}
        assert all(name in row.help for name in names.get(row.name, ()))

    def test_example_map_by_name(self, capsys):
        assert main(["fit", "jacksboro", "-k", "2", "--max-steps", "1", "--init", "grid", "--rows", "1"]) == 0
        out = capsys.readouterr().out
        assert "138632 of 344 x 403" in out
        assert "NOT CONVERGED" in out
        assert "and 1 smaller component" in out

    def test_a_file_goes_before_an_example_of_its_name(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        written(tmp_path / "jacksboro", "1 2 3\n")
        assert "cannot read 'jacksboro'" in error_of(capsys, "fit", "jacksboro", "-k", "1")

    def test_points_have_their_own_coordinates(self, tmp_path, capsys):
        table = np.column_stack([10 * POINTS[:, 1], POINTS[:, 0], GRID.ravel()])
        path = written(tmp_path / "survey.csv", "east,north,z\n" + lines(table))
        assert main(["fit", str(path), "-k", "1", "-o", str(tmp_path / "fit.json")]) == 0
        assert "500 points in 2-D at (east, north) with heights z; --grid if" in capsys.readouterr().out
        np.testing.assert_allclose(sf.load(tmp_path / "fit.json").surface.centers, [[140, 8]], rtol=1e-6)

    def test_axes_of_an_npz_are_coordinates(self, tmp_path, capsys):
        np.savez(tmp_path / "a.npz", z=GRID, x=10.0 * np.arange(COLUMNS), y=np.arange(ROWS) - 5)
        assert main(["fit", str(tmp_path / "a.npz"), "-k", "1", "-o", str(tmp_path / "fit.json")]) == 0
        assert "axes y, x" in capsys.readouterr().out
        np.testing.assert_allclose(sf.load(tmp_path / "fit.json").surface.centers, [[3, 140]], rtol=1e-6)

    def test_subtract_minimum(self, tmp_path, capsys):
        heights = np.where(GRID > 4.4, np.nan, GRID)
        np.save(tmp_path / "a.npy", heights)
        arguments = [
            "fit",
            str(tmp_path / "a.npy"),
            "-k",
            "1",
            "--max-steps",
            "1",
            "--subtract-minimum",
            "-o",
            str(tmp_path / "fit.json"),
        ]
        assert main(arguments) == 0
        assert f"subtracted the minimum {np.nanmin(heights):.17g}\n" in capsys.readouterr().out
        np.testing.assert_array_equal(sf.load(tmp_path / "fit.json").data.heights, heights - np.nanmin(heights))

    def test_subtract_minimum_leaves_nothing_to_say_of_nan(self, tmp_path, capsys):
        np.save(tmp_path / "a.npy", np.full((4, 5), np.nan))
        assert "no point is left to fit" in error_of(capsys, "fit", tmp_path / "a.npy", "-k", "1", "--subtract-minimum")

    def test_quiet(self, tmp_path, capsys):
        np.save(tmp_path / "hill.npy", GRID)
        assert main(["fit", str(tmp_path / "hill.npy"), "-k", "1", "-q", "-o", str(tmp_path / "fit.json")]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.splitlines() == [
            f"{tmp_path / 'hill.npy'}: 2-D grid of 20 x 25 heights",
            f"saved fit to {tmp_path / 'fit.json'}",
        ]

    def test_plot(self, tmp_path, fitted, capsys):
        assert main(["fit", str(fitted.parent / "hill.npy"), "-k", "1", "--plot", str(tmp_path / "fit.png")]) == 0
        assert capsys.readouterr().out.splitlines()[-2] == f"saved plot to {tmp_path / 'fit.png'}"
        with Image.open(tmp_path / "fit.png") as picture:
            assert min(picture.size) > 100


@pytest.fixture
def no_fit(monkeypatch):
    """A fit that must not begin."""

    def fit(*args, **options):
        raise AssertionError("the fit has begun")

    monkeypatch.setattr(sf, "fit", fit)
    monkeypatch.setattr(sf, "fit_points", fit)


@pytest.mark.usefixtures("no_fit")
class TestOutputsAreCheckedFirst:
    @pytest.fixture
    def source(self, tmp_path):
        np.save(tmp_path / "a.npy", SMALL)
        return tmp_path / "a.npy"

    def test_suffix(self, source, tmp_path, capsys):
        assert "`-o` must end in .json or .npz, got 'fit.txt'" in error_of(
            capsys, "fit", source, "-k", "1", "-o", "fit.txt"
        )
        assert "`--plot` must end in .png or" in error_of(capsys, "fit", source, "-k", "1", "--plot", "fit")

    def test_folder(self, source, tmp_path, capsys):
        path = tmp_path / "none" / "fit.json"
        assert (
            error_of(capsys, "fit", source, "-k", "1", "-o", path)
            == f"`-o` must be in a folder that exists, got {str(path)!r}"
        )
        assert "`--plot` must be in a folder" in error_of(
            capsys, "fit", source, "-k", "1", "--plot", path.with_suffix(".png")
        )

    def test_folder_in_the_place_of_a_file(self, source, tmp_path, capsys):
        (tmp_path / "fit.json").mkdir()
        assert "`-o` cannot be written" in error_of(capsys, "fit", source, "-k", "1", "-o", tmp_path / "fit.json")

    def test_not_writable(self, source, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("os.access", lambda path, mode: False)
        assert "`-o` cannot be written" in error_of(capsys, "fit", source, "-k", "1", "-o", tmp_path / "fit.json")

    def test_source_is_not_overwritten(self, tmp_path, capsys):
        np.savez(tmp_path / "a.npz", z=SMALL)
        assert "`-o` would overwrite" in error_of(
            capsys, "fit", tmp_path / "a.npz", "-k", "1", "-o", tmp_path / "." / "a.npz"
        )

    def test_matplotlib_is_there(self, source, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert "pip install 'surfacefit[plot]'" in error_of(
            capsys, "fit", source, "-k", "1", "--plot", tmp_path / "fit.png"
        )

    def test_dimensions_that_can_be_drawn(self, tmp_path, capsys):
        np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 5)))
        assert "shows 1 to 3 dimensions, these heights have 4" in error_of(
            capsys, "fit", tmp_path / "a.npy", "-k", "1", "--plot", tmp_path / "a.png"
        )


class TestErrors:
    def test_summary_is_told_if_saving_fails(self, tmp_path, capsys, monkeypatch):
        def save(self, path):
            raise OSError(28, "No space left on device", str(path))

        result = type("Result", (), {"summary": lambda self, n_rows, errors: "the summary", "save": save})()
        monkeypatch.setattr(sf, "fit", lambda *args, **options: result)
        np.save(tmp_path / "a.npy", SMALL)
        assert main(["fit", str(tmp_path / "a.npy"), "-k", "1", "-o", str(tmp_path / "fit.json")]) == 2
        out, err = capsys.readouterr()
        assert out.endswith("the summary\n")
        assert err == f"surfacefit: error: No space left on device: {str(tmp_path / 'fit.json')!r}\n"

    def test_missing_file(self, capsys):
        assert (
            error_of(capsys, "fit", "none.csv", "-k", "1") == "there is no file 'none.csv'; example maps are jacksboro"
        )
        assert (
            error_of(capsys, "fit", "jacksborro", "-k", "1")
            == "there is no file 'jacksborro'; did you mean 'jacksboro'?"
        )
        assert error_of(capsys, "show", "none.json") == "No such file or directory: 'none.json'"

    def test_what_the_library_says(self, tmp_path, capsys):
        np.save(tmp_path / "a.npy", SMALL)
        assert error_of(capsys, "fit", tmp_path / "a.npy", "-k", "0") == "`-k` must be at least 1, got 0"
        assert (
            error_of(capsys, "fit", tmp_path / "a.npy", "-k", "1", "--max-time", "0")
            == "`--max-time` must be positive and finite, got 0.0"
        )
        np.save(tmp_path / "a.npy", SMALL + 1j)
        assert "`heights` must hold real numbers, got dtype complex128" in error_of(
            capsys, "fit", tmp_path / "a.npy", "-k", "1"
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("--n-sigma=-1", "`--n-sigma` must be positive and finite, got -1.0"),
            ("--criterion=rmse", "`--criterion`='rmse' needs `--target`, got --target None"),
            ("-k1 --devices=99", "`--devices` must be from 1 to"),
            ("-k1 --max-steps=-1", "`--max-steps` must be at least 0, got -1"),
            ("-k1 --bounds widths=5:1", "`--bounds widths` must rise, got 5.0 to 1.0: to hold a value use `--fixed`"),
            ("-k1 --loss=huber --f-scale=0", "`--f-scale` must be positive and finite, got 0.0"),
            ("-k1 --f-scale=2", "`--f-scale` is for --loss 'huber', 'soft_l1', 'cauchy', got --f-scale 2.0"),
            ("-k1 --covariance-type=diag --shape=3", "components, got --covariance-type 'diag' with it"),
            ("-k1 --key=z", "`--key` names one of several arrays, and '{}/a key=z.npy' holds only one"),
        ],
    )
    def test_what_the_library_says_is_said_of_options(self, tmp_path, capsys, options, message):
        np.save(tmp_path / "a key=z.npy", SMALL)
        said = error_of(capsys, "fit", tmp_path / "a key=z.npy", *options.split())
        assert message.format(tmp_path) in said

    def test_options(self, capsys):
        assert "required: FILE (see `surfacefit fit --help`)" in error_of(capsys, "fit")
        assert "must be an integer or 'auto', got 'many'" in error_of(capsys, "fit", "jacksboro", "-k", "many")
        assert "invalid choice: 'newton'" in error_of(capsys, "fit", "jacksboro", "-k", "1", "--solver", "newton")
        assert "not allowed with" in error_of(capsys, "fit", "jacksboro", "-k", "1", "--grid", "--points")
        assert "--rows: must be an integer from 0, got '-1'" in error_of(capsys, "show", "fit.json", "--rows=-1")
        assert "unrecognized arguments: --subtract" in error_of(capsys, "fit", "jacksboro", "-k", "1", "--subtract")
        message = "unrecognized arguments: --sigm 1: did you mean '--sigma'? (see `surfacefit fit --help`)"
        assert message in error_of(capsys, "fit", "jacksboro", "--sigm", "1")
        assert "required" in error_of(capsys)

    def test_no_fit_in_the_file(self, tmp_path, capsys):
        assert "is no surfacefit result" in error_of(capsys, "show", written(tmp_path / "a.json", '{"a": 1}'))

    def test_message_is_one_line(self, capsys, monkeypatch):
        def show(options):
            raise ValueError("first\nsecond")

        monkeypatch.setattr(cli_actions, "show", show)
        assert error_of(capsys, "show", "a.json") == "first second"

    def test_ctrl_c(self, capsys, monkeypatch):
        def show(options):
            raise KeyboardInterrupt

        monkeypatch.setattr(cli_actions, "show", show)
        assert main(["show", "a.json"]) == 130
        assert capsys.readouterr().err == "surfacefit: error: interrupted\n"

    def test_reader_of_a_pipe_has_gone(self, tmp_path, monkeypatch):
        def show(options):
            raise BrokenPipeError

        monkeypatch.setattr(cli_actions, "show", show)
        with (tmp_path / "out").open("w") as out:
            monkeypatch.setattr(sys, "stdout", out)
            assert main(["show", "a.json"]) == 0
            print("late", file=out, flush=True)
        assert (tmp_path / "out").read_text() == ""

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (ZeroDivisionError("one\ntwo"), 1, "ZeroDivisionError: one two (unforeseen; SURFACEFIT_TRACEBACK=1 shows"),
            (RecursionError(), 1, "RecursionError:  (unforeseen"),
            (MemoryError("Unable to allocate"), 2, "not enough memory: Unable to allocate"),
            (ImportError("needs matplotlib"), 2, "needs matplotlib"),
            (IsADirectoryError(21, "Is a directory", "a.json"), 2, "Is a directory: 'a.json'"),
            (ValueError(), 2, "ValueError"),
        ],
    )
    def test_errors_are_one_line_or_keep_their_traceback(self, error, code, message, capsys, monkeypatch):
        def show(options):
            raise error

        monkeypatch.setattr(cli_actions, "show", show)
        assert main(["show", "a.json"]) == code
        err = capsys.readouterr().err
        assert err.startswith(f"surfacefit: error: {message}")
        assert err.count("\n") == 1
        monkeypatch.setenv("SURFACEFIT_TRACEBACK", "1")
        with pytest.raises(type(error)):
            main(["show", "a.json"])

    def test_a_terminal_without_a_sign_shows_another(self, fitted):
        done = subprocess.run(
            [sys.executable, "-m", "surfacefit", "show", str(fitted)],
            capture_output=True,
            timeout=120,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\n?  " in done.stdout

    def test_the_reader_of_the_help_has_gone(self):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([sys.executable, "-m", "surfacefit", "fit", "--help"], stdout=writing, stderr=-1)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")


class TestShow:
    def test_summary_of_n_rows(self, fitted, capsys):
        assert main(["show", str(fitted), "--rows", "0"]) == 0
        assert capsys.readouterr().out == sf.load(fitted).summary(0) + "\n"

    def test_plot(self, fitted, tmp_path, capsys):
        assert main(["show", str(fitted), "--plot", str(tmp_path / "fit.svg")]) == 0
        assert "<svg" in (tmp_path / "fit.svg").read_text(encoding="utf-8")
        assert f"saved plot to {tmp_path / 'fit.svg'}" in capsys.readouterr().out


class TestEvaluate:
    @pytest.fixture
    def points(self):
        return np.random.default_rng(0).uniform(0, 20, size=(30, 2))

    def test_reads_back_exactly(self, fitted, points, tmp_path, capsys):
        written(tmp_path / "p.csv", "row,column\n" + lines(points))
        assert main(["evaluate", str(fitted), str(tmp_path / "p.csv"), "-o", str(tmp_path / "out.csv")]) == 0
        assert capsys.readouterr().out == f"saved 30 heights to {tmp_path / 'out.csv'}\n"
        assert (tmp_path / "out.csv").read_text().splitlines()[0] == "x0,x1,height"
        table = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)
        np.testing.assert_array_equal(table[:, :2], points)
        np.testing.assert_array_equal(table[:, 2], sf.load(fitted).surface(points))
        np.testing.assert_allclose(table[:, 2], hill(*points.T), rtol=1e-6)

    def test_prints_and_reads_npy(self, fitted, points, tmp_path, capsys):
        np.save(tmp_path / "p.npy", points)
        assert main(["evaluate", str(fitted), str(tmp_path / "p.npy")]) == 0
        table = np.loadtxt(capsys.readouterr().out.splitlines(), delimiter=",", skiprows=1)
        np.testing.assert_array_equal(table[:, 2], sf.load(fitted).surface(points))

    def test_number_of_columns(self, fitted, tmp_path, capsys):
        path = written(tmp_path / "p.csv", "1,2,3\n4,5,6\n")
        message = error_of(capsys, "evaluate", fitted, path)
        assert message == f"{str(path)!r} must have 2 columns of numbers, one a dimension of the surface, got 3"

    def test_outputs(self, fitted, tmp_path, capsys):
        path = written(tmp_path / "p.csv", "1,2\n")
        assert "would overwrite" in error_of(capsys, "evaluate", fitted, path, "-o", path)
        assert "must end in .csv or" in error_of(capsys, "evaluate", fitted, path, "-o", "out.json")
        assert path.read_text() == "1,2\n"

    def test_one_column_in_one_dimension(self, tmp_path):
        np.testing.assert_array_equal(read_points(written(tmp_path / "p.txt", "x\n1\n2.5\n"), 1), [[1], [2.5]])
        np.save(tmp_path / "p.npy", np.array([1, 2]))
        np.testing.assert_array_equal(read_points(tmp_path / "p.npy", 1), [[1], [2]])
        with pytest.raises(CannotRead, match=r"must have 1 column of numbers.*got 2"):
            read_points(written(tmp_path / "p.txt", "1 2\n"), 1)

    def test_files_that_hold_no_points(self, tmp_path):
        np.save(tmp_path / "p.npy", np.array([["a", "b"]]))
        with pytest.raises(CannotRead, match="of numbers"):
            read_points(tmp_path / "p.npy", 2)
        with pytest.raises(CannotRead, match="must end in"):
            read_points(written(tmp_path / "p.json", ""), 2)


class TestText:
    @pytest.mark.parametrize("suffix", [".csv", ".txt", ".dat", ".tsv", ".xyz", ".CSV"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "  ", " , "])
    def test_grids_come_exactly(self, tmp_path, suffix, delimiter):
        data = read(written(tmp_path / f"a{suffix}", lines(SMALL, delimiter)))
        np.testing.assert_array_equal(data.heights, SMALL)
        assert data.points is None
        assert data.coords is None
        assert data.how == "2-D grid of 2 x 5 heights"

    @pytest.mark.parametrize(
        "text",
        [
            "# a map\n\n1,2,3,4,5\n# of two rows\n6,7,8,9,10 # done\n",
            "a,b,c,d,e\n1,2,3,4,5\n6,7,8,9,10\n",
            "\ufeffa;b;c;d;e\r\n1;2;3;4;5\r\n6;7;8;9;10\r\n",
            "\ufeff1;2;3;4;5\r\n6;7;8;9;10\r\n",
            "1,2,3,4,5,\n6,7,8,9,10,\n",
            "1\t2\t3\t4\t5\t\n6\t7\t8\t9\t10\t\n",
            "  1 2 3 4 5\n  6 7 8 9 10",
            '"1","2","3","4","5"\n"6","7","8","9","10"\n',
            "height of the land\n1 2 3 4 5\n6 7 8 9 10\n",
        ],
    )
    def test_what_is_tolerated(self, tmp_path, text):
        np.testing.assert_array_equal(read(written(tmp_path / "a.csv", text)).heights, np.arange(1, 11).reshape(2, 5))

    def test_gaps_are_nan(self, tmp_path):
        data = read(written(tmp_path / "a.csv", "1,,3,NA,5\nnan,7,null,9,\n"))
        np.testing.assert_array_equal(data.heights, [[1, np.nan, 3, np.nan, 5], [np.nan, 7, np.nan, 9, np.nan]])
        data = read(written(tmp_path / "a.tsv", "\t2\t3\t4\t5\n6\t\t8\t9\t10\n"))
        np.testing.assert_array_equal(data.heights, [[np.nan, 2, 3, 4, 5], [6, np.nan, 8, 9, 10]])

    @pytest.mark.parametrize("text", ["1\n2\n3\n", "1 2 3\n"])
    def test_profiles(self, tmp_path, text):
        data = read(written(tmp_path / "a.txt", text), layout="grid")
        np.testing.assert_array_equal(data.heights, [1, 2, 3])
        assert data.how == "1-D grid of 3 heights"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "holds no numbers"),
            ("# only\n", "holds no numbers"),
            ("x y z\n", r"holds no numbers, only \['x', 'y', 'z'\]"),
            ("1 2 3\n\n4 5\n", "has 2 columns in line 3, but 3 in line 1"),
            ("1 2 3\n4 five 6\n", "has 'five' in line 2, which is no number"),
            ("1 2 z\n4 5 6\n", "has 'z' in line 1"),
            ("1;2\n3;4{}\n", "has '4{}' in line 2, which is no number"),
            ("1,5;2,5\n", "has '1,5' in line 1, which is no number: write decimals with a point"),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, message):
        with pytest.raises(CannotRead, match=message):
            read(written(tmp_path / "a.txt", text))

    def test_table_as_pandas_writes_it(self, tmp_path):
        data = read(written(tmp_path / "a.csv", ",0,1,2,3,4\n0,1,2,3,4,5\n1,6,7,8,9,10\n"))
        np.testing.assert_array_equal(data.heights, np.arange(1, 11).reshape(2, 5))
        np.testing.assert_array_equal(data.coords[0], [0, 1])
        np.testing.assert_array_equal(data.coords[1], np.arange(5))
        assert data.how == "axes from first column and row, 2-D grid of 2 x 5 heights"
        data = read(written(tmp_path / "b.csv", ",x,y,z\n0,5.5,6,7\n1,8,9,10\n"))
        np.testing.assert_array_equal(data.points, [[5.5, 6], [8, 9]])
        assert data.how.startswith("first column left out as row numbers, 2 points in 2-D at (x, y)")

    def test_only_row_numbers_are_left_out(self, tmp_path):
        data = read(written(tmp_path / "a.csv", ",x,y,z\n5,5.5,6,7\n1,8,9,10\n"))
        np.testing.assert_array_equal(data.heights, [[5, 5.5, 6, 7], [1, 8, 9, 10]])

    def test_a_gap_in_the_corner_is_no_label(self, tmp_path):
        for text in (",0,2,1,3\n0,1,2,3,4\n1,6,7,8,9\n", "nan,0,1,2,3\n0,1,2,3,4\n1,6,7,8,9\n"):
            assert read(written(tmp_path / "a.csv", text)).heights.shape == (3, 5)

    def test_names_with_a_delimiter_at_the_end(self, tmp_path):
        data = read(written(tmp_path / "a.csv", '"x [m]","y {m}",z,\n1,2,3,\n4,5,6,\n'))
        assert data.how.startswith("2 points in 2-D at (x [m], y {m}) with heights z")


class TestGridOrPoints:
    def read(self, tmp_path, rows, columns, header="", **options):
        table = np.random.default_rng(0).normal(size=(rows, columns))
        return table, read(written(tmp_path / "a.csv", header + lines(table)), **options)

    @pytest.mark.parametrize(
        ("rows", "columns", "header"),
        [
            (3, 2, ""),
            (31, 3, ""),
            (41, 4, ""),
            (3, 3, "x,y,z\n"),
            (3, 4, "a,b,c,d\n"),
            (3, 3, "# x,y,z\n"),
            (3, 3, "# made by me\n# x y z\n"),
        ],
    )
    def test_points(self, tmp_path, rows, columns, header):
        table, data = self.read(tmp_path, rows, columns, header)
        np.testing.assert_array_equal(data.points, table[:, :-1])
        np.testing.assert_array_equal(data.heights, table[:, -1])
        assert data.how.endswith("; --grid if they are a grid")
        assert data.n_dim == columns - 1

    @pytest.mark.parametrize(
        ("rows", "columns", "header"), [(30, 3, ""), (3, 3, "# a hill\n"), (300, 5, ""), (3, 5, "a,b,c,d,e\n")]
    )
    def test_grids(self, tmp_path, rows, columns, header):
        table, data = self.read(tmp_path, rows, columns, header)
        assert data.points is None
        np.testing.assert_array_equal(data.heights, table)

    def test_the_user_decides(self, tmp_path):
        table, data = self.read(tmp_path, 40, 3, "x,y,z\n", layout="grid")
        np.testing.assert_array_equal(data.heights, table)
        assert data.how == "2-D grid of 40 x 3 heights"
        table, data = self.read(tmp_path, 4, 6, layout="points")
        assert data.points.shape == (4, 5)
        assert data.how == "4 points in 5-D at (column 0, column 1, column 2, column 3, column 4) with heights column 5"

    def test_points_need_columns(self, tmp_path):
        with pytest.raises(CannotRead, match="points need columns"):
            self.read(tmp_path, 4, 1, layout="points")

    def test_points_of_a_grid_that_cannot_hold_any(self, tmp_path, capsys):
        assert "holds no columns of points" in error_of(capsys, "fit", "jacksboro", "-k", "1", "--points")


class TestArrays:
    @pytest.mark.parametrize("array", [SMALL, SMALL.astype(np.float32), np.arange(24).reshape(2, 3, 4), np.arange(5)])
    def test_npy_keeps_dtype_and_shape(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        heights = read(tmp_path / "a.npy").heights
        np.testing.assert_array_equal(heights, array)
        assert heights.dtype == array.dtype

    def test_npy_of_points(self, tmp_path):
        np.save(tmp_path / "a.npy", np.column_stack([POINTS, GRID.ravel()]))
        np.testing.assert_array_equal(read(tmp_path / "a.npy").points, POINTS)

    @pytest.mark.parametrize(
        ("names", "key", "chosen"),
        [
            (["q"], None, "q"),
            (["q", "z"], None, "z"),
            (["data", "elevation"], None, "elevation"),
            (["z", "q"], "q", "q"),
        ],
    )
    def test_npz_member(self, tmp_path, names, key, chosen):
        arrays = {name: i + SMALL for i, name in enumerate(names)}
        np.savez(tmp_path / "a.npz", **arrays)
        data = read(tmp_path / "a.npz", key=key)
        np.testing.assert_array_equal(data.heights, arrays[chosen])
        assert data.how.startswith(f"array {chosen!r}, ")

    def test_npz_whose_member_is_not_told(self, tmp_path):
        np.savez(tmp_path / "a.npz", first=SMALL, second=SMALL)
        with pytest.raises(CannotRead, match="choose with `--key` among first, second"):
            read(tmp_path / "a.npz")
        with pytest.raises(CannotRead, match="has no array 'frist'; did you mean 'first'"):
            read(tmp_path / "a.npz", key="frist")
        np.save(tmp_path / "a.npy", SMALL)
        with pytest.raises(CannotRead, match="`key` names one of several arrays"):
            read(tmp_path / "a.npy", key="first")

    @pytest.mark.parametrize(
        "axes",
        [
            {"x": np.array([0, 2, 1, 3, 4]), "y": np.arange(2)},
            {"x": np.arange(4)},
            {"x": np.arange(5)},
            {"y": np.arange(2)},
        ],
    )
    def test_axes_that_are_not_simple_are_ignored(self, tmp_path, axes):
        np.savez(tmp_path / "a.npz", z=SMALL, **axes)
        data = read(tmp_path / "a.npz")
        np.testing.assert_array_equal(data.heights, SMALL)
        assert data.coords is None
        assert ("ignored" in data.how) == ("x" in axes)

    def test_axis_of_a_profile(self, tmp_path):
        np.savez(tmp_path / "a.npz", z=np.arange(4), x=np.array([0, 1, 3, 4]))
        data = read(tmp_path / "a.npz")
        assert data.heights.shape == (4,)
        np.testing.assert_array_equal(data.coords[0], [0, 1, 3, 4])

    def test_npz_of_points(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=POINTS[:, 0], y=POINTS[:, 1], z=GRID.ravel())
        data = read(tmp_path / "a.npz")
        np.testing.assert_array_equal(data.points, POINTS)
        np.testing.assert_array_equal(data.heights, GRID.ravel())
        assert read(tmp_path / "a.npz", layout="grid").points is None

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_damaged(self, tmp_path, suffix):
        path = tmp_path / f"a{suffix}"
        for content in (b"", b"no array", b"PK\x03\x04broken"):
            path.write_bytes(content)
            with pytest.raises(CannotRead, match="cannot read"):
                read(path)

    def test_objects_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(CannotRead, match="cannot read"):
            read(tmp_path / "a.npy")

    def test_other_files(self, tmp_path):
        with pytest.raises(CannotRead, match="the name must end in"):
            read(written(tmp_path / "a.xlsx", ""))
        with pytest.raises(CannotRead, match="is a folder"):
            read(tmp_path)


class TestPictures:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_integers_are_kept(self, tmp_path, suffix, dtype):
        heights = np.array([[0, 1, np.iinfo(dtype).max], [7, 40, 200]], dtype)
        Image.fromarray(heights).save(tmp_path / f"a{suffix}")
        data = read(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(data.heights, heights)
        assert data.how == "2-D grid of 2 x 3 heights"

    @pytest.mark.parametrize(
        "heights",
        [np.array([[0.1, 1e-20], [-3e30, np.nan]], np.float32), np.array([[-5, 2**31 - 1], [0, 3]], np.int32)],
    )
    def test_tiff_numbers_are_kept(self, tmp_path, heights):
        Image.fromarray(heights).save(tmp_path / "a.tif")
        data = read(tmp_path / "a.tif")
        np.testing.assert_array_equal(data.heights, heights)
        assert data.heights.dtype == heights.dtype

    def write_tiff(self, path, row):
        """A picture of one row with its sample format, which pillow does not write as told."""
        data, bits, kind = row.tobytes(), 8 * row.itemsize, "ui".index(row.dtype.kind) + 1
        tags = [
            (256, row.size),
            (257, 1),
            (258, bits),
            (259, 1),
            (262, 1),
            (273, 8),
            (277, 1),
            (278, 1),
            (279, len(data)),
            (339, kind),
        ]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        path.write_bytes(
            b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)
        )

    def save_tagged(self, path, heights, tag, kind, value):
        tags = ImageFileDirectory_v2()
        tags.tagtype[tag] = kind
        tags[tag] = value
        Image.fromarray(heights).save(path, tiffinfo=tags)

    def test_unsigned_and_signed_tiff(self, tmp_path):
        for heights in (np.array([0, 4_000_000_000], "<u4"), np.array([3, -5], "<i2"), np.array([3, -5], np.int8)):
            self.write_tiff(tmp_path / "a.tif", heights)
            np.testing.assert_array_equal(read(tmp_path / "a.tif").heights, heights)

    @pytest.mark.parametrize("dtype", [np.uint16, np.float32])
    def test_places_without_data_are_nan(self, tmp_path, dtype):
        heights = np.array([[1, 9999], [3, 4]], dtype)
        self.save_tagged(tmp_path / "a.tif", heights, 42113, 2, "9999")
        data = read(tmp_path / "a.tif")
        np.testing.assert_array_equal(data.heights, [[1, np.nan], [3, 4]])
        assert data.how.startswith("1 place without data (9999), ")

    def test_first_of_several(self, tmp_path):
        pictures = [Image.fromarray(np.full((3, 4), value, np.uint8)) for value in (1, 2)]
        pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=pictures[1:])
        data = read(tmp_path / "a.tif")
        assert (data.heights == 1).all()
        assert data.how.startswith("first of 2 pictures, ")

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
    def test_colours_are_refused(self, tmp_path, mode, capsys):
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        Image.new(mode, (4, 3)).save(path)
        assert f"has colours (mode {mode}), and heights need one channel: convert it to gray first" in error_of(
            capsys, "fit", path, "-k", "1"
        )

    def test_damaged(self, tmp_path):
        Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "a.png")
        content = (tmp_path / "a.png").read_bytes()
        for part in (content[:50], b"nothing", b""):
            (tmp_path / "a.png").write_bytes(part)
            with pytest.raises(CannotRead, match=r"as a picture|it is empty"):
                read(tmp_path / "a.png")

    def test_without_pillow(self, tmp_path, capsys, monkeypatch):
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
        monkeypatch.setitem(sys.modules, "PIL", None)
        assert "needs pillow: pip install pillow" in error_of(capsys, "fit", tmp_path / "a.png", "-k", "1")

    def test_points_are_refused(self, tmp_path):
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
        with pytest.raises(CannotRead, match="is a grid of heights"):
            read(tmp_path / "a.png", layout="points")


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"surfacefit {sf.__version__}\n"


WITHOUT_JAX = {
    "version": ["--version"],
    "help": ["--help"],
    "help of fit": ["fit", "--help"],
    "help of show": ["show", "--help"],
    "show": ["show", "fit.json"],
    "show an npz": ["show", "fit.npz", "--rows", "1"],
    "no such option": ["fit", "jacksboro", "--solver", "newton"],
    "no such file": ["fit", "none.csv"],
}


@pytest.mark.parametrize("case", WITHOUT_JAX)
def test_what_needs_no_fit_needs_no_jax(case, fitted):
    if not fitted.with_suffix(".npz").exists():
        sf.load(fitted).save(fitted.with_suffix(".npz"))
    arguments = [str(fitted.parent / word) if word.startswith("fit.") else word for word in WITHOUT_JAX[case]]
    script = (
        "import sys; from surfacefit._fit.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'scipy', 'optax', 'matplotlib', 'rasterio', 'astropy', 'xarray', 'h5py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_file_without_a_stored_summary_is_shown_all_the_same(fitted, tmp_path, capsys):
    document = json.loads(fitted.read_text())
    del document["summary"]
    (tmp_path / "fit.json").write_text(json.dumps(document))
    assert main(["show", str(tmp_path / "fit.json")]) == 0
    assert capsys.readouterr().out == sf.load(fitted).summary() + "\n"


def test_module():
    done = subprocess.run(
        [sys.executable, "-m", "surfacefit", "--version"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == f"surfacefit {sf.__version__}\n"


@pytest.mark.parametrize("command", [[], ["fit"], ["show"], ["evaluate"]])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([*command, "--help"])
    assert exit.value.code == 0
    assert f"surfacefit {' '.join(command) or 'fit'}" in capsys.readouterr().out.split("options:")[1]


@pytest.mark.parametrize("module", ["numpy", "jax"])
def test_an_interrupt_while_modules_are_imported_ends_at_once(tmp_path, module):
    """No traceback, and no word of a broken installation: what an extension module makes of a KeyboardInterrupt."""
    fake = tmp_path / "modules" / module
    fake.mkdir(parents=True)
    fake.joinpath("__init__.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "except BaseException:\n"
        "    raise ImportError('a broken installation')\n"
    )
    tmp_path.joinpath("h.csv").write_text("1,2\n3,4\n")
    paths = os.pathsep.join([str(tmp_path / "modules"), str(Path(sf.__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, "-m", "surfacefit", "fit", "h.csv", "-k", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "surfacefit: error: interrupted\n")


def test_an_interrupt_that_a_callback_drops_is_raised_again():
    class Callback:
        def __del__(self):
            raise KeyboardInterrupt

    def dropped():
        Callback()
        for _ in range(500):
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        dropped()


def test_other_handlers_of_interrupts_stay():
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with ended_by_interrupts():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
