"""`SpatialBlocks`: splits for cross-validation that leave out whole blocks of space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_array

from .._base.checks import count, finite, real_array
from .._data.blocks_left_out import folds_of_cells


class SpatialBlocks(BaseCrossValidator):
    """Splits of points in space, which leave out whole blocks in turn: ``cross_val_score(model, X, y, cv=...)``.

    Neighbours have much the same height and noise: where single points are left out, those next to them tell their
    heights, and the error that is found is too low. Blocks should be wider than the correlation length of the noise,
    and narrower than the components of the surface (Roberts et al., Ecography 40 (2017) 913).

    Parameters
    ----------
    n_splits : int >= 2
        Number of folds. Each is made of blocks spread over the whole data, and blocks side by side are in different
        folds.
    n_blocks : int or sequence of d integers
        Number of blocks along each axis of the box that holds the points.
    block_size : positive number or sequence of d of them, optional
        The side of a block along each axis, in the units of ``X``, in the place of ``n_blocks``.

    Raises
    ------
    ValueError, TypeError
        From `split`, where a parameter is not valid, and where fewer blocks than ``n_splits`` hold points.

    Examples
    --------
    >>> import numpy as np
    >>> from surfacefit.sklearn import SpatialBlocks
    >>> X = np.stack(np.mgrid[:6, :6], axis=-1).reshape(-1, 2)
    >>> train, test = next(SpatialBlocks(4, n_blocks=2).split(X))
    >>> X[test].min(axis=0), X[test].max(axis=0), len(train)
    (array([0, 0]), array([2, 2]), 27)
    """

    def __init__(self, n_splits: int = 5, *, n_blocks: Any = 10, block_size: Any = None):
        self.n_splits = n_splits
        self.n_blocks = n_blocks
        self.block_size = block_size

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds."""
        return count("n_splits", self.n_splits, 2)

    def _iter_test_indices(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[np.ndarray]:
        points = check_array(X, dtype=np.float64)
        number = self.get_n_splits()
        offsets = points - points.min(axis=0)
        cells = np.floor(offsets / self._sides(np.ptp(points, axis=0)) + 1e-9).astype(int)
        blocks = len(np.unique(cells, axis=0))
        if blocks < number:
            raise ValueError(
                f"`n_splits`={number} is more than the {blocks} blocks that hold points: use smaller blocks, by"
                " `n_blocks` or `block_size`"
            )
        fold = folds_of_cells(cells, number)
        for one in range(number):
            yield np.flatnonzero(fold == one)

    def _sides(self, extents: np.ndarray) -> np.ndarray:
        """Sides (d,) of the blocks for points of these extents (d,), so that the last point is in the last block."""
        d = len(extents)
        if self.block_size is not None:
            sides = finite("block_size", np.asarray(real_array("block_size", self.block_size), np.float64))
            if sides.shape not in ((), (d,)) or not (sides > 0).all():
                raise ValueError(f"`block_size` must be positive, one number or {d}, got {self.block_size!r}")
            return np.broadcast_to(sides, (d,))
        numbers = [self.n_blocks] * d if np.ndim(self.n_blocks) == 0 else list(self.n_blocks)
        if len(numbers) != d:
            raise ValueError(f"`n_blocks` must be one number or {d}, one for each column of `X`, got {self.n_blocks!r}")
        parts = np.array([count("n_blocks", number) for number in numbers])
        return np.where(extents > 0, extents, 1.0) / parts * (1 + 1e-6)
