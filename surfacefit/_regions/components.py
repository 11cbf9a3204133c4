"""Components under way: their free numbers, and the surface that these stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._model.background import NoBackground
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface


@dataclass(eq=False)
class Components:
    """Blocks (K, p) of components, and these as a ``surface`` in the units of the fit, without background."""

    parts: Parameterization
    blocks: np.ndarray
    surface: GaussianSurface

    @classmethod
    def of(cls, parts: Parameterization, blocks: np.ndarray) -> Components:
        """Those with some blocks; ``parts`` holds NumPy arrays."""
        return cls(parts, np.array(blocks, float), _surface(parts, blocks))

    def __len__(self) -> int:
        return len(self.blocks)

    def put(self, members: np.ndarray, blocks: np.ndarray) -> GaussianSurface:
        """Writes the blocks of some components; gives these as a surface."""
        part = _surface(self.parts, blocks)
        self.blocks[members] = blocks
        for name in ("amplitudes", "centers", "covariances"):
            getattr(self.surface, name)[members] = getattr(part, name)
        return part

    def with_more(self, blocks: np.ndarray) -> Components:
        return Components.of(self.parts, np.concatenate([self.blocks, blocks]))


def _surface(parts: Parameterization, blocks: np.ndarray) -> GaussianSurface:
    count = len(blocks)
    parts = replace(parts, n_components=count, n_active=count, background=NoBackground())
    found = parts.components(np.asarray(blocks, float).ravel())
    amplitudes, centers, factors = (np.array(array, float) for array in found[:3])
    return GaussianSurface(amplitudes, centers, factors @ factors.swapaxes(1, 2))
