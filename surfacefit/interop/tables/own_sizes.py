"""Columns of own sizes behind a beam: full widths, upper limits of them, and the angle of the major axis.

Errors and limits are those of `FitResult.deconvolved`, whatever the method of the table's other errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._model.gaussian import FWHM_PER_WIDTH
from ..._results.record import MAX_EXACT_PARAMETERS
from .sky import ARCSECONDS, Sky

if TYPE_CHECKING:
    from ..._results.result import FitResult


def has_own_sizes(result: FitResult) -> bool:
    """Whether a fit was seen through a beam, and is small enough for errors of own sizes."""
    return result.settings.beam is not None and result.n_parameters <= MAX_EXACT_PARAMETERS


def own_size_columns(result: FitResult, endings: tuple[str, ...], unit: str) -> list[Any]:
    """Columns in the coordinates of the fit, (name, values, errors, unit) each; widths have these ``endings``."""
    return _columns(result.deconvolved, "", endings, (1.0, unit), "angle")


def own_sky_columns(result: FitResult, sky: Sky) -> list[Any]:
    """The same on the sky, with the position angle from north through east."""
    sizes = result._deconvolved_by(sky.maps(np.asarray(result.surface.centers, float)))
    return _columns(sizes, "sky_", ("_major", "_minor"), (ARCSECONDS, "arcsec"), "position_angle")


def _columns(sizes: Any, prefix: str, endings: tuple[str, ...], unit: tuple[float, str], angle: str) -> list[Any]:
    columns: list[Any] = []
    scale = FWHM_PER_WIDTH * unit[0]
    for i, ending in enumerate(endings):
        name, widths, errors = f"deconvolved_{prefix}fwhm{ending}", sizes.principal_widths[:, i], sizes.width_errors
        columns.append((name, scale * widths, scale * errors[:, i], unit[1]))
    for i, ending in enumerate(endings):
        columns.append((f"deconvolved_{prefix}limit{ending}", scale * sizes.upper_limits[:, i], None, unit[1]))
    if len(endings) == 2:
        angles, errors = np.degrees(sizes.orientation), np.degrees(sizes.orientation_errors)
        columns.append((f"deconvolved_{angle}", angles, errors, "deg"))
    return columns
