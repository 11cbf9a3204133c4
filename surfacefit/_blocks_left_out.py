"""Data parted into what is fitted and blocks that are left out, to see how well a fit foretells what it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from ._data import SurfaceData
from ._losses import Loss
from ._surface import GaussianSurface


@dataclass(frozen=True, eq=False)
class Division:
    """``fitted`` are the data without the points ``left_out`` (in the shape of the heights), None if there are none."""

    fitted: SurfaceData
    left_out: np.ndarray | None

    def error(self, surface: GaussianSurface, loss: Loss) -> float:
        """Weighted root mean square of the misfit, or of what a loss makes of it, at the points left out."""
        if self.left_out is None:
            return float("nan")
        data, out = self.fitted, self.left_out
        heights = data.heights[out]
        weights = np.ones(len(heights)) if data.sigma is None else 1 / data.sigma[out]
        residuals = np.asarray(loss.residuals(*(jnp.asarray(a) for a in (surface(data.all_points[out.ravel()]), heights, weights))))
        return float(np.sqrt(np.sum(residuals**2) / np.sum(weights**2)))


def divided(data: SurfaceData, block: int, share: float, seed: int) -> Division:
    """Whole blocks of ``block`` samples a side left out at random, about a ``share`` of them, one at least and not all."""
    cells = np.floor((data.all_points - data.all_points.min(axis=0)) / (block * data.spacing) + 1e-9).astype(int)
    _, block_of = np.unique(cells, axis=0, return_inverse=True)
    block_of = block_of.reshape(data.heights.shape)
    present = np.unique(block_of[data.used])
    if len(present) < 2:
        raise ValueError(f"`n_components.block`={block} makes one block of all data: nothing can be left out; use smaller blocks")
    count = min(max(1, round(share * len(present))), len(present) - 1)
    chosen = np.random.default_rng(seed).choice(present, count, replace=False)
    left_out = data.used & np.isin(block_of, chosen)
    return Division(replace(data, used=data.used & ~left_out), left_out)
