"""What columns of components are called: our own names first, then those of photutils, astropy and PyBDSF.

Widths must be in the unit of the coordinates. ``sigma_x`` and ``sigma_y`` are those along and across the angle, as in
astropy's Gaussian2D and photutils' GaussianPSF; angles are counter-clockwise from +x.
"""

from __future__ import annotations

# The names under which each number is looked for, in small letters.
SPELLINGS = {
    "amplitude": ("amplitude", "peak", "peak_flux", "height"),
    "flux": ("flux", "flux_fit", "flux_init"),
    "x": ("x", "x_mean", "x_fit", "x_0", "x_centroid", "xcentroid", "xposn", "x_init"),
    "y": ("y", "y_mean", "y_fit", "y_0", "y_centroid", "ycentroid", "yposn", "y_init"),
    "z": ("z", "z_mean", "z_0"),
    "sigma": ("sigma", "stddev"),
    "fwhm": ("fwhm", "fwhm_fit"),
    "sigma_major": ("sigma_major", "semimajor_sigma", "semimajor_axis"),
    "sigma_minor": ("sigma_minor", "semiminor_sigma", "semiminor_axis"),
    "fwhm_major": ("fwhm_major",),
    "fwhm_minor": ("fwhm_minor",),
    "sigma_x": ("sigma_x", "x_stddev"),
    "sigma_y": ("sigma_y", "y_stddev"),
    "fwhm_x": ("x_fwhm", "x_fwhm_fit"),
    "fwhm_y": ("y_fwhm", "y_fwhm_fit"),
    "angle": ("angle", "orientation"),
    "theta": ("theta", "theta_fit"),
    "sky_major": ("maj",),
    "sky_minor": ("min",),
    "cxx": ("cxx",),
    "cxy": ("cxy",),
    "cyy": ("cyy",),
}
# Pairs of widths, and whether they are full widths at half maximum.
PAIRS = (
    ("sigma_major", "sigma_minor", False),
    ("fwhm_major", "fwhm_minor", True),
    ("sigma_x", "sigma_y", False),
    ("fwhm_x", "fwhm_y", True),
)
