"""The option ``beam`` of `fit`: what the components were seen through, as a covariance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._constraints.containment import region_of
from .._constraints.shape import checked_shape
from .._data.data import SurfaceData
from .._engines.pixel_nodes import least_width
from .map_beam import beam_of_map

# Sampling distances: narrowest beam in whose units own variances are numbers that can be fitted: at 1e-8 they were not.
NARROWEST_BEAM = 1e-6


def with_beam(options: Mapping[str, Any], data: SurfaceData) -> dict[str, Any]:
    """The options with ``beam`` as a covariance (d, d) or None; point sources have it as their one, held shape."""
    given, kind = options["beam"], options["covariance_type"]
    points = isinstance(kind, str) and kind == "beam"
    if given is None:
        if points:
            raise ValueError("`covariance_type`='beam' means point sources, which need a `beam`, got None: give one")
        return dict(options)
    beam = _covariance(given, data)
    if options["shape"] is not None:
        raise ValueError(
            "`beam` and `shape` both say how wide components are seen, got both: leave `shape` out; point sources have"
            " covariance_type='beam'"
        )
    _check_limits(options["bounds"])
    if not region_of(data).holds_shape(beam):
        deviations = np.sqrt(np.diagonal(beam)).tolist()
        raise ValueError(
            f"`beam` must not be wider than the data, got deviations of {deviations} along the axes: its unit is that"
            " of `coords`"
        )
    narrowest = least_width(0.0, beam, data.spacing)
    if narrowest < NARROWEST_BEAM:
        raise ValueError(
            f"`beam` must not be narrower than {NARROWEST_BEAM:g} sampling distances, got {narrowest:.3g}: such a beam"
            " widens nothing, leave it out"
        )
    if points and options["tied"] is not None:
        raise ValueError(
            f"`tied` has no shape to tie for covariance_type='beam', got {options['tied']!r}: leave it out"
        )
    return {**options, "beam": beam, **({"covariance_type": "tied", "shape": beam} if points else {})}


def _covariance(beam: Any, data: SurfaceData) -> np.ndarray:
    if isinstance(beam, str):
        if beam != "map":
            raise ValueError(f"`beam` must be a covariance, deviations or 'map' (the beam of the map), got {beam!r}")
        return beam_of_map(data.labels, data)
    found = checked_shape(beam, data.n_dim, "beam")
    assert found is not None
    return found


def _check_limits(bounds: Any) -> None:
    for name in ("widths", "aspect"):
        if getattr(bounds, name, None) is not None:
            raise ValueError(
                f"`bounds.{name}` limits what is seen, and nothing is seen narrower than the `beam`: leave one out"
            )
