r"""The free numbers theta (T,) to the parameters p (P,) of all components, its derivative, and back.

Rules make all parameters a function p = F(theta) of fewer numbers. With M = dF/dtheta the Jacobian by theta is J M, the
normal matrix M^T (J^T J) M, the gradient M^T g, and the covariance of all parameters M C M^T, where C is that of theta:
so no engine knows of rules, and errors of what is tied are those of what it follows from.

theta are the parameters that no rule sets, as they are; where rules speak of widths and angles of a component, its
shape numbers are the logarithms of its principal widths and the numbers of its rotation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import plain_jit
from .._model.block_layout import ALPHA
from .._model.covariance.base import above_floor
from .._model.parameters import Parameterization, cholesky_factors
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .numbers import Numbers
from .places import Places
from .rules import Items, Rule, rules_of
from .widths_and_turns import turns_to, widths_and_axes

# Of the parameters' sizes: how far those of a surface may be from what the rules make of them, where its widths stand
# in the order that the rules mean; far above rounding, and far below what two widths differ by.
KEPT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TiePlan:
    """The rules of a fit and what is free under them; ``held`` are places that `fixed` holds. Equal for equal rules."""

    items: Items
    places: Places
    held: frozenset[int]

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return rules_of(self.items, self.places, self.held)

    @cached_property
    def written(self) -> np.ndarray:
        """Places that rules write, but for those held where they are."""
        found = {place for rule in self.rules if rule.kind != "held" for place in rule.writes}
        return np.array(sorted(found), int)

    @cached_property
    def free(self) -> np.ndarray:
        """Places (T,) of the free numbers."""
        layout, used = self.places.layout, self.places.count * self.places.layout.block_size
        set_by_rules = {place for rule in self.rules for place in rule.writes}
        every = [*range(used), *range(layout.n_own, layout.n_parameters)]
        return np.array([place for place in every if place not in set_by_rules and place not in self.held], int)

    @cached_property
    def turned(self) -> np.ndarray:
        """Components (K,) whose shape numbers are widths and a rotation."""
        places, turned = self.places, np.zeros(self.places.count, bool)
        for rule in self.rules:
            named = [rule.target, *(rule.value.reads if rule.kind == "formula" else ())]
            some = [one for one in named if one.name in ("widths", "angles", "aspects")]
            if rule.kind == "equal" and some:
                turned[list(rule.value)] = True
                continue
            for one in some:
                turned[[places.component_of(place) for place in places.read(one)]] = True
        self._check_covariances(turned)
        groups = [list(r.value) for r in self.rules if r.kind == "equal" and r.target.name == "covariances"]
        for _ in groups:
            for group in groups:
                turned[group] |= turned[group].any()
        return turned

    def _check_covariances(self, turned: np.ndarray) -> None:
        for rule in self.rules:
            if rule.target.name != "covariances" or rule.kind not in ("formula", "function"):
                continue
            if turned[[self.places.component_of(place) for place in rule.writes]].any():
                raise ValueError(
                    f"`tie` reads widths, angles or aspects of a component whose covariance it sets, by {rule}: set its"
                    " widths and angles instead"
                )

    @cached_property
    def sets_shapes(self) -> bool:
        """Whether rules make shapes, and do not only copy whole ones."""
        made = (rule.target.name == "covariances" and rule.kind not in ("equal", "held") for rule in self.rules)
        return bool(self.turned.any()) or any(made)

    @property
    def background_is_tied(self) -> bool:
        return any(rule.target.name == "background" for rule in self.rules)


def plan_of_ties(
    ties: dict[str, Any], fixed: tuple[np.ndarray, np.ndarray], count: int, parts: Parameterization
) -> TiePlan | None:
    """The plan of the checked option ``tie`` for so many components, of which the ``fixed`` numbers of their own (1 or
    K, p) and of the border (s + b,) are held; None where nothing is tied.
    """
    if not ties:
        return None
    layout, (own, border) = parts.layout, fixed
    own = np.broadcast_to(own, (parts.n_components, layout.block_size))[:count]
    held = {*np.flatnonzero(own).tolist(), *(layout.n_own + np.flatnonzero(border)).tolist()}
    return TiePlan(tuple(ties.items()), Places(layout, count, parts.covariance), frozenset(held))


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiedMap:
    """F at hand: ``base`` (P,) are the numbers at the start, of which the free ones are replaced by theta; ``frames``
    (K, d, d) the axes from which components turn; ``low`` and ``high`` (T,) the limits of theta.
    """

    parts: Parameterization
    scaling: Scaling
    base: Any
    frames: Any
    low: Any
    high: Any
    plan: TiePlan = field(metadata={"static": True})

    @property
    def free(self) -> Any:
        """theta (T,) of the base."""
        return self.base[self.plan.free]

    def params(self, theta: Array) -> Array:
        """p = F(theta) (P,)."""
        plan, layout = self.plan, self.parts.layout
        numbers = jnp.asarray(self.base).at[plan.free].set(theta)
        found = self._numbers(numbers).following(plan.rules)
        alphas = self.parts.amplitude.free(found.amplitudes)[:, None]
        blocks = jnp.concatenate([alphas, found.centers, self._shape_numbers(found)], axis=1)
        border = numbers[layout.n_own : layout.n_own + layout.n_shared]
        rest = found.background.vector() if plan.background_is_tied else layout.split(numbers)[2]
        room = numbers[blocks.size : layout.n_own]
        set_by_rules = jnp.concatenate([blocks.ravel(), room, border, jnp.asarray(rest, numbers.dtype)])
        return jnp.where(self._written, set_by_rules.astype(numbers.dtype), numbers)

    def slopes(self, theta: Array) -> Array:
        """M = dF/dtheta (P, T)."""
        return jax.jacfwd(self.params)(theta)

    def numbers(self, theta: Array) -> Numbers:
        """All numbers at theta (T,), after the rules."""
        return self._numbers(jnp.asarray(self.base).at[self.plan.free].set(theta)).following(self.plan.rules)

    def _numbers(self, vector: Array) -> Numbers:
        plan, parts = self.plan, self.parts
        count, n_widths = plan.places.count, plan.places.n_widths
        blocks, _, background = parts.layout.split(vector)
        shapes = blocks[:count, parts.layout.shapes]
        return Numbers(
            amplitudes=parts.amplitude.value(blocks[:count, ALPHA]),
            centers=blocks[:count, parts.layout.centers],
            factors=cholesky_factors(parts, vector)[:count],
            log_widths=shapes[:, :n_widths],
            turns=shapes[:, n_widths:],
            frames=self.frames,
            background=parts.background.with_vector(background),
            scaling=self.scaling,
            turned=plan.turned,
        )

    def _shape_numbers(self, found: Numbers) -> Array:
        """Free numbers (K, s) of Cholesky factors, of which nothing is squared; where whole shapes are copied and no
        more, as they are held: what they stand for, own covariances behind a beam, is then all the same.
        """
        if not self.plan.sets_shapes:
            return jnp.concatenate([found.log_widths, found.turns], axis=1)
        lower = found.lower
        places, floor, n_dim = self.plan.places, self.parts.floor, lower.shape[-1]
        if not places.n_widths:
            return lower[:, :0, 0]
        diagonal = jnp.einsum("kii->ki", lower)
        if places.n_widths < n_dim:
            return above_floor(diagonal[:, :1], jnp.broadcast_to(floor.max(), (len(lower), 1)))
        widths = above_floor(diagonal, jnp.broadcast_to(floor, diagonal.shape))
        below = lower[:, *np.tril_indices(n_dim, -1)] if places.n_turns else diagonal[:, :0]
        return jnp.concatenate([widths, below], axis=1)

    @property
    def is_turned(self) -> np.ndarray:
        """Which free numbers (T,) are logarithms of widths, or turns."""
        plan = self.plan
        return np.isin(plan.free, plan.places.shapes[plan.turned])

    @property
    def _written(self) -> np.ndarray:
        """Which parameters (P,) are not numbers of the base or of theta as they are."""
        found = np.zeros(self.parts.layout.n_parameters, bool)
        found[self.plan.written] = True
        found[np.ravel(self.plan.places.shapes[self.plan.turned])] = True
        return found


def tied_map(
    plan: TiePlan,
    parts: Parameterization,
    scaling: Scaling,
    params: np.ndarray,
    surface: GaussianSurface,
    *,
    has_ended: bool = False,
) -> TiedMap:
    """F with the numbers of a surface, which is given by its parameters (P,) and in the user's units; arrays of NumPy.

    The first width is the larger. In a surface that a fit under these rules ``has_ended`` with, the smaller may have
    become the larger: there the order is the one in which the rules hold.
    """
    places = plan.places
    full = places.n_turns > 0 or parts.n_dim == 1
    widths, axes = widths_and_axes(np.asarray(surface.covariances, float), not full)
    dtype = np.asarray(params).dtype
    open_end = np.full(len(plan.free), np.inf, dtype)

    def with_axes(order: np.ndarray) -> TiedMap:
        chosen = np.take_along_axis(axes, order[:, None, :], axis=2)
        turns, frames = turns_to(chosen, places.n_turns)
        log_widths = np.log(np.take_along_axis(widths, order, axis=1))[:, : places.n_widths]
        base = np.array(params)
        rows = np.concatenate([log_widths, turns], axis=1) if places.n_widths else np.zeros((places.count, 0))
        base[np.ravel(places.shapes[plan.turned])] = np.ravel(rows[plan.turned])
        return TiedMap(parts, scaling, base, frames.astype(dtype), -open_end, open_end, plan)

    order = np.broadcast_to(np.arange(parts.n_dim), widths.shape).copy()
    if has_ended and full and parts.n_dim > 1 and plan.turned.any():
        order = _order_of_widths(with_axes, order, plan, np.asarray(params))
    return with_axes(order)


def _order_of_widths(with_axes: Any, order: np.ndarray, plan: TiePlan, params: np.ndarray) -> np.ndarray:
    """The order (K, d) of each component's widths in which the rules change the parameters (P,) least."""

    def misfit(one: np.ndarray) -> float:
        tied = with_axes(one)
        return float(np.abs(np.asarray(_params(tied, tied.free)) - params).max())

    best = misfit(order)
    for k in np.flatnonzero(plan.turned):
        for other in itertools.permutations(range(order.shape[1])):
            if best <= KEPT_TOLERANCE * max(1.0, float(np.abs(params).max())):
                return order
            trial = order.copy()
            trial[k] = other
            found = misfit(trial)
            if found < best:
                order, best = trial, found
    return order


_params = plain_jit(TiedMap.params)
