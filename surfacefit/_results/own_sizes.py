"""A fit seen through a beam, without the beam."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .record import FitNumbers

if TYPE_CHECKING:
    from .._instrument.deconvolution import DeconvolvedSizes


@dataclass(frozen=True, eq=False)
class FitSizes(FitNumbers):
    """What of the sizes in a `FitResult` is the components' own."""

    @cached_property
    def deconvolved(self) -> DeconvolvedSizes:
        """Own sizes of the components behind the ``beam`` of the fit, with errors, as `DeconvolvedSizes`.

        Where they are not resolved there are upper limits. Raises ValueError without a ``beam``, and above 5000
        parameters.
        """
        return self._deconvolved_by(None)

    def _deconvolved_by(self, maps: np.ndarray | None) -> DeconvolvedSizes:
        """The same under linear maps (K, q, d) of the coordinates around each centre."""
        from .._instrument.deconvolution import deconvolved

        return deconvolved(cast(Any, self), maps)
