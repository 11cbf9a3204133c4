"""The comparison with image splatting: luminance, PSNR, and the recipe beside plain loops."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf

kodak = import_module("benchmarks.kodak")
splatting = import_module("benchmarks.splatting")
splatting_channels = import_module("benchmarks.splatting_channels")


def test_luminance_is_that_of_rec_601(tmp_path):
    images = pytest.importorskip("PIL.Image")
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
    images.fromarray(colours).save(tmp_path / "kodim07.png")
    found = kodak.photographs([str(tmp_path)])
    expected = [[0.299, 0.587], [0.114, (10 * 0.299 + 20 * 0.587 + 30 * 0.114) / 255]]
    np.testing.assert_allclose(found["kodim07"], expected, rtol=1e-12)


def test_missing_photographs_are_told_where_to_go(tmp_path):
    for path in (tmp_path, tmp_path / "kodim99.png"):
        with pytest.raises(SystemExit, match=r"put kodim01\.png"):
            kodak.photographs([str(path)])


def test_psnr_is_of_the_clipped_image():
    image = np.array([[0.0, 1.0], [0.5, 0.5]])
    narrow = sf.GaussianSurface(np.array([3.0]), np.array([[0.0, 1.0]]), 1e-4 * np.eye(2)[None])
    assert kodak.psnr(image, narrow) == pytest.approx(-10 * np.log10((0 + 0 + 0.25 + 0.25) / 4))


def test_times_to_a_psnr_are_read_from_the_trace():
    run = kodak.Run([(1.0, 2, 20.0), (3.0, 5, 25.0)], 25.0, 3.0, 4.0, None)
    assert (run.reached(24.0), run.reached(26.0)) == (3.0, None)
    assert (run.after(2.9), run.after(3.0), run.steps) == ((2, 20.0), (5, 25.0), 5)


def test_adan_is_that_of_the_recipe():
    """Beside a loop over single numbers, as the recipe's optimiser has it."""
    gradients = np.random.default_rng(0).normal(size=(6, 3))
    moments = splatting.AdanMoments(*(jnp.zeros(3) for _ in range(4)))
    step_of = jax.jit(splatting.adan)
    for number, gradient in enumerate(gradients):
        step, moments = step_of(jnp.asarray(gradient), moments, jnp.asarray(number))
    for i in range(3):
        mean = change = square = 0.0
        for number, g in enumerate(gradients[:, i]):
            difference = g - gradients[number - 1, i] if number else 0.0
            mean = 0.98 * mean + 0.02 * g
            change = 0.92 * change + 0.08 * difference
            square = 0.99 * square + 0.01 * (g + 0.92 * difference) ** 2
        n = len(gradients)
        root = np.sqrt(square / (1 - 0.99**n)) + 1e-8
        expected = -(mean / (1 - 0.98**n) + 0.92 * change / (1 - 0.92**n)) / root
        assert float(step[i]) == pytest.approx(expected, rel=2e-5)


def drawn(raw, shape):
    """The recipe's image, pixel by pixel, from its own numbers (K, 6)."""
    image = np.zeros(shape)
    pixels = np.stack(np.indices(shape, dtype=float), axis=-1)
    for colour, *center, first, second, below in raw:
        middle = 0.5 * np.array(shape) * (np.tanh(center) + 1) - 0.5
        factor = np.array([[first + 0.5, 0], [below, second + 0.5]])
        away = pixels - middle
        image += colour * np.exp(-0.5 * np.einsum("rci,ij,rcj->rc", away, np.linalg.inv(factor @ factor.T), away))
    return image


@pytest.fixture(scope="module")
def tiny():
    """A run on a small image, where nothing is left out of the sums."""
    rng = np.random.default_rng(3)
    image = np.clip(drawn(np.array([[0.9, -0.2, 0.1, 3, 5, 1], [0.6, 0.5, -0.6, 4, 2, 0]]), (20, 28)), 0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splatting, "CUTOFF", 0.0)
        yield splatting.SplattingRun(image + 0.01 * rng.uniform(size=image.shape), 3)


def test_the_recipe_descends_along_the_slopes_of_its_own_loss(tiny):
    """By differences of its loss, with colours above one, where the clipped image does not change."""
    raw = np.asarray(tiny.run.carry.state.raw, float).reshape(-1, 6)[:3]
    raw[:, 0] += 1.0
    numbers = jnp.asarray(np.pad(raw, [(0, tiny.run.carry.state.raw.size // 6 - 3), (0, 0)]).ravel(), jnp.float32)
    evaluated = jax.jit(lambda problem, numbers: tiny.solver._evaluated(problem, tiny.solver.params(numbers), numbers))
    found = np.asarray(evaluated(tiny.run.problem, numbers)[1], float).reshape(-1, 6)[:3]
    assert drawn(raw, tiny.image.shape).max() > 1.2

    def loss(numbers):
        return np.mean((np.clip(drawn(numbers, tiny.image.shape), 0, 1) - tiny.image) ** 2)

    expected, h = np.zeros_like(raw), 1e-5
    for place in np.ndindex(raw.shape):
        change = np.zeros_like(raw)
        change[place] = h
        expected[place] = (loss(raw + change) - loss(raw - change)) / (2 * h)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_the_recipe_improves_and_gives_the_surface_that_it_rates(tiny):
    before = -10 * np.log10(2 * float(tiny.run.carry.best.cost) * tiny.prepared.scaling.height_scale**2 / 560)
    tiny.advance(120, lambda seconds, steps, psnr: steps >= 100)
    seconds, steps, reached = tiny.trace[-1]
    assert 100 <= steps <= 120
    assert 0 < seconds <= tiny.spent
    assert reached > before + 0.05
    assert kodak.psnr(tiny.image, tiny.surface()) == pytest.approx(reached, abs=2e-3)
    json.dumps(tiny.trace)


def coloured(raw, shape):
    """The recipe's image (rows, columns, 3) from its own numbers (K, 8)."""
    return np.stack([drawn(raw[:, [c, *range(3, 8)]], shape) for c in range(3)], axis=-1)


@pytest.mark.slow
def test_the_recipe_in_colours_descends_along_the_slopes_of_its_own_loss(monkeypatch):
    """By differences of the loss over three channels, one of which is above one in the middle; and what it draws."""
    monkeypatch.setattr(splatting_channels, "CUTOFF", 0.0)
    raw = np.array([[1.9, 0.2, 0.5, -0.2, 0.1, 3, 5, 1], [0.6, 0.7, -0.3, 0.5, -0.6, 4, 2, 0]])
    image = np.clip(0.8 * coloured(raw, (20, 28)) + 0.05, 0, 1)
    run = splatting_channels.ChannelSplattingRun(image, 2)
    numbers = jnp.asarray(raw.ravel(), jnp.float32)
    evaluated = jax.jit(lambda problem, numbers: run.solver._evaluated(problem, run.solver.params(numbers), numbers))
    cost, found = (np.asarray(part, float) for part in evaluated(run.run.problem, numbers))

    def loss(numbers):
        return np.mean((np.clip(coloured(numbers, (20, 28)), 0, 1) - image) ** 2)

    expected, h = np.zeros_like(raw), 1e-5
    for place in np.ndindex(raw.shape):
        change = np.zeros_like(raw)
        change[place] = h
        expected[place] = (loss(raw + change) - loss(raw - change)) / (2 * h)
    np.testing.assert_allclose(found.reshape(-1, 8), expected, atol=5e-4 * np.abs(expected).max())
    assert 2 * cost * run.prepared.unit**2 / image.size == pytest.approx(loss(raw), rel=1e-4)
    best = run.run.carry.best._replace(params=run.solver.params(numbers))
    run.run.carry = run.run.carry._replace(best=best)
    points = np.stack(np.indices((20, 28), dtype=float), axis=-1)
    shown = np.stack([surface(points) for surface in run.surfaces()], axis=-1)
    np.testing.assert_allclose(shown, coloured(raw, (20, 28)), atol=1e-4)
