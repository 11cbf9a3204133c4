"""How good a result is, from the files that a script has left: the same rule for every tool."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import rasterio
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from scipy.optimize import linear_sum_assignment

import surfacefit as sf

from ..maps import DATA_FOLDER

# Corner of the part of the radio image that the task takes, its blanked border and its end, in pixels.
RADIO_CORNER, RADIO_BORDER, RADIO_SIZE = 40, 3, 50
# Nanometres a pixel of the movie, and metres a sample of a waveform.
PIXEL, SAMPLE = 160.0, 0.15
# Distance in pixels within which two places are the same.
MATCHED = 1.0
# A waveform's sums of squares are equal where they differ by less than this fraction.
EQUAL = 1e-6


def found(folder: Path, name: str) -> Path:
    """The one file of that name below a folder."""
    return next(iter(sorted(folder.rglob(name))))


def terrain(folder: Path) -> str:
    """Root mean square of what the model leaves, and whether volumes and errors are finite."""
    heights, model, error = (_raster(found(folder, name)) for name in ("dem.tif", "model.tif", "error.tif"))
    hills = pd.read_csv(found(folder, "hills.csv"))
    good = np.isfinite(hills["volume_error"]) & (hills["volume_error"] > 0) & (hills["volume"] > 0)
    known = bool((error[~heights.mask].filled(0) > 0).all())
    rmse = float(np.sqrt(((model - heights) ** 2).mean()))
    return f"RMSE {rmse:.2f} m; {good.sum()} of {len(hills)} volumes with an error; error map {_said(known)}"


def radio(folder: Path) -> str:
    """Sources of the published list within a pixel, and sources that it lacks."""
    listed = np.genfromtxt(DATA_FOLDER / "radio_pybdsf_gaussians48.csv", delimiter=",", names=True)
    places = np.stack([listed["x"], listed["y"]], axis=1) - RADIO_CORNER
    first, last = RADIO_BORDER - 0.5, RADIO_SIZE - RADIO_BORDER - 0.5
    places = places[((places > first) & (places < last)).all(axis=1)]
    table = _catalogue(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        column, row = WCS(fits.getheader(found(folder, "field.fits"))).world_to_pixel_values(table["ra"], table["dec"])
    apart = np.hypot(column[:, None] - places[:, 0], row[:, None] - places[:, 1])
    matched, others, distance = _matched(apart)
    errors = [np.isfinite(table[name]).all() and (table[name] > 0).all() for name in ("ra_error", "flux_error")]
    return (
        f"{matched} of {len(places)} listed, {distance} pixels from it, {others} more;"
        f" errors of the position {_said(errors[0])}, of the flux {_said(errors[1])}"
    )


def _catalogue(folder: Path) -> pd.DataFrame:
    """The columns of the catalogue by one set of names."""
    theirs = {"RA": "ra", "E_RA": "ra_error", "DEC": "dec", "Total_flux": "flux", "E_Total_flux": "flux_error"}
    table = Table.read(found(folder, "catalogue.*s*"))
    names = {theirs.get(name, name): name for name in table.colnames}
    return pd.DataFrame({name: np.asarray(table[names[name]], float) for name in theirs.values()})


def microscopy(folder: Path) -> str:
    """Places of the published list within a pixel in their frames, and the distance from them."""
    listed = pd.read_csv(DATA_FOLDER / "smlm_picasso_locs.csv")
    table = pd.read_csv(found(folder, "molecules.csv"))
    apart = np.hypot(*(table[name].to_numpy()[:, None] / PIXEL - listed[name].to_numpy() for name in ("x", "y")))
    apart[table["frame"].to_numpy()[:, None] != listed["frame"].to_numpy()] = np.inf
    matched, others, distance = _matched(apart)
    return (
        f"{matched} of {len(listed)} listed, {distance} pixels from it, {others} more;"
        f" errors of the position {_said((table['x_error'] > 0).all())}"
    )


def waveforms(folder: Path) -> str:
    """The median of the waveforms' residual sums of squares, and how many echoes have an error of their place."""
    table = pd.read_csv(found(folder, "echoes.csv"))
    known = (table["center_0_error"] > 0).sum()
    return f"median sum of squares {np.median(_sums(folder)):.0f}; {known} of {len(table)} echoes with errors"


def _sums(folder: Path) -> np.ndarray:
    """Residual sum of squares of each waveform."""
    waves = np.load(DATA_FOLDER / "lidar_waveforms_odd.npz")["z"]
    waves = np.concatenate([waves, waves + np.random.default_rng(0).normal(scale=2, size=waves.shape)])
    table = pd.read_csv(found(folder, "echoes.csv"))
    model, x = np.zeros_like(waves), SAMPLE * np.arange(waves.shape[1])
    for wave, height, center, width in table[["map_0", "amplitude", "center_0", "width_0"]].to_numpy():
        model[int(wave)] += height * np.exp(-0.5 * ((x - center) / width) ** 2)
    return np.asarray(np.nansum((waves - model) ** 2, axis=1))


def volume(folder: Path) -> str:
    """Root mean square of what the model leaves, relative to the density's standard deviation."""
    density, model = (np.asarray(mrcfile.read(found(folder, n)), float) for n in ("emd_3197.mrc", "model.mrc"))
    atoms = [line for line in found(folder, "atoms.pdb").read_text().splitlines() if line.startswith("HETATM")]
    left = np.sqrt(np.mean((model - density) ** 2)) / density.std()
    return f"relative RMS {left:.3f} with {len(atoms)} Gaussians"


def free_energy(folder: Path) -> str:
    """Largest deviation of the sum of the hills from the surface that was read."""
    with np.load(DATA_FOLDER / "metad_ala2_94_surface.npz") as members:
        given, axes = -members["z_periodic"], (members["y"], members["x"])
    hills = sf.GaussianSurface.from_hills(found(folder, "HILLS"), free_energy=True)
    apart = np.abs(hills(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)) - given)
    return f"at most {apart.max():.3f} kJ/mol from a surface of {np.ptp(given):.2f}, with {hills.n_components} hills"


def compared(first: Path, second: Path) -> str:
    """On how many waveforms the first tool's sum of squares is lower, equal and higher."""
    own, other = _sums(first), _sums(second)
    lower, higher = own < other * (1 - EQUAL), own > other * (1 + EQUAL)
    return (
        f"surfacefit's sum of squares is lower in {lower.sum()}, equal in {(~lower & ~higher).sum()} and higher in"
        f" {higher.sum()} of {len(own)} (equal: within {EQUAL:.0e} of it)"
    )


def negative(first: Path, _: Path) -> str:
    """The least that positive Gaussians alone leave, as the first judge has it."""
    density = np.asarray(mrcfile.read(found(first, "emd_3197.mrc")), float)
    least = np.sqrt(np.mean(np.minimum(density, 0) ** 2)) / density.std()
    return f"density below zero alone is {least:.3f}: surfacefit's constant reaches it, positive Gaussians do not"


def _matched(apart: np.ndarray) -> tuple[int, int, str]:
    """Of distances (found, listed): how many pairs are near, how many found are in none, and the pairs' distance."""
    found_one, listed_one = linear_sum_assignment(np.minimum(apart, MATCHED))
    near = apart[found_one, listed_one] < MATCHED
    distance = np.sqrt(np.mean(apart[found_one, listed_one][near] ** 2)) if near.any() else np.nan
    return int(near.sum()), len(apart) - int(near.sum()), f"{distance:.4f}"


def _raster(path: Path) -> np.ma.MaskedArray:
    with rasterio.open(path) as raster:
        return raster.read(1, masked=True).astype(float)


def _said(given: bool) -> str:
    return "yes" if given else "no"
