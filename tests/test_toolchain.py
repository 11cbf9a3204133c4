"""Names and options of JAX and XLA that are not public promises: where a release drops one, this says so."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import jax
import jax.numpy as jnp
import pytest

from surfacefit._base import compile as compiling
from surfacefit._base.compile import (
    MAX_SMALL_NUMBERS,
    MAX_SMALL_PASS_NUMBERS,
    SMALL_COMPILER_OPTIONS,
    concatenated,
    known_options,
)
from surfacefit._base.devices import device_of
from surfacefit._system.compile_clock import COMPILE_EVENTS, compile_clock, seconds

JAX = f"JAX {jax.__version__}"
# The JAX whose XLA no longer knows an option; older ones must know it.
DROPPED = {"xla_cpu_use_fusion_emitters": (0, 11)}


OPTIONS = {**SMALL_COMPILER_OPTIONS, **compiling.WIDE_COMPILER_OPTIONS}


@pytest.mark.parametrize("option", OPTIONS)
def test_xla_knows_the_options_of_programs_for_a_cpu(option):
    known, why = True, ""
    try:
        jax.jit(lambda x: x + 1, compiler_options={option: OPTIONS[option]}).lower(1.0).compile()
    except Exception as error:
        known, why = False, f" ({error})"
    expected = option not in DROPPED or jax.__version_info__[:2] < DROPPED[option]
    assert known or not expected, (
        f"XLA of {JAX} no longer takes {option!r}, so fits take longer: see its line"
        f" in _base/compile.py, measure, and correct DROPPED here{why}"
    )
    assert expected or not known, f"XLA of {JAX} takes {option!r} again: measure whether it still pays"
    assert (option in known_options(OPTIONS)) == known


def test_programs_run_without_options_that_xla_does_not_know(monkeypatch):
    unknown = {"xla_no_such_option": True}
    assert known_options(unknown) == {}
    monkeypatch.setattr(compiling, "SMALL_COMPILER_OPTIONS", {**SMALL_COMPILER_OPTIONS, **unknown})
    assert float(compiling.quick_jit(lambda x: 2 * x)(3.0)) == 6.0


@pytest.mark.parametrize(
    ("make", "most"), [(compiling.quick_jit, MAX_SMALL_NUMBERS), (compiling.pass_jit, MAX_SMALL_PASS_NUMBERS)]
)
def test_programs_on_few_numbers_are_compiled_under_options_of_their_own(monkeypatch, make, most):
    made, jit = [], jax.jit

    def noted(function, **options):
        made.append(options["compiler_options"])
        return jit(function, **options)

    program = make(lambda x: 2 * x)
    expected = [known_options(options) for options in (SMALL_COMPILER_OPTIONS, compiling.CPU_COMPILER_OPTIONS)]
    monkeypatch.setattr(jax, "jit", noted)
    for size in (3, most + 1, most):
        assert float(program(jnp.ones(size))[0]) == 2.0
    assert made == expected


@jax.tree_util.register_pytree_node_class
class Wanting:
    """A record that asks for wide vectors or not."""

    def __init__(self, numbers, wide_vectors):
        self.numbers, self.wide_vectors = numbers, wide_vectors

    def tree_flatten(self):
        return (self.numbers,), self.wide_vectors

    @classmethod
    def tree_unflatten(cls, wide, parts):
        return cls(*parts, wide)


@pytest.mark.parametrize(
    ("size", "wide_vectors", "is_wide"),
    [
        (compiling.WIDE_NUMBERS_FROM, True, True),
        (compiling.WIDE_NUMBERS_FROM, False, False),
        (compiling.WIDE_NUMBERS_FROM - 1, True, False),
    ],
)
def test_vectors_are_wide_where_many_numbers_ask_for_it(monkeypatch, size, wide_vectors, is_wide):
    made, jit = [], jax.jit

    def noted(function, **options):
        made.append(options["compiler_options"])
        return jit(function, **options)

    program = compiling.quick_jit(lambda pair: pair[1].numbers * 2)
    asked = {**compiling.CPU_COMPILER_OPTIONS, **(compiling.WIDE_COMPILER_OPTIONS if is_wide else {})}
    expected = [known_options(asked)]
    monkeypatch.setattr(jax, "jit", noted)
    assert float(program((None, Wanting(jnp.ones(size, jnp.int8), wide_vectors)))[0]) == 2.0
    assert made == expected


def test_xla_refuses_options_that_it_does_not_know():
    """Else the test above would say nothing."""
    with pytest.raises(Exception, match="xla_no_such_option"):
        jax.jit(lambda x: x + 1, compiler_options={"xla_no_such_option": True}).lower(1.0).compile()


def test_jax_reports_the_seconds_of_compiling():
    events = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, duration, **_: events.append(event))
    with compile_clock() as spans:
        jax.jit(lambda x: jnp.sin(x) * 1.25).lower(jnp.ones(7)).compile()
    kept = [event for event in events if event.startswith(COMPILE_EVENTS)]
    for stage in ("trace", "mlir", "backend_compile"):
        assert any(stage in event for event in kept), (
            f"{JAX} reports no event {COMPILE_EVENTS}*{stage}*, so that `result.timings.compile` would be too short: it"
            f" reports {sorted(set(events))}; mend COMPILE_EVENTS in _system/compile_clock.py"
        )
    assert 0 < seconds(spans, 0.0, float("inf")) < 60


def test_the_default_device_is_the_one_that_arrays_go_to():
    with jax.default_device(jax.devices()[-1]):
        assert device_of() == device_of(jnp.ones(3)) == jax.devices()[-1]
    with jax.default_device("cpu"):
        assert device_of().platform == "cpu"


def test_empty_parts_are_left_out_of_concatenations():
    parts = [jnp.zeros((0, 2)), jnp.ones((1, 2)), jnp.zeros((0, 2))]
    assert concatenated(parts).shape == (1, 2)
    assert concatenated(parts[:1]).shape == (0, 2)
    assert concatenated([parts[0], parts[2]]).shape == (0, 2)


FIRST_FIT = """
import jax
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **about: event.endswith("backend_compile_duration") and compiled.append(about.get("fun_name"))
)
import numpy as np, surfacefit as sf
x = np.arange(10.0)
result = sf.fit(2 * np.exp(-0.5 * ((x - 4) / 1.5) ** 2) + 0.1 * np.cos(7 * x), 1, search=0, {options})
result.summary()
print(*compiled)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["background='plane'", "bounds=sf.Bounds(amplitudes=(0, 5), centers=([0], [9]), widths=(0.3, 8))"]
)
def test_a_first_fit_and_its_summary_compile_programs_and_no_single_operations(options):
    fresh = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    code = FIRST_FIT.format(options=options)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=fresh, check=True)
    programs = [name for name in done.stdout.split() if name != "jit(_probe)"]  # which asks for options of XLA
    assert len(programs) <= 5, done.stdout


def test_seconds_are_the_union_of_spans_between_two_times():
    spans = [(2.0, 5.0), (3.0, 4.0), (4.0, 6.0), (8.0, 9.0), (0.0, 1.5)]
    assert seconds(spans, 0.0, 10.0) == 6.5
    assert seconds(spans, 1.0, 4.5) == 3.0
    assert seconds(spans, 4.5, 8.5) == 2.0
    assert seconds(spans, 1.0, 4.5) + seconds(spans, 4.5, 8.5) == seconds(spans, 1.0, 8.5)
    assert seconds([], 0.0, 1.0) == 0


def test_compilation_in_a_thread_is_counted():
    with compile_clock() as spans, ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, jax.jit(lambda x: jnp.cos(x) * 1.2345), jnp.ones(3)).result()
    assert seconds(spans, 0.0, float("inf")) > 0
