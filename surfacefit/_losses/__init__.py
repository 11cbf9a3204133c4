"""What a misfit costs: pick one of these by name.

A loss writes the cost of each point as half the square of a residual r(f, z, w), so that the cost of all is |r|^2 / 2
and every solver and engine serves it as it is; an engine only sees dr/df in place of the weights.

base      the contract
linear    least squares
huber     squares, then lines
soft_l1   a smooth absolute value
cauchy    the logarithm of one plus squares
robust    what the robust losses have in common
poisson   half the deviance of counts
"""

from __future__ import annotations

from collections.abc import Callable

from .base import Loss
from .cauchy import cauchy
from .huber import huber
from .linear import Linear
from .poisson import LEAST_RATE, Poisson
from .soft_l1 import soft_l1

# Losses under which outliers pull less than under squares, by name.
ROBUST: dict[str, Callable[[float], Loss]] = {"huber": huber, "soft_l1": soft_l1, "cauchy": cauchy}
# All losses, as `loss=` names them.
LOSSES = ("linear", *ROBUST, "poisson")


def loss_of(name: str, f_scale: float, mean: float) -> Loss:
    """A loss by name, for heights in the user's units and of this mean."""
    if name in ROBUST:
        return ROBUST[name](f_scale)
    return Linear() if name == "linear" else Poisson(LEAST_RATE * (mean or 1.0))


__all__ = ["LOSSES", "ROBUST", "Linear", "Loss", "loss_of"]
