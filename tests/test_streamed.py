"""Fits of maps on disk: as in memory, whatever holds the map; killed and continued; and what can go wrong."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import rasterio
import zarr

import surfacefit as sf
from surfacefit._fit import cli_actions
from surfacefit._fit.cli import main
from surfacefit._streamed import map_passes, map_reader, survey
from surfacefit._streamed.checkpoint import BadCheckpoint
from surfacefit._streamed.map_reader import MapChanged, window_sides

SHAPE = (90, 70)
TRUTH = sf.GaussianSurface(
    np.array([2.0, 1.0, 1.5]),
    np.array([[20.0, 20.0], [60.0, 25.0], [45.0, 55.0]]),
    np.array([[[60.0, 20.0], [20.0, 50.0]], [[30.0, 0.0], [0.0, 80.0]], [[90.0, -10.0], [-10.0, 40.0]]]),
    0.4,
)
START = replace(TRUTH, amplitudes=TRUTH.amplitudes * 1.1, centers=TRUTH.centers + np.array([0.7, -0.5]), background=0.3)
FEW = sf.LevenbergMarquardt(max_steps=5)


def heights(dtype=float, noise=0.02):
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return (TRUTH(places) + noise * np.random.default_rng(0).normal(size=SHAPE)).astype(dtype)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Windows of 32 x 70 points, in tiles of 8 x 8, so that components reach over several."""
    monkeypatch.setattr(map_reader, "LEAST_SIDE", 32)
    monkeypatch.setattr(map_reader, "WINDOW_PLACES", 2048)
    monkeypatch.setattr(map_passes, "WIDEST_TILES", {2: 8})


def numbers(result):
    surface = result.surface
    return np.concatenate(
        [np.ravel(a) for a in (surface.amplitudes, surface.centers, surface.covariances, surface.background.vector())]
    )


def on_disk(kind, z, folder):
    """The heights in a store of this kind."""
    if kind == "memmap":
        np.save(folder / "map.npy", z)
        return np.load(folder / "map.npy", mmap_mode="r")
    if kind == "zarr":
        stored = zarr.create_array(str(folder / "map.zarr"), shape=z.shape, chunks=(25, 40), dtype=z.dtype)
        stored[:] = z
        return stored
    if kind == "h5py":
        file = h5py.File(folder / "map.h5", "w")
        return file.create_dataset("heights", data=z, chunks=(40, 30))
    profile = {"driver": "GTiff", "height": z.shape[0], "width": z.shape[1], "count": 1, "dtype": z.dtype}
    transform = rasterio.Affine(1.0, 0.0, -0.5, 0.0, -1.0, z.shape[0] - 0.5)  # north up: y falls
    with rasterio.open(folder / "map.tif", "w", **profile, transform=transform, nodata=-99, crs="EPSG:32632") as file:
        file.write(np.where(np.isnan(z), -99, z)[::-1], 1)
    return rasterio.open(folder / "map.tif")


@pytest.mark.parametrize("kind", ["memmap", "zarr", "h5py", "rasterio"])
def test_a_map_on_disk_is_fitted_as_in_memory(kind, tmp_path):
    z = heights()
    z[30:38, 10:20] = np.nan
    memory = sf.fit(z, 3, init=START, engine=sf.Tiled(cutoff=1e-9), reset=False)
    stored = on_disk(kind, z if kind != "rasterio" else z[::-1][::-1], tmp_path)
    streamed = sf.fit(stored, 3, init=START, engine=sf.Streamed(cutoff=1e-9))
    np.testing.assert_allclose(numbers(streamed), numbers(memory), rtol=1e-4, atol=1e-5)
    assert streamed.cost == pytest.approx(memory.cost, rel=1e-8)
    assert (streamed.n_points, streamed.n_nan) == (memory.n_points, memory.n_nan) == (z.size - 80, 80)
    assert (streamed.rmse, streamed.r2) == pytest.approx((memory.rmse, memory.r2), rel=1e-7)
    assert streamed.settings.engine == "streamed"


def test_systems_too_large_to_solve_directly_end_at_the_truth(tmp_path, monkeypatch):
    """As of more than 1,024 parameters: by conjugate gradients, and with the rules of their steps."""
    for module in ("_linear.normal.blocks", "_problem.planning", "_solvers.kept_cost"):
        monkeypatch.setattr(f"surfacefit.{module}.DIRECT_SOLVE_PARAMETERS", 0)
    found = sf.fit(on_disk("memmap", heights(), tmp_path), 3, init=START, engine=sf.Streamed())
    assert found.status.name.startswith("CONVERGED")
    assert found.rmse == pytest.approx(0.02, rel=0.03)
    np.testing.assert_allclose(found.surface.centers, TRUTH.sorted().centers, atol=0.1)


def test_every_step_reads_each_point_once(tmp_path, monkeypatch):
    z, read = on_disk("memmap", heights(), tmp_path), []
    plain = map_reader.MapReader.heights

    def counted(self, number):
        found = plain(self, number)
        read.append(found.size)
        return found

    monkeypatch.setattr(map_reader.MapReader, "heights", counted)
    result = sf.fit(z, 3, init=START, engine=sf.Streamed(), solver=FEW)
    passes = sum(read) / z.size
    # One for the survey, one at the start, one for each trial.
    assert passes == 2 + result.steps
    assert (np.diff(result.history["cost"]) <= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{"background": "plane"}, {"background": None, "covariance_type": "tied"}])
def test_sums_of_a_pass_are_those_of_plain_loops(dtype, options):
    """Against derivatives of the cost by finite differences of a plain sum."""
    result = sf.fit(heights(), 3, init=START, engine=sf.Streamed(cutoff=1e-12), solver=FEW, dtype=dtype, **options)
    z = heights()
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    cost = 0.5 * np.sum((result.surface(places) - z) ** 2)
    assert result.cost == pytest.approx(cost, rel=1e-5 if dtype == "float32" else 1e-10)


def test_without_a_guess_averages_give_the_start():
    """A map of blocks: growth and choice on averages, then steps on all points."""
    z = heights(np.float32)
    result = sf.fit(z, engine=sf.Streamed(), n_components=3, init="growth")
    memory = sf.fit(z, 3, init=TRUTH)
    assert result.rmse == pytest.approx(memory.rmse, rel=1e-4)


def test_threads_change_no_bit():
    z = heights()
    one, three = (sf.fit(z, 3, init=START, engine=sf.Streamed(threads=n), solver=FEW) for n in (1, 3))
    np.testing.assert_array_equal(numbers(one), numbers(three))


def test_size_alone_decides_what_is_streamed(tmp_path):
    z = on_disk("memmap", np.kron(heights(), np.ones((4, 4))), tmp_path)
    assert sf.fit(z, 3, init=START, solver=FEW).settings.engine != "streamed"
    assert sf.fit(z, 3, init=START, solver=FEW, max_memory=2e-2).settings.engine == "streamed"
    with pytest.raises(ValueError, match="max_memory"):  # what is in memory already stays there
        sf.fit(np.asarray(z), 3, init=START, max_memory=5e-3)


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    z, checkpoint, seen = on_disk("zarr", heights(), tmp_path), tmp_path / "fit.npz", []
    whole = sf.fit(z, 3, init=START, engine=sf.Streamed())
    for stop in (1, 3):
        part = sf.fit(
            z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint), callback=lambda p, n=stop: p.steps >= n
        )
        assert part.status == sf.Status.STOPPED
    again = sf.fit(
        z,
        3,
        init=START,
        engine=sf.Streamed(checkpoint=checkpoint, resume=True),
        callback=lambda p: seen.append(p.steps),
    )
    assert seen[0] >= 3
    np.testing.assert_array_equal(numbers(again), numbers(whole))
    np.testing.assert_array_equal(again.history["cost"], whole.history["cost"])
    assert (again.cost, again.steps, again.status) == (whole.cost, whole.steps, whole.status)
    anew = sf.fit(z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint, resume=False), solver=FEW)
    assert anew.steps == 5


SCRIPT = """
import sys
import numpy as np
import surfacefit as sf
from surfacefit._streamed import map_passes, map_reader
map_reader.LEAST_SIDE, map_reader.WINDOW_PLACES, map_passes.WIDEST_TILES = 32, 2048, {2: 8}
heights, start, checkpoint, end = sys.argv[1:]
start = sf.GaussianSurface(*np.load(start, allow_pickle=False).values())
print("ready", flush=True)
result = sf.fit(np.load(heights, mmap_mode="r"), 3, init=start, engine=sf.Streamed(checkpoint=checkpoint),
                callback=lambda p: print(p.steps, flush=True))
surface = result.surface
arrays = surface.amplitudes, surface.centers, surface.covariances, surface.background.value, result.history["cost"]
np.savez(end, *arrays)
"""


@pytest.mark.slow
def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path):
    """All in processes of their own, which have rooms for components that this one does not have."""
    on_disk("memmap", heights(), tmp_path)
    np.savez(tmp_path / "start.npz", START.amplitudes, START.centers, START.covariances, np.asarray(START.background))

    def child(name):
        files = [str(tmp_path / file) for file in ("map.npy", "start.npz", f"{name}.npz", f"{name}_end.npz")]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *files], stdout=subprocess.PIPE, text=True)

    for n_lines in (3, 5):
        with child("killed") as process:
            for _ in range(n_lines):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    for name in ("killed", "whole"):
        with child(name) as process:
            first = process.stdout.read().split()[1]
        assert process.returncode == 0
        assert (int(first) > 0) == (name == "killed")
    with np.load(tmp_path / "killed_end.npz") as again, np.load(tmp_path / "whole_end.npz") as whole:
        for name in whole:
            np.testing.assert_array_equal(again[name], whole[name])


class TestBadInput:
    def test_heights_that_change_on_the_way(self, tmp_path):
        z, checkpoint = on_disk("zarr", heights(), tmp_path), tmp_path / "fit.npz"

        def change(progress):
            if progress.steps == 2:
                z[80, 60] = 9.0

        with pytest.raises(MapChanged, match=r"zarr array changed .*\[.*:90, .*\] has other heights .* checkpoint"):
            sf.fit(z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint), callback=change)
        z[80, 60] = heights()[80, 60]
        whole = sf.fit(z, 3, init=START, engine=sf.Streamed())
        again = sf.fit(z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint, resume=True))
        np.testing.assert_array_equal(numbers(again), numbers(whole))

    def test_a_disk_that_fills_up(self, tmp_path, monkeypatch):
        z, checkpoint, written = heights(), tmp_path / "fit.npz", []
        plain = os.fsync

        def full(file):
            written.append(file)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            plain(file)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written \(No space left .*one before it is kept.*make room"):
            sf.fit(z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint))
        assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]
        whole = sf.fit(z, 3, init=START, engine=sf.Streamed())
        again = sf.fit(z, 3, init=START, engine=sf.Streamed(checkpoint=checkpoint, resume=True))
        np.testing.assert_array_equal(numbers(again), numbers(whole))

    @pytest.mark.parametrize("damage", ["cut", "bit", "text", "empty"])
    def test_a_corrupted_checkpoint(self, damage, tmp_path):
        checkpoint = tmp_path / "fit.npz"
        engine = sf.Streamed(checkpoint=checkpoint)
        sf.fit(heights(), 3, init=START, engine=engine, solver=FEW)
        whole = checkpoint.read_bytes()
        middle = len(whole) // 2
        checkpoint.write_bytes(
            {
                "cut": whole[:middle],
                "bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "text": b"no archive at all",
                "empty": b"",
            }[damage]
        )
        with pytest.raises(BadCheckpoint, match=r"fit\.npz' is damaged .* resume=False"):
            sf.fit(heights(), 3, init=START, engine=engine, solver=FEW)
        sf.fit(heights(), 3, init=START, engine=replace(engine, resume=False), solver=FEW)

    def test_a_checkpoint_of_another_fit(self, tmp_path):
        engine = sf.Streamed(checkpoint=tmp_path / "fit.npz")
        sf.fit(heights(), 3, init=START, engine=engine, solver=FEW)
        with pytest.raises(BadCheckpoint, match="another fit: `heights` has other values"):
            sf.fit(heights(noise=0.03), 3, init=START, engine=engine, solver=FEW)
        with pytest.raises(BadCheckpoint, match=r"another fit: `min_width` was 0\.25, got 0\.5"):
            sf.fit(heights(), 3, init=START, engine=engine, solver=FEW, min_width=0.5)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"mask": np.zeros(SHAPE, bool) | True}, "`mask` is not known to fits of maps on disk"),
            ({"sigma": 0.1}, "`sigma` is not known"),
            ({"loss": "huber"}, "`loss` must be 'linear'"),
            ({"reset": True}, "`reset` needs the residuals"),
            ({"init": sf.RandomStarts(3)}, "`init` must be one start"),
            ({"solver": "adam"}, "`solver` must be 'lm' or 'dogleg'"),
            ({"coords": (np.arange(90.0) ** 1.5, np.arange(70.0))}, r"`coords\[0\]` must have even steps"),
            ({"engine": sf.Streamed(cutoff=2)}, r"`engine\.cutoff` must be a number"),
            ({"engine": sf.Streamed(checkpoint="fit.txt")}, r"`engine\.checkpoint` must be the path .* \.npz"),
            ({"engine": sf.Streamed(checkpoint="/no/such/fit.npz")}, "must be in a folder that exists"),
            ({"engine": sf.Streamed(checkpoint="no_such.npz", resume=True)}, "there is none at 'no_such.npz'"),
            ({"engine": sf.Streamed(resume=True)}, r"`engine\.checkpoint` is None"),
        ],
    )
    def test_options_that_it_does_not_have(self, options, message):
        with pytest.raises((ValueError, TypeError), match=message):
            sf.fit(heights(), 3, **{"init": START, "engine": sf.Streamed(), **options})

    def test_a_map_without_heights(self):
        with pytest.raises(ValueError, match="all 6300 `heights` are NaN"):
            sf.fit(np.full(SHAPE, np.nan), 3, init=START, engine=sf.Streamed())
        z = heights()
        z[80, 3] = np.inf
        with pytest.raises(ValueError, match=r"must be finite .* got inf in the window \["):
            sf.fit(z, 3, init=START, engine=sf.Streamed())

    def test_what_needs_all_residuals_says_so(self):
        result = sf.fit(heights(), 3, init=START, engine=sf.Streamed(), solver=FEW)
        for call in (lambda: result.residuals, result.predict, result.bootstrap, lambda: result.diagnostics):
            with pytest.raises(ValueError, match="needs the heights of all points"):
                call()

    def test_points_and_batches_are_not_streamed(self):
        with pytest.raises(ValueError, match="`engine` must be one for data in memory here"):
            sf.fit_points(np.zeros((9, 1)), np.zeros(9), 1, engine=sf.Streamed())


@pytest.fixture(scope="module")
def of_blocks():
    """A fit whose averages are over blocks of 3 x 3 points."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "MOST_BLOCKS", 1500)
        return sf.fit(heights(), 3, init=START, engine=sf.Streamed())


def test_errors_are_those_of_all_points(of_blocks):
    memory = sf.fit(heights(), 3, init=START, reset=False)
    assert of_blocks.whole.block == 3
    found, known = of_blocks.standard_errors, memory.standard_errors
    for name in ("amplitudes", "centers", "principal_widths", "volumes"):
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=0.01)
    assert found.background.value == pytest.approx(known.background.value, rel=0.01)
    np.testing.assert_allclose(of_blocks.worth, memory.worth, rtol=0.01)
    np.testing.assert_array_equal(of_blocks.flags, memory.flags)
    assert of_blocks.statistics.bic == pytest.approx(memory.statistics.bic, rel=1e-6)
    with pytest.raises(ValueError, match="`method`='sandwich' needs the heights of all points"):
        of_blocks.uncertainty("sandwich")
    narrow = replace(of_blocks, surface=replace(of_blocks.surface, covariances=of_blocks.surface.covariances / 16))
    with pytest.raises(ValueError, match=r"narrowest component is 1\.37 points wide"):
        narrow.uncertainty()


def test_a_summary_and_a_file_tell_of_the_whole_map(of_blocks, tmp_path):
    text = of_blocks.summary()
    assert "6300 of 90 x 70" in text
    assert "LevenbergMarquardt" in text
    assert "streamed" in text
    for name in ("fit.npz", "fit.json"):
        of_blocks.save(tmp_path / name)
        found = sf.load(tmp_path / name)
        assert found.summary() == text
        assert (found.rmse, found.r2, found.n_points) == (of_blocks.rmse, of_blocks.r2, of_blocks.n_points)
        np.testing.assert_array_equal(found.standard_errors.centers, of_blocks.standard_errors.centers)


def test_a_picture_shows_the_averages(of_blocks):
    axes = of_blocks.plot().axes
    assert axes[0].collections[0].get_array().size == 30 * 24


def test_the_command_line_reads_a_large_file_window_by_window(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli_actions, "LEAST_STREAMED_BYTES", 1)
    on_disk("rasterio", np.kron(heights(), np.ones((4, 4))), tmp_path).close()
    file, fit, checkpoint = (str(tmp_path / name) for name in ("map.tif", "fit.npz", "kept.npz"))
    start = replace(START, centers=START.centers * 4 + 1.5, covariances=START.covariances * 16)
    mirrored = replace(start, centers=np.array([359.0, 0.0]) + np.array([-1.0, 1.0]) * start.centers)
    memory = sf.fit(np.zeros((8, 8)), 3, init=mirrored, contained=False, solver=sf.LevenbergMarquardt(max_steps=0))
    memory.save(tmp_path / "start.npz")
    asked = ["fit", file, "-k", "3", "--start", str(tmp_path / "start.npz"), "-o", fit]
    assert main([*asked, "--max-memory", "0.02"]) == 0
    assert "raster, grid of 360 x 280 heights, read window by window" in capsys.readouterr().out
    streamed = sf.load(fit)
    assert (streamed.settings.engine, streamed.n_points) == ("streamed", 100_800)
    assert main([*asked, "--checkpoint", checkpoint]) == 0
    assert sf.load(fit).cost == streamed.cost
    assert os.path.exists(checkpoint)
    for name, value in {"--devices": "2", "--engine": "tiled"}.items():
        assert main([*asked, "--checkpoint", checkpoint, name, value]) == 2
        assert f"`{name}` chooses how a map in memory is fitted" in capsys.readouterr().err
    assert main([*asked, "--checkpoint", checkpoint, "--window", "0:9,0:9"]) == 2
    assert "`--window` needs the whole map in memory" in capsys.readouterr().err


PEAK = """
import resource, sys
import numpy as np
import surfacefit as sf
path = sys.argv[1]
start = sf.GaussianSurface([1.0, 1.0], [[300.0, 300.0], [700.0, 600.0]], [np.eye(2) * 60**2] * 2)
sf.fit(np.load(path, mmap_mode="r"), 2, init=start, engine=sf.Streamed(threads=1),
       solver=sf.LevenbergMarquardt(max_steps=2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_map(tmp_path):
    """16 times the points take no more than the averages that the formula counts, and a margin; the map has 134 MB."""
    peaks = []
    for size in (1024, 4096):
        z = np.lib.format.open_memmap(tmp_path / f"{size}.npy", "w+", float, (size, size))
        z[:1024, :1024] = np.random.default_rng(0).normal(size=(1024, 1024))
        z.flush()
        found = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path / f"{size}.npy")], stdout=subprocess.PIPE, check=True
        )
        peaks.append(int(found.stdout))
    assert peaks[1] - peaks[0] < 60e6


def test_windows_are_whole_chunks_or_long_rows():
    assert window_sides((16384, 16384), None, 2**20) == (64, 16384)
    assert window_sides((5000, 5000), (512, 512), 2**20) == (512, 2048)
    assert window_sides((100, 100), (512, 512), 2**20) == (100, 100)
    assert window_sides((5000, 5000), (4096, 4096), 2**20) == (4096, 4096)
