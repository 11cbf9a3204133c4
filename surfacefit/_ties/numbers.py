"""All numbers of a surface while rules are followed: held in the units of the fit, read and set in the user's.

What is copied from one component to another is copied as it is held, so that no shift of units rounds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .._model.units import to_physical
from .formulas import Formula, Reference
from .rules import Rule
from .widths_and_turns import axes_of, lower_factors


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of K components and a background.

    amplitudes (K,), centers (K, d), factors (K, d, d), background : in the units of the fit.
    log_widths (K, w), turns (K, t), frames (K, d, d) : the shapes of components that are ``turned`` (K,), in the user's
        units; their factors follow from these.
    """

    amplitudes: Array
    centers: Array
    factors: Array
    log_widths: Array
    turns: Array
    frames: Array
    background: Any
    scaling: Scaling
    turned: np.ndarray

    def following(self, rules: tuple[Rule, ...]) -> Numbers:
        """The numbers after each rule in turn has set those that are its own."""
        numbers = self
        for rule in rules:
            if rule.kind == "equal":
                numbers = numbers._copied(rule)
            elif rule.kind == "spaced":
                numbers = numbers._spaced(rule.value)
            elif rule.kind != "held":
                numbers = numbers._set(rule.target, numbers.value_of(rule))
        return numbers

    def value_of(self, rule: Rule) -> Any:
        """What a rule sets its numbers to, in the user's units."""
        if rule.kind == "number":
            return rule.value
        return rule.value.value(View(self)) if isinstance(rule.value, Formula) else rule.value(self.surface())

    def current(self, target: Reference) -> Array:
        """Numbers of a name as they are, in the user's units."""
        chosen: Array = View(self)[target.name][target.key]
        return chosen

    @property
    def lower(self) -> Array:
        """Cholesky factors (K, d, d) of all components, in the units of the fit."""
        if not self.turned.any():
            return self.factors
        widths, n_dim = jnp.exp(self.log_widths), self.factors.shape[-1]
        widths = jnp.broadcast_to(widths, (len(widths), n_dim))
        rows = axes_of(self.turns, self.frames) * widths[:, None, :]
        turned = lower_factors(rows / self.scaling.point_scale[:, None])
        return jnp.where(self.turned[:, None, None], turned, self.factors)

    def surface(self) -> GaussianSurface:
        """The surface in the user's units."""
        lower = self.lower
        covariances = jnp.einsum("kij,klj->kil", lower, lower, precision="highest")
        inner = GaussianSurface(self.amplitudes, self.centers, covariances, self.background)
        return to_physical(inner, self.scaling)

    def _copied(self, rule: Rule) -> Numbers:
        """With the numbers of the first component of a group in all others."""
        name, (first, *rest) = rule.target.name, rule.value
        others = np.array(rest)
        if name == "volumes":
            return self._set(Reference(name, (others,)), View(self)[name][first])
        if name == "aspects":
            return self._set(Reference(name, (others,)), View(self)[name][first])
        fields = {
            "amplitudes": ("amplitudes",),
            "centers": ("centers",),
            "widths": ("log_widths",),
            "angles": ("turns",),
            "covariances": ("factors", "log_widths", "turns", "frames"),
        }[name]
        return replace(self, **{one: _with(getattr(self, one), others, getattr(self, one)[first]) for one in fields})

    def _spaced(self, members: tuple[int, ...]) -> Numbers:
        """With centres evenly spaced between the first and the last of a group."""
        first, *between, last = members
        shares = (np.arange(1, len(members) - 1) / (len(members) - 1))[:, None].astype(self.centers.dtype)
        centers = self.centers[first] * (1 - shares) + self.centers[last] * shares
        return replace(self, centers=_with(self.centers, np.array(between), centers))

    def _set(self, target: Reference, value: Any) -> Numbers:
        scaling, key = self.scaling, target.key
        if target.name == "amplitudes":
            return replace(self, amplitudes=_with(self.amplitudes, key, value / scaling.height_scale))
        if target.name == "volumes":
            unit = View(self)._unit_volumes[key] * scaling.height_scale
            return replace(self, amplitudes=_with(self.amplitudes, key, value / unit))
        if target.name == "centers":
            moved = _with(self.centers * scaling.point_scale + scaling.point_shift, key, value)
            written = _with(np.zeros(self.centers.shape, bool), key, True)
            return replace(self, centers=jnp.where(written, scaling.points(moved), self.centers))
        if target.name == "widths":
            return replace(self, log_widths=_with(self.log_widths, key, jnp.log(jnp.asarray(value))))
        if target.name == "angles":
            return replace(self, turns=_with(self.turns, (*_first(key), 0), value))
        if target.name == "aspects":
            ratio = jnp.log(jnp.asarray(value))
            second = self.log_widths[(*_first(key), 0)] - ratio
            return replace(self, log_widths=_with(self.log_widths, (*_first(key), 1), second))
        if target.name == "background":
            outer = self.background.to_physical(scaling)
            vector = _with(jnp.asarray(outer.vector()), key, value)
            return replace(self, background=outer.with_vector(vector).to_internal(scaling))
        inner = value / (scaling.point_scale[:, None] * scaling.point_scale[None, :])
        return replace(self, factors=_with(self.factors, key, jnp.linalg.cholesky(inner)))


class View(Mapping[str, Any]):
    """The numbers by the names that formulas have for them, in the user's units."""

    def __init__(self, numbers: Numbers):
        self._numbers = numbers

    def __getitem__(self, name: str) -> Any:
        one, scaling = self._numbers, self._numbers.scaling
        if name == "amplitudes":
            return one.amplitudes * scaling.height_scale
        if name == "centers":
            return one.centers * scaling.point_scale + scaling.point_shift
        if name == "widths":
            return jnp.exp(one.log_widths)
        if name == "angles":
            return one.turns[:, 0]
        if name == "aspects":
            return jnp.exp(one.log_widths[:, 0] - one.log_widths[:, 1])
        if name == "volumes":
            return one.amplitudes * scaling.height_scale * self._unit_volumes
        if name == "background":
            return one.background.to_physical(scaling).vector()
        return one.surface().covariances

    def __iter__(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def _unit_volumes(self) -> Array:
        """Integrals (K,) of the profiles, from the factors: nothing is squared."""
        lower, n_dim = self._numbers.lower, self._numbers.lower.shape[-1]
        widths = jnp.prod(jnp.einsum("kii->ki", lower) * self._numbers.scaling.point_scale, axis=1)
        return (2 * np.pi) ** (n_dim / 2) * widths


def _first(key: Any) -> tuple[Any, ...]:
    """The index of components in an index that may be empty."""
    return key or (slice(None),)


def _with(array: Any, key: Any, value: Any) -> Any:
    """The array with other values at an index."""
    return jnp.asarray(array).at[key].set(value)
