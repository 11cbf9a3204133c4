"""The search of many maps at once: what each round takes away, and what it puts in its place."""

import inspect
from itertools import combinations

import numpy as np

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._many import lane_starts
from surfacefit._many.alike import stacks_of
from surfacefit._many.fit_many import work_of
from surfacefit._many.lane_growth import grow_all
from surfacefit._many.lane_peaks import StackPeaks
from surfacefit._many.lane_starts import removed_in

X = np.arange(40.0)


def test_no_round_takes_away_what_one_before_has_until_all_have_been():
    for size in (2, 3, 5, 6):
        rounds = [tuple(removed_in(size, 3, number)) for number in range(200)]
        for count in range(1, size // 2 + 1):
            some = [one for one in rounds if len(one) == count]
            listed = sorted(combinations(range(size), count))
            assert sorted(some[: len(listed)]) == listed
            assert sorted(some[len(listed) : 2 * len(listed)]) == listed
    assert 1 <= len(set(removed_in(40, 0, 1))) <= 20


def grown(maps, count):
    """Peaks and states of some maps, grown."""
    defaults = {one.name: one.default for one in inspect.signature(sf.fit_many).parameters.values()}
    batch = work_of({**defaults, "maps": maps, "n_components": count, "progress": False, "dtype": float}).batch
    (stack,), _ = stacks_of(batch, np.arange(len(maps)))
    peaks = StackPeaks(stack)
    return peaks, grow_all(peaks, np.arange(len(maps)))


def surfaces(peaks, states):
    amplitudes, centers, factors = peaks._components(np.arange(len(states.sizes)), states)
    return amplitudes, centers[..., 0], factors[..., 0, 0] ** 2


def test_two_halves_take_the_place_of_the_component_over_most_misfit():
    """One component has taken two peaks, another a single one."""
    near, far = (sum(np.exp(-0.5 * ((X - c) / 2) ** 2) for c in some) for some in ((9, 14), (30,)))
    maps = np.array([near + 0.8 * far, 0.5 * near[::-1] + far[::-1]])
    with precision(np.dtype(float)):
        peaks, states = grown(maps, 2)
        rows = np.arange(2)
        amplitudes, centers, variances = (one[:, :2] for one in surfaces(peaks, states))
        energies = peaks.energies(rows, states)
        np.testing.assert_allclose(energies[:, :2], amplitudes**2 * np.sqrt(variances), rtol=1e-12)
        assert np.isinf(energies[:, 2:]).all()
        worst = np.argmax(peaks.misfits_beneath(rows, states), axis=1)
        assert worst.tolist() == np.argmax(variances, axis=1).tolist()
        halves = peaks.halved(rows, states, worst)
        assert halves.sizes.tolist() == [3, 3]
        amplitude, center, variance = (one[rows, worst] for one in (amplitudes, centers, variances))
        both = [one[rows[:, None], np.stack([worst, [2, 2]], axis=1)] for one in surfaces(peaks, halves)]
        np.testing.assert_allclose(both[0], 0.6 * amplitude[:, None] * np.ones(2), rtol=1e-9)
        np.testing.assert_allclose(both[1].mean(axis=1), center, rtol=1e-9)
        np.testing.assert_allclose(np.abs(np.diff(both[1])[:, 0]), 1.4 * np.sqrt(variance), rtol=1e-9)
        np.testing.assert_allclose(both[2], (1 - 0.675) * variance[:, None] * np.ones(2), rtol=1e-6)


def test_a_map_that_gains_nothing_leaves_and_one_that_gains_goes_on(monkeypatch):
    rounds, regrown = [], lane_starts._regrown

    def seen(peaks, rows, before, number):
        rounds.append((number, rows.tolist()))
        return regrown(peaks, rows, before, number)

    monkeypatch.setattr(lane_starts, "_regrown", seen)
    rng = np.random.default_rng(0)
    easy = sum(2 * np.exp(-0.5 * ((X - c) / 2) ** 2) for c in (8, 20, 32))
    hard = sum(a * np.exp(-0.5 * ((X - c) / w) ** 2) for a, c, w in ((2, 12, 2), (1.5, 16, 3), (1.2, 22, 2.5)))
    maps = np.array([easy, hard]) + rng.normal(0, 0.02, (2, 40))
    sf.fit_many(maps, 3, progress=False)
    last = {row: max(number for number, rows in rounds if row in rows) for row in (0, 1)}
    assert last[0] <= lane_starts.PATIENCE_OF_MAPS < lane_starts.ROUNDS
    assert last[1] >= last[0]
