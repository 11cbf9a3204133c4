"""A batch that is written part by part and continued after a kill: it ends like an unbroken one."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

import surfacefit as sf
from surfacefit._batches import resumable

X = np.arange(20.0)
KEPT = ("amplitudes", "centers", "covariances", "background", "status", "cost", "steps", "n_used", "rmse")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("surfacefit._many.lanes.MOST_MAPS_A_PROGRAM", 2)
    monkeypatch.setattr(resumable, "PROGRAMS_A_PART", 2)
    monkeypatch.setattr("surfacefit._many.fit_many.cores", lambda: 1)


def curves(n):
    rng = np.random.default_rng(0)
    maps = np.exp(-0.5 * ((X - rng.uniform(5, 15, (n, 1))) / 2) ** 2) + rng.normal(0, 0.02, (n, 20))
    maps[n // 2] = np.nan
    return maps


def same(one, other):
    for name in KEPT:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_stopped_batch_is_continued(tmp_path):
    maps, seen = curves(12).reshape(4, 3, 20), []
    whole = sf.fit_many(maps, 1, ndim=1, init="peaks")
    options = {"ndim": 1, "init": "peaks", "out": tmp_path / "fits"}
    part = sf.fit_many(maps, 1, **options, callback=lambda progress: progress.done >= 6)
    assert part.status.ravel()[8:].tolist() == [sf.Status.STOPPED] * 4
    assert np.isfinite(part.cost).sum() == 4
    again = sf.fit_many(maps, 1, **options, callback=lambda progress: seen.append(progress.done))
    assert (seen[0], seen[-1]) == (6, 12)
    same(again, whole)
    assert again[3, 1].rmse == whole[3, 1].rmse
    same(sf.fit_many(maps, 1, **options, callback=lambda progress: pytest.fail("nothing is left")), whole)
    group = zarr.open_group(tmp_path / "fits", mode="r")
    np.testing.assert_array_equal(group["status"][:], whole.status.ravel())
    same(sf.fit_many(maps, 1, ndim=1, init="peaks", out=zarr.open_group(tmp_path / "fits")), whole)


WAYS = {
    "neighbours": {"n_components": 1, "init": "neighbours"},
    "chosen": {"n_components": "auto"},
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_several_rounds_are_continued(way, tmp_path, monkeypatch):
    """Stopped again and again, at any map of any round."""
    monkeypatch.setattr(resumable, "CHOICES_A_PART", 2)
    maps = curves(10)
    maps[7] = 0.02 * np.random.default_rng(1).normal(size=20)  # nothing is chosen for it
    options = {**WAYS[way], "progress": False, "seed": 1}
    whole, seen, stops = sf.fit_many(maps, **options), [0], []

    def stop(progress):
        seen.append(progress.done)
        return len(stops) < 5 and bool(stops.append(progress.done) or True)

    for _ in range(6):
        before = len(stops)
        again = sf.fit_many(maps, **options, out=tmp_path / "fits", callback=stop)
        if len(stops) == before:
            break
    assert len(stops) >= 3
    assert sorted(seen) == seen
    same(again, whole)
    assert again[7].n_components == whole[7].n_components
    if way == "chosen":
        assert vars(again[0].path).keys() == vars(whole[0].path).keys()
        np.testing.assert_equal(vars(again[0].path), vars(whole[0].path))
    once_more = sf.fit_many(maps, **options, out=tmp_path / "fits", callback=lambda p: pytest.fail("nothing is left"))
    same(once_more, whole)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "fits")["cost"][:], whole.cost)


def poly(parameters, points):
    return parameters[0] + 0 * points[..., 0]


def other_poly(parameters, points):
    return parameters[0] + 1 * points[..., 0]


OTHERS = {
    "`maps` has other values, an array of shape (4, 20) as before": {"maps": curves(4) + 1e-12},
    "`maps` was an array of shape (4, 20), got an array of shape (3, 20)": {"maps": curves(4)[:3]},
    "`n_components` was 1, got 2": {"n_components": 2},
    "`n_components` was 1, got an array of shape (4,)": {"n_components": [1, 2, 1, 1]},
    "`init` was 'peaks', got 'growth'; `n_components` was 1, got AutoComponents(criterion='effective_bic'": {
        "n_components": "auto",
        "init": "growth",
    },
    "`loss` was 'linear', got 'huber'": {"loss": "huber"},
    "`mask` was None, got an array of shape (20,)": {"mask": X < 2},
    "`sigma` was None, got 0.1": {"sigma": 0.1},
    "`coords` was None, got an array of shape (20,)": {"coords": X + 1},
    "`init` was 'peaks', got 'growth'": {"init": "growth"},
    "`init` was 'peaks', got 'neighbours'": {"init": "neighbours"},
    "`init` was 'peaks', got GaussianSurface(": {"init": sf.GaussianSurface([1.0], [[9.0]], [[[4.0]]])},
    "`bounds` was None, got Bounds(amplitudes=(0, 2))": {"bounds": sf.Bounds(amplitudes=(0, 2))},
    "`solver` was 'lm', got LevenbergMarquardt(max_steps=7": {"solver": sf.LevenbergMarquardt(max_steps=7)},
    "`dtype` was None, got 'float32'": {"dtype": "float32"},
    "`background` was 'constant', got 'plane'; `seed` was 0, got 1": {"background": "plane", "seed": 1},
}


def test_the_refusal_of_a_group_of_another_fit_says_what_differs(tmp_path):
    given = {"maps": curves(4), "n_components": 1, "init": "peaks", "out": tmp_path / "fits"}
    sf.fit_many(**given)
    for message, other in OTHERS.items():
        with pytest.raises(ValueError, match=re.escape(f"`out` holds another fit: {message}")):
            sf.fit_many(**{**given, **other})
    with pytest.raises(ValueError, match=r"; `loss` .* and 1 more: give the same arguments"):
        sf.fit_many(**{**given, "background": "plane", "loss": "huber", "dtype": "float32", "min_width": 1, "seed": 2})
    sf.fit_many(**given, max_time=1e6, progress=False)


def test_a_background_is_told_by_its_code(tmp_path):
    given = {"maps": curves(2), "n_components": 1, "init": "peaks", "out": tmp_path / "fits"}
    sf.fit_many(**given, background=sf.FunctionBackground(poly, [0.0]))
    with pytest.raises(ValueError, match=r"`background` was .*poly.*, got .*other_poly"):
        sf.fit_many(**given, background=sf.FunctionBackground(other_poly, [0.0]))


def test_what_is_no_group_of_a_batch_is_refused(tmp_path):
    maps = curves(2)
    zarr.open_group(tmp_path / "other").attrs["kind"] = "salad"
    (tmp_path / "file").write_text("no group")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("no group")
    for out, message in {
        tmp_path / "other": "must be a new group or one of `fit_many`",
        tmp_path / "folder": "must be a new group or one of `fit_many`, got the folder",
        "": "must be the path of a zarr group, got an empty name",
        tmp_path / "file": "cannot be opened as a zarr group",
        3: "must be a zarr group or the path of one",
    }.items():
        with pytest.raises((ValueError, TypeError), match=f"`out` {message}"):
            sf.fit_many(maps, 1, out=out)
    sf.fit_many(maps, 1, init="peaks", out=tmp_path / "fits")
    group = zarr.open_group(tmp_path / "fits")
    del group["cost"]
    group.create_array("cost", shape=(7,), dtype=float)
    with pytest.raises(ValueError, match="`out` is damaged: its 'cost'"):
        sf.fit_many(maps, 1, init="peaks", out=tmp_path / "fits")


def test_parts_whose_files_are_lost_are_fitted_anew(tmp_path):
    maps, out = curves(6), tmp_path / "fits"
    whole = sf.fit_many(maps, 1, init="peaks", out=out)
    for lost in (
        "n_components",
        "n_used",
        "cost",
        "amplitudes",
        "covariances",
        "seconds",
        "status",
        "checksum",
        "done",
    ):
        shutil.rmtree(out / lost / "c")
        same(sf.fit_many(maps, 1, init="peaks", out=out), whole)
        assert (out / lost / "c").exists()
    shutil.rmtree(out / "centers")
    same(sf.fit_many(maps, 1, init="peaks", out=out), whole)
    np.testing.assert_array_equal(zarr.open_group(out)["centers"][:], whole.centers)


@pytest.mark.parametrize("file", ["c/0", "zarr.json"])
def test_a_damaged_file_is_named(tmp_path, file):
    maps, out = curves(4), tmp_path / "fits"
    sf.fit_many(maps, 1, init="peaks", out=out)
    with (out / "cost" / file).open("r+") as damaged:
        damaged.truncate(5)
    with pytest.raises(ValueError, match=r"`out` is damaged: its 'cost' in .* remove this array"):
        sf.fit_many(maps, 1, init="peaks", out=out)
    shutil.rmtree(out / "cost")
    assert np.isfinite(sf.fit_many(maps, 1, init="peaks", out=out).cost).sum() == 3


def test_a_group_is_whole_when_it_is_first_seen(tmp_path):
    """Another process begins while this one makes the group: both find it with all that is in it."""
    maps, out, seen = curves(2), tmp_path / "fits", []
    update = zarr.Group.update_attributes

    def meanwhile(group, attributes):
        update(group, attributes)
        if not seen:
            seen.append(out.exists())
            seen.append(sf.fit_many(maps, 1, init="peaks", out=out))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr.Group, "update_attributes", meanwhile)
        again = sf.fit_many(maps, 1, init="peaks", out=out)
    assert seen[0] is False
    same(again, seen[1])
    assert os.listdir(tmp_path) == ["fits"]


RUN = """
import os, signal, sys
import numpy as np
import surfacefit as sf
from surfacefit._many import lanes

lanes.MOST_MAPS_A_PROGRAM = 4
maps, kill_at, out, end, init = np.load(sys.argv[1]), float(sys.argv[2]), sys.argv[3] or None, *sys.argv[4:]

def look(progress):
    if progress.done >= kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

sf.fit_many(maps, 2, init=init, out=out, callback=look).save(end)
"""


@pytest.mark.slow
@pytest.mark.parametrize("init", ["growth", "neighbours"])
def test_a_killed_process_is_continued(init, tmp_path):
    """Killed twice on the way, at places that are no ends of parts; in processes of their own, which share padding."""

    def run(kill_at, out, end):
        arguments = [tmp_path / "maps.npy", kill_at, out, tmp_path / end, init]
        return subprocess.run([sys.executable, "-c", RUN, *map(str, arguments)], env=os.environ).returncode

    np.save(tmp_path / "maps.npy", curves(300))
    for kill_at in (90, 220):
        assert run(kill_at, tmp_path / "fits", "never.npz") == -signal.SIGKILL
    group = zarr.open_group(tmp_path / "fits", mode="r")
    done = (group if init == "growth" else group["round_5"])["done"][:]
    assert 0 < done.sum() < len(done)
    assert run(np.inf, tmp_path / "fits", "again.npz") == run(np.inf, "", "whole.npz") == 0
    assert not (tmp_path / "never.npz").exists()
    same(sf.load(tmp_path / "again.npz"), sf.load(tmp_path / "whole.npz"))
