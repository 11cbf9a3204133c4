"""A map that several processes have read, each its own rows, joined in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._system.processes import told_to_all


def join_parts(part: Any, first: int) -> np.ndarray:
    """The whole map, from the rows that each process of `jax.distributed` has read.

    Every process calls it with its own part, and goes on with the whole: heights, ``sigma`` or ``mask`` for `fit`. The
    parts may be of different sizes. In a process that is alone the part is the whole.

    Parameters
    ----------
    part : array_like, shape (n, ...)
        Rows of the map, or points, that this process has.
    first : int
        Number of the first of them in the whole map, from 0.

    Returns
    -------
    array, shape (N, ...)
        The rows of all processes in their order, the same in each.

    Raises
    ------
    ValueError
        In every process, where rows are missing or given twice, or where parts do not fit together.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> rows = np.arange(6.0).reshape(2, 3)  # all rows there are: this process is alone
    >>> sf.join_parts(rows, 0).shape
    (2, 3)
    """
    rows = np.asarray(part)
    kinds = told_to_all((first, rows.shape, rows.dtype.name))
    _check(kinds)
    ranked = sorted(zip(told_to_all(rows), kinds, strict=True), key=lambda one: one[1][0])
    return np.concatenate([one for one, _ in ranked])


def _check(kinds: list[tuple[Any, tuple[int, ...], str]]) -> None:
    """Raises where parts (first row, shape, dtype), in the order of the processes, do not make up one map."""
    for rank, (first, shape, _) in enumerate(kinds):
        if isinstance(first, bool) or not isinstance(first, int | np.integer) or first < 0:
            raise ValueError(f"`first` must be a row's number, 0 or more, got {first!r} in process {rank}")
        if not shape or not shape[0]:
            raise ValueError(f"`part` must hold one row or more, got shape {shape} in process {rank}")
    if len({(shape[1:], name) for _, shape, name in kinds}) > 1:
        each = "; ".join(f"process {rank}: {shape}, {name}" for rank, (_, shape, name) in enumerate(kinds))
        raise ValueError(f"`part` must be of one width and dtype in all processes, got {each}")
    reached = 0
    for first, shape, _ in sorted(kinds, key=lambda one: one[0]):
        if first != reached:
            what = "missing" if first > reached else "given twice"
            each = "; ".join(f"process {n}: {a} to {a + s[0] - 1}" for n, (a, s, _) in enumerate(kinds))
            low, high = sorted((first, reached))
            raise ValueError(f"rows {low} to {high - 1} of the map are {what}, got {each}")
        reached = first + shape[0]
