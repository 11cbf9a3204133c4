"""Where each number stands in the parameter vector (P,): one block a component, then a border that all share.

    [ alpha_k, c_k, shape_k ]  k = 1..K,    then    [ shared shape (tied only), background ]

alpha is the amplitude's free number, c the centre (d,), shape the free numbers of the covariance. With room for K
components of block size p, the vector is the blocks (K, p), row by row, and the border (s + b,). This file alone knows
the order: all else asks `BlockLayout`, or `ALPHA` and `center_columns` where only blocks are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.compile import concatenated

# Column of a block (p,) that holds the amplitude's free number.
ALPHA = 0


def center_columns(n_dim: int) -> slice:
    """Columns of a block (p,) that hold the centre (d,)."""
    return slice(ALPHA + 1, ALPHA + 1 + n_dim)


def block_indices(components: Any, block_size: int) -> np.ndarray:
    """Indices (k, p) in the parameter vector of the blocks of components (k,), given by their numbers."""
    return np.asarray(np.asarray(components)[:, None] * block_size + np.arange(block_size))


@dataclass(frozen=True)
class BlockLayout:
    """The layout for K components in d dimensions with s shared shape numbers and b of the background.

    ``block_size`` is p. Slices named ``shared_shape`` and ``background`` are places in the border.
    """

    n_components: int
    n_dim: int
    block_size: int
    n_shared: int
    n_background: int

    @property
    def centers(self) -> slice:
        """Columns of a block that hold the centre."""
        return center_columns(self.n_dim)

    @property
    def shapes(self) -> slice:
        """Columns of a block that hold the free numbers of its covariance: none where the shape is shared."""
        return slice(self.centers.stop, self.block_size)

    @property
    def shared_shape(self) -> slice:
        return slice(0, self.n_shared)

    @property
    def background(self) -> slice:
        return slice(self.n_shared, self.n_border)

    @property
    def n_own(self) -> int:
        """Numbers in all blocks, K p: where the border begins."""
        return self.n_components * self.block_size

    @property
    def n_border(self) -> int:
        """Numbers that all components share, s + b."""
        return self.n_shared + self.n_background

    @property
    def n_parameters(self) -> int:
        return self.n_own + self.n_border

    def blocks(self, params: Any) -> Any:
        """Blocks (K, p) of parameters (P,), NumPy or JAX."""
        return params[: self.n_own].reshape(self.n_components, self.block_size)

    def split(self, params: Any) -> tuple[Any, Any, Any]:
        """Blocks (K, p), shared shape (s,) and background (b,) of parameters (P,)."""
        end = self.n_own + self.n_shared
        return self.blocks(params), params[self.n_own : end], params[end:]


def shape_numbers(layout: BlockLayout, params: Any) -> Any:
    """Free numbers (K, s) of the covariances in parameters (P,), or (1, s) where all share one."""
    blocks, shared, _ = layout.split(params)
    return shared[None] if layout.n_shared else blocks[:, layout.shapes]


def with_shape_numbers(layout: BlockLayout, params: Any, shapes: Any) -> Any:
    """Parameters (P,) with other free numbers (K, s), or (1, s), of the covariances."""
    blocks, _, background = layout.split(params)
    if layout.n_shared:
        return concatenated([blocks.ravel(), shapes[0], background])
    moved = concatenated([blocks[:, : layout.shapes.start], shapes], axis=1)
    return concatenated([moved.ravel(), params[layout.n_own :]])
