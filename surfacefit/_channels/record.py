"""The numbers of a fit of several channels, and what follows from them directly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.status import STATUS, Status
from .maps import ChannelMaps
from .setup import ChannelModel


@dataclass(frozen=True, eq=False)
class ChannelNumbers:
    """The fields of `ChannelResult`, which explains them."""

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    backgrounds: tuple[Any, ...]
    maps: ChannelMaps
    model: ChannelModel
    cost: float
    status: Status
    steps: int
    history: np.ndarray

    @property
    def n_components(self) -> int:
        """The number K of components."""
        return len(self.amplitudes)

    @property
    def n_channels(self) -> int:
        """The number C of channels."""
        return self.amplitudes.shape[1]

    @property
    def n_parameters(self) -> int:
        """Free numbers of the fit."""
        shapes = {"full": self.centers.shape[1] * (self.centers.shape[1] + 1) // 2, "diag": self.centers.shape[1]}
        own = self.n_channels + self.centers.shape[1] + shapes.get(self.model.covariance_type, 1)
        return self.n_components * own + self.background.size

    @property
    def background(self) -> np.ndarray:
        """The free numbers (C, b) of the backgrounds: values, or values and slopes; b = 0 without backgrounds."""
        return np.array([np.zeros(0) if one is None else np.asarray(one.vector(), float) for one in self.backgrounds])

    @property
    def success(self) -> bool:
        """Whether the fit converged."""
        return STATUS[self.status].success
