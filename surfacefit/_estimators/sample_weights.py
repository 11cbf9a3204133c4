"""Weights of samples: input validation, and equal rows merged into one.

A row of weight two must count as two such rows do, to the last digit: so rows that repeat become one row of their
common weight, and rows of weight zero are left out. What is left has one order, whatever order it came in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._base.checks import first_index, real_array


class Samples(NamedTuple):
    """Rows (N, q) and their weights (N,); None where they are all alike."""

    rows: np.ndarray
    weights: np.ndarray | None


def merged_samples(rows: np.ndarray, sample_weight: Any) -> Samples:
    """Distinct rows of positive weight, with the sums of their weights; rows as they are where there is nothing to do.

    Raises ValueError as `checked_weights` does.
    """
    rows, weights = kept_samples(rows, sample_weight)
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    if weights is None and len(distinct) == len(rows):
        return Samples(rows, None)
    return Samples(distinct, np.bincount(place.ravel(), weights, len(distinct)).astype(np.float64))


def kept_samples(rows: np.ndarray, sample_weight: Any) -> Samples:
    """Rows of positive weight, and their weights; no weights where none are given."""
    if sample_weight is None:
        return Samples(rows, None)
    weights = checked_weights(sample_weight, len(rows))
    return Samples(rows[weights > 0], weights[weights > 0])


def checked_weights(sample_weight: Any, n_samples: int) -> np.ndarray:
    """Weights (N,) in float64; a number stands for all.

    Raises ValueError where a weight is negative or not finite, where all are zero, and for another number of them than
    of samples.
    """
    weights = np.asarray(real_array("sample_weight", np.asarray(sample_weight)), np.float64)
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.shape != (n_samples,):
        raise ValueError(
            f"`sample_weight` must have shape ({n_samples},), one for each row of `X`, got {weights.shape}"
        )
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(
            f"`sample_weight` must be zero or positive, and finite, got {weights[wrong][0]} at index"
            f" {first_index(wrong)}: zero leaves a row out"
        )
    if not weights.any():
        raise ValueError(
            f"`sample_weight` must not be zero for all {n_samples} samples: leave it out to count all alike"
        )
    return weights
