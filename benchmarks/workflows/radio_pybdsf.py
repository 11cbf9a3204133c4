"""Radio with PyBDSF: a FITS image with rms map and beam to a catalogue of point sources.

The rms map of the task is given by ``rmsmean_map_filename``, which needs a mean map beside it and a ``rms_box`` below a
quarter of the image; the beam of the header is held by ``fix_to_beam``.
"""

import os
import sys

import bdsf
from astropy.io import fits

os.chdir(sys.argv[1])

# begin
rms, header = fits.getdata("rms.fits", header=True)
fits.writeto("mean.fits", 0 * rms, header)
image = bdsf.process_image(
    "field.fits",
    frequency=1.4e9,
    rms_box=(12, 4),
    rms_map=True,
    mean_map="zero",
    rmsmean_map_filename=["mean.fits", "rms.fits"],
    fix_to_beam=True,
    thresh_isl=3,
    thresh_pix=5,
)
image.write_catalog(outfile="catalogue.fits", format="fits", catalog_type="gaul")
image.write_catalog(outfile="catalogue.reg", format="ds9", catalog_type="gaul")
# end
