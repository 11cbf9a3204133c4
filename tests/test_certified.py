"""Certified and published optima: NIST's Gauss1 and Gauss2, real lidar waveforms, and surfaces known exactly."""

import json

import numpy as np
import pytest

import surfacefit as sf


@pytest.mark.parametrize("name", ["Gauss1", "Gauss2"])
@pytest.mark.parametrize("start", ["start1", "start2"])
def test_nist(real, name, start):
    rows = np.loadtxt(real(f"nist_{name}.csv"), delimiter=",", skiprows=1)
    entry = json.loads(real("nist_certified.json").read_text())[name]

    def surface(b):
        return sf.GaussianSurface([b[2], b[5]], [[b[3]], [b[6]]], [[[b[4] ** 2 / 2]], [[b[7] ** 2 / 2]]])

    result = sf.fit(rows[:, 2], 2, coords=rows[:, 0], background=None, init=surface(entry[start]))
    order = np.argsort(result.surface.centers[:, 0])
    found = result.surface.component(order)
    certified = surface(entry["certified"])
    np.testing.assert_allclose(found.amplitudes, certified.amplitudes, rtol=1e-6)
    np.testing.assert_allclose(found.centers, certified.centers, rtol=1e-6)
    np.testing.assert_allclose(found.principal_widths, certified.principal_widths, rtol=1e-6)
    np.testing.assert_allclose(2 * result.cost, entry["certified_rss"], rtol=1e-9)
    assert result.success


@pytest.mark.slow
def test_lidar_from_perturbed_published_values(real):
    waves = real("lidar_waveforms_odd.npz")
    numbers = np.genfromtxt(real("lidar_gaussians_published_odd.csv"), delimiter=",", names=True)
    published = np.genfromtxt(real("lidar_published_rss_odd.csv"), delimiter=",", names=True)
    rng, worse = np.random.default_rng(0), []
    n_fitted = 0
    for heights, name in zip(waves["z"], waves["waveform"], strict=True):
        if name not in published["waveform"]:
            continue  # six waveforms have no published fit
        n_fitted += 1
        rows = numbers[numbers["waveform"] == name]
        rss = published["rss"][published["waveform"] == name][0]
        a, u, s = (rows[c] * rng.uniform(0.95, 1.05, len(rows)) for c in ("A", "u", "sigma"))
        start = sf.GaussianSurface(a, u[:, None], (s**2)[:, None, None])
        x = np.arange(1.0, len(heights) + 1)
        result = sf.fit(heights, len(rows), coords=x, background=None, init=start, min_width=0.1)
        if not 2 * result.cost <= rss * (1 + 1e-6):
            worse.append((int(name), len(rows), 2 * result.cost / rss - 1, result.message))
    assert n_fitted == 244
    assert not worse, worse


def test_metadynamics_surface_is_its_hills(real):
    surface = real("metad_ala2_94_surface.npz")
    hills = np.genfromtxt(real("metad_ala2_94_hills.csv"), delimiter=",", names=True)
    covariances = np.array([[[h["Cyy"], h["Cxy"]], [h["Cxy"], h["Cxx"]]] for h in hills])
    model = sf.GaussianSurface(hills["height"], np.column_stack([hills["y"], hills["x"]]), covariances)
    points = np.stack(np.meshgrid(surface["y"], surface["x"], indexing="ij"), axis=-1)
    heights = model(points)
    expected = surface["z"] if np.allclose(surface["z"], heights, atol=1e-4) else surface["z"].T
    np.testing.assert_allclose(heights, expected, atol=2e-5)


@pytest.mark.slow
def test_cryo_em_volume_from_its_own_start(real):
    volume = real("vol_emd3197_20.npz")["z"].astype(float)
    result = sf.fit(volume, 20)
    assert result.rmse / volume.std() <= 0.30
