"""
Radio: a FITS image with rms and beam to a catalogue
====================================================

An astronomer has a radio image with world coordinates, a blanked border, an rms map and the beam, and wants point
sources with positions, fluxes and errors. The image is a part of the test data of PyBDSF (GPL-3); the place on the sky
and the beam of 5.0 x 4.5 arc seconds are set here.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from photutils.background import Background2D

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
folder = Path(tempfile.mkdtemp())
image = np.load(DATA / "radio_pybdsf_129.npz")["z"][40:90, 40:90]
header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 188.0, "CRVAL2": 12.4, "CRPIX1": 26})
header.update({"CRPIX2": 26, "CDELT1": -2 / 3600, "CDELT2": 2 / 3600, "CUNIT1": "deg", "CUNIT2": "deg"})
header.update({"BUNIT": "Jy/beam", "BMAJ": 5.0 / 3600, "BMIN": 4.5 / 3600, "BPA": 0.0})
rms = Background2D(image, 25).background_rms
fits.writeto(folder / "rms.fits", rms.astype("float32"), header)
image[:3], image[-3:], image[:, :3], image[:, -3:] = 4 * (np.nan,)
fits.writeto(folder / "field.fits", image, header)

# %%
# From file to catalogue
# ----------------------
# ``shape=`` holds the beam, and sources are added while they are significant at 5 sigma. ``tolerance=0.05`` takes what
# is below 5 % of the local height, as of sources that are not quite points, for none. A position angle from north
# becomes an angle from +x by adding 90 degrees.

# begin
field = sf.read(folder / "field.fits")
head = fits.getheader(folder / "field.fits")
major, minor = head["BMAJ"] / head["CDELT2"], head["BMIN"] / head["CDELT2"]  # pixels
result = sf.fit(
    field,
    sf.AutoComponents("significance", n_sigma=5, tolerance=0.05),
    shape=sf.covariance_from_fwhm(major, minor, 90 + head["BPA"]),
    sigma=fits.getdata(folder / "rms.fits"),
    absolute_sigma=True,
    background=None,
    init="growth",
)
sources = result.table("astropy", errors="correlated")
sources.write(folder / "catalogue.ecsv")
result.table().save(folder / "catalogue.reg")  # ellipses for DS9
# end
print(len(sources), "sources")
print(sources["ra", "ra_error", "dec", "flux", "flux_error"][:4])
figure = result.plot()
