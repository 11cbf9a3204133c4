"""Operations of compiled programs, with loops counted as often as they run."""

from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

counting = import_module("benchmarks.program_cost")
program_cost = counting.program_cost
MAP = jax.ShapeDtypeStruct((64, 256), jnp.float32)
N = 64 * 256


def repeated(body):
    return lambda count, x: jax.lax.fori_loop(0, count, lambda i, total: body(total), x)


def test_a_loop_counts_as_often_as_an_argument_says():
    for count in (0, 1, 7):
        assert program_cost(repeated(jnp.exp), jnp.asarray(count), MAP).transcendentals == count * N


def test_loops_in_loops_and_in_programs_multiply():
    inner = jax.jit(repeated(jnp.exp))

    def both(counts, x):
        chunks = (counts[1] + 1) // 2
        return jax.lax.fori_loop(0, counts[0], lambda i, total: inner(chunks, total), x)

    assert program_cost(both, jnp.asarray([3, 9]), MAP).transcendentals == 3 * 5 * N


def test_a_map_counts_once_for_each_entry():
    matrix = jnp.ones((256, 3), jnp.float32)
    cost = program_cost(lambda x: jax.lax.map(lambda row: jnp.matmul(row, matrix, precision="highest"), x), MAP)
    assert cost.flops == pytest.approx(2 * N * 3, rel=0.01)


def test_factorisations_count_though_lapack_does_them():
    def inverse(matrix):
        factor = jnp.linalg.cholesky(matrix)
        return jax.scipy.linalg.solve_triangular(factor, jnp.eye(48, dtype=matrix.dtype), lower=True)

    shape = jax.ShapeDtypeStruct((10, 48, 48), jnp.float32)
    one, ten = (program_cost(f, s).flops for f, s in ((inverse, MATRIX), (lambda x: jax.lax.map(inverse, x), shape)))
    assert one == pytest.approx(48**3 * (1 / 3 + 1), rel=0.2)
    assert ten == pytest.approx(10 * one, rel=0.02)


MATRIX = jax.ShapeDtypeStruct((48, 48), jnp.float32)


def test_a_part_that_is_put_in_place_is_all_that_is_written():
    """The whole array, in which a loop replaces a row each time, counts in none of them."""

    def rows(count, x):
        return jax.lax.fori_loop(0, count, lambda i, total: total.at[i].set(total[i] * 2), x)

    cost = program_cost(rows, jnp.asarray(64), MAP)
    assert cost.loop_bytes < 64 * 256 * 4 * 6


def test_a_loop_that_ends_by_its_data_is_refused():
    def halved(x):
        return jax.lax.while_loop(lambda total: jnp.sum(total) > 1, lambda total: total / 2, x)

    with pytest.raises(ValueError, match="one known integer"):
        program_cost(halved, MAP)


def test_pieces_of_work_are_those_of_the_entry():
    text = (
        "HloModule m\n\n%body (p: f32[2]) -> f32[2] {\n  ROOT %e = f32[2] exponential(%p)\n}\n\n"
        "ENTRY %main (a: f32[2]) -> f32[2] {\n  %a = f32[2] parameter(0)\n  %s = f32[2] fusion(%a), kind=kLoop\n"
        "  ROOT %d = f32[2] dot(%s, %s)\n}\n"
    )
    assert counting.pieces_of_work(text) == 2


def test_a_cost_without_a_part_is_nowhere_negative():
    whole, part = counting.Cost(flops=5.0, loop_bytes=1.0), counting.Cost(flops=2.0, loop_bytes=3.0)
    left = whole.without(part)
    assert (left.flops, left.loop_bytes) == (3.0, 0.0)
    assert np.isclose((whole + 2 * part).loop_bytes, 7.0)


def test_of_a_large_table_only_what_is_gathered_counts():
    """Also where XLA fuses the gathering with what comes after it."""
    table, places = jax.ShapeDtypeStruct((5000, 6), jnp.float64), jax.ShapeDtypeStruct((3, 40), jnp.int32)

    def sums(table, places):
        return jax.lax.map(lambda some: jnp.sum(2 * table[some] + 1), places)

    with jax.enable_x64(True):
        cost = program_cost(sums, table, places)
    assert cost.loop_bytes < 3 * 40 * 6 * 8 * 4
