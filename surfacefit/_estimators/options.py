"""Parameters of estimators as options of `fit` and `fit_mixture`."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

from sklearn.utils import check_random_state

from .._base.checks import count
from .._fit.fit import fit

# Seeds are drawn below this: the largest that NumPy's older generators take.
MOST_SEED = 2**31 - 1


def fit_options(estimator: Any) -> dict[str, Any]:
    """All options of `fit`, those that the estimator has as it has them, the others at their defaults."""
    options = {name: one.default for name, one in inspect.signature(fit).parameters.items()}
    given = estimator.get_params(deep=False)
    return {**options, **given, "seed": seed_of(given["random_state"])}


def seed_of(random_state: Any) -> int:
    """The integer itself, or one drawn from a generator; from NumPy's global one for None."""
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        return count("random_state", random_state, 0, None)
    return int(check_random_state(random_state).randint(MOST_SEED))


def is_zero(n_components: Any) -> bool:
    """Whether a number of components is 0, which neither False nor "auto" is."""
    return isinstance(n_components, Integral) and not isinstance(n_components, bool) and int(n_components) == 0
