r"""Upper limits of variances, by the likelihood ratio of an isolated Gaussian.

An error holds near the best fit alone: a wider Gaussian of the same flux is lower, and its width less certain. So a
limit is where the likelihood has fallen as far as it does z errors from the best fit of a straight model. Two Gaussians
whose widths along m axes have the ratio t share c^(m/2) of their normalised product, c = 2 t / (1 + t^2). With the
amplitude fitted anew, the sum of squares rises by the squared ratio R^2 of signal and noise times 1 - c^m, and an error
s of the variance v along one of the axes means 1 / R^2 = m s^2 / (8 v^2). Hence t from 1 - c^m = z^2 m s^2 / (8 v^2).
Source: the ratio of likelihoods, Wilks, Ann. Math. Statist. 9, 60 (1938).
"""

from __future__ import annotations

import numpy as np


def most_variances(variances: np.ndarray, errors: np.ndarray, z: float, together: int) -> np.ndarray:
    """The largest variances (...) that lie within z errors of some, where ``together`` axes widen at once.

    Infinite where a Gaussian of any width does: one that stands out of the noise by less than z errors.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rise = together * (z * errors / variances) ** 2 / 8
        cosine = np.where(rise < 1, 1 - np.minimum(rise, 1), 0.0) ** (1 / together)
        return np.asarray(variances * ((1 + np.sqrt(1 - cosine**2)) / cosine) ** 2)
