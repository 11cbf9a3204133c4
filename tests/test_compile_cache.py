"""Programs on disk: kept where asked for, only if they are read again, and in the user's cache folder by default."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

import surfacefit as sf
from surfacefit._system import compile_cache


@pytest.fixture(autouse=True)
def settings_come_back():
    names = ("jax_compilation_cache_dir", *compile_cache.KEEP_ALL)
    before = {name: getattr(jax.config, name) for name in names}
    yield before
    compile_cache._set(before)


def test_a_cache_is_probed_and_used(tmp_path):
    found = sf.cache(tmp_path / "programs")
    assert found.hits
    assert found.directory.parent == tmp_path / "programs"
    assert jax.config.jax_compilation_cache_dir == str(found.directory)
    before = len(list(found.directory.iterdir()))
    sf.fit([0.0, 0.1, 0.9, 2.0, 1.1, 0.1, 0.0], 1, search=0, background=None)
    assert len(list(found.directory.iterdir())) >= before
    assert sf.cache(tmp_path / "programs") == found


def test_a_cache_that_never_hits_stays_off_and_says_so(tmp_path, monkeypatch, settings_come_back):
    monkeypatch.setattr(compile_cache, "HIT_EVENT", "no event of JAX's")
    with pytest.warns(UserWarning, match="compiled programs are not kept: this JAX"):
        found = sf.cache(tmp_path)
    assert not found.hits
    assert {name: getattr(jax.config, name) for name in settings_come_back} == settings_come_back


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, Path("/caches/surfacefit")),
        ("linux", {"XDG_CACHE_HOME": ""}, Path.home() / ".cache" / "surfacefit"),
        ("darwin", {}, Path.home() / "Library" / "Caches" / "surfacefit"),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/surfacefit")),
    ],
)
def test_the_default_folder_is_that_of_the_platform(monkeypatch, platform, variables, folder):
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert compile_cache._default_folder() == folder


def test_a_folder_that_cannot_be_made_raises(tmp_path, settings_come_back):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        sf.cache(tmp_path / "file" / "programs")
    assert jax.config.jax_compilation_cache_dir == settings_come_back["jax_compilation_cache_dir"]


PROCESS = """
import jax, sys, surfacefit as sf
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
assert sf.cache(sys.argv[1]).hits
hits.clear()
sf.fit([0.0, 0.1, 0.9, 2.0, 1.1, 0.1, 0.0], 1, search=0, background=None)
print(len(hits))
"""


@pytest.mark.slow
def test_the_next_process_reads_what_the_first_has_written(tmp_path):
    def hits():
        command = [sys.executable, "-c", PROCESS, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1])

    assert hits() == 0
    assert hits() >= 3
