"""One fit on several devices, in a fresh process that has four: the same results as on one."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._data import parts
from surfacefit._mesh.traffic import SINGLE_NUMBERS

HERE = Path(__file__).parent
HILL = np.exp(-0.02 * np.add.outer((np.arange(12) - 5.0) ** 2, (np.arange(12) - 6.0) ** 2))


def run_cases(*arguments, **environment):
    """What `mesh_cases` prints, in a process with four devices."""
    done = subprocess.run(
        [sys.executable, str(HERE / "mesh_cases.py"), *arguments],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("layout", ["even grid", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gaps", "dense"))])
def test_each_operation_is_that_of_one_device(layout):
    """Blocks of J^T J, and what follows from them, are in single precision on an even grid."""
    far = run_cases("operations", layout)
    single = {"product", "diagonal", "heavier", "step"} if layout == "even grid" else set()
    assert len(far) == 13
    assert {name: by for name, by in far.items() if not by <= (3e-6 if name in single else 1e-12)} == {}  # nor NaN


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "sigma", "plane", "none", "huber", "cauchy"])
@pytest.mark.parametrize("kind", ["dense", "tiled"])
def test_four_devices_reach_the_cost_of_one(kind, name):
    (_, one, first), (_, four, other) = run_cases("fits", kind, name)
    assert four == pytest.approx(one, rel=1e-10)
    assert min(len(first), len(other)) > 4  # steps were taken
    np.testing.assert_allclose(other[:4], first[:4], rtol=1e-5)  # early J^T J in single precision


REFUSED = {
    "more devices than there are": (
        99,
        ValueError,
        r"`engine.devices` must be from 1 to \d+, .* got 99.*=99 before",
    ),
    "none": (0, ValueError, r"`engine.devices` must be from 1 to \d+, .* got 0"),
    "a word": ("every", ValueError, r"`engine.devices` must be 'all', a number, devices or a Mesh, got 'every'"),
    "an empty list": ([], ValueError, r"`engine.devices` must be one device or more, each once, got \[\]"),
    "a number that is none": (2.5, TypeError, r"`engine.devices` must be 'all', a number, a list .* got 2.5"),
}


@pytest.mark.parametrize("engine", [sf.Dense, sf.Tiled])
@pytest.mark.parametrize("case", REFUSED)
def test_devices_that_there_are_not_are_refused(case, engine):
    devices, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        sf.fit(HILL, 1, engine=engine(devices=devices))


def test_a_mesh_with_another_axis_is_refused():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("points",))
    with pytest.raises(ValueError, match=r"a mesh of one axis, named 'tiles', got axes \('points',\): use"):
        sf.fit(HILL, 1, engine=sf.Tiled(devices=mesh))
    with pytest.raises(ValueError, match=r"each once, got"):
        sf.fit(HILL, 1, engine=sf.Tiled(devices=[jax.devices()[0]] * 2))


def test_a_timeout_is_a_positive_number():
    with pytest.raises(ValueError, match=r"`engine.timeout` must be .*positive.*got 0"):
        sf.fit(HILL, 1, engine=sf.Dense(timeout=0))


def two_processes(case, *arguments):
    """The last lines that two processes print, None of one that was killed; a stopped one is killed at the end."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(HERE / "mesh_cases.py"), case]
    running = [
        subprocess.Popen([*command, rank, port, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        first = running[0].communicate(timeout=900)[0]
        if case != "lost":
            return [json.loads(said.splitlines()[-1]) for said in (first, running[1].communicate(timeout=900)[0])]
        return [json.loads(first.splitlines()[-1]), running[0].returncode]
    finally:
        for one in running:
            one.kill()
            one.communicate()


SLOW_TOGETHER = [pytest.param("tiled", name, marks=pytest.mark.slow) for name in ("sigma", "plain")]


@pytest.mark.parametrize(("kind", "name"), [("dense", "plain"), *SLOW_TOGETHER])
def test_two_processes_reach_the_cost_of_one(kind, name):
    (_, one, _), _ = run_cases("fits", kind, name, "1")
    first, second = two_processes("together", kind, name)
    assert first[1] == pytest.approx(one, rel=1e-10)
    assert first[:3] + first[4:] == second[:3] + second[4:]
    assert first[3] > 0 == second[3]  # the first alone calls back


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("options", r"`min_width` must be the same in all processes of a fit, got process 0: 0.25 .* process 1: 0.5"),
        ("versions", r"`jax` must be the same in all processes of a fit, got process 0: .*; process 1: 0.0.1"),
        ("heights", r"`heights` must be the same in all processes of a fit"),
        ("rows", r"rows 20 to 20 of the map are missing, got process 0: 0 to 19; process 1: 21 to 31"),
    ],
)
def test_processes_that_mean_different_fits_are_refused_in_each(what, message):
    said = two_processes("refused", what)
    assert said[0] == said[1]
    assert re.match(message, said[0])


@pytest.mark.slow
@pytest.mark.parametrize(("how", "seconds"), [("killed", "200"), ("stuck", "60")])
def test_a_lost_process_ends_the_other_with_its_best(how, seconds):
    (status, steps, cost, message), code = two_processes("lost", how, seconds)
    assert (status, steps, code) == ("PROCESS_LOST", 2, 1)
    assert cost == pytest.approx(0.0575826, rel=1e-5)  # after two steps of `fits`
    assert "another process of the fit has ended or does not answer; the best surface so far is kept" in message


PARTS = {
    "a gap": ([(0, (3, 4), "f8"), (4, (3, 4), "f8")], r"rows 3 to 3 of the map are missing, got process 0: 0 to 2"),
    "twice": ([(2, (3, 4), "f8"), (0, (3, 4), "f8")], r"rows 2 to 2 of the map are given twice"),
    "the first missing": ([(1, (3, 4), "f8")], r"rows 0 to 0 of the map are missing"),
    "widths": ([(0, (3, 4), "f8"), (3, (3, 5), "f8")], r"`part` must be of one width and dtype .*process 1: \(3, 5\)"),
    "nothing": ([(0, (0, 4), "f8")], r"`part` must hold one row or more, got shape \(0, 4\) in process 0"),
    "a fraction": ([(0.5, (3, 4), "f8")], r"`first` must be a row's number, 0 or more, got 0.5 in process 0"),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_that_make_no_map_are_refused(case):
    kinds, message = PARTS[case]
    with pytest.raises(ValueError, match=message):
        parts._check(kinds)


def test_parts_are_joined_in_the_order_of_their_rows(monkeypatch):
    rows = np.arange(20.0).reshape(5, 4)
    said = iter([[(3, (2, 4), "f8"), (0, (3, 4), "f8")], [rows[3:], rows[:3]]])
    monkeypatch.setattr(parts, "told_to_all", lambda value: next(said))
    np.testing.assert_array_equal(sf.join_parts(rows[3:], 3), rows)


@pytest.mark.slow
def test_the_script_of_the_page_runs_in_the_processes_of_slurm(tmp_path):
    """The script of docs/howto/devices.md in two processes with the environment that Slurm gives to two tasks."""
    page = (HERE.parents[0] / "docs" / "howto" / "devices.md").read_text(encoding="utf-8")
    script = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "initialize" in block)
    np.save(tmp_path / "map.npy", HILL + 0.01 * np.random.default_rng(1).normal(size=HILL.shape))
    start = sf.fit(HILL, 1)
    start.save(tmp_path / "start.json")
    shared = {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu", "SLURM_STEP_NUM_NODES": "1", "SLURM_NTASKS": "2"}
    shared |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, **shared, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            cwd=tmp_path,
        )
        for rank in "01"
    ]
    assert [one.wait(timeout=900) for one in running] == [0, 0]
    found = sf.load(tmp_path / "fit.json").surface
    assert found.amplitudes == pytest.approx(start.surface.amplitudes, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "products", "direct", "blocks"])
def test_a_step_sends_what_is_predicted(kind):
    """In the compiled program, where the body of conjugate gradients stands once."""
    sent, predicted = run_cases("traffic", kind)
    assert {operation for operation, *_ in sent} == {"all-reduce"} | ({"reduce-scatter"} if kind == "blocks" else set())
    assert sum(size for _, numbers, size in sent if numbers >= SINGLE_NUMBERS) == predicted
    assert sum(numbers < SINGLE_NUMBERS for _, numbers, _ in sent) < 40
