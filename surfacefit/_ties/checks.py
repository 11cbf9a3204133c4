"""The values that rules give at a start, checked before any work: finite numbers, of the right shape and sign."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._base.precision import precision
from .._model.block_layout import ALPHA
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .numbers import Numbers
from .rules import Rule
from .tied_map import TiePlan
from .widths_and_turns import turns_to, widths_and_axes

# Of a number: by how much a rule may disagree with what it has set itself once all rules are followed; rounding.
AGREEMENT = 1e-9
# Names of numbers of a shape that are not its covariance.
OF_SHAPES = ("widths", "angles", "aspects")
# Parameters up to which rules are followed: their derivative by the free numbers is held as one matrix, here 32 MB, and
# so is the normal matrix.
MOST_TIED_PARAMETERS = 2000


def check_limits(plan: TiePlan, constraints: Any) -> None:
    """ValueError where ``bounds`` limit numbers that follow from others, or where there are too many free numbers."""
    bounds = constraints.bounds
    if bounds.widths is not None or bounds.aspect is not None:
        raise ValueError("`bounds.widths` and `bounds.aspect` cannot be followed beside `tie`: leave one out")
    places = plan.places
    kinds = {"amplitudes": places.amplitudes, "centers": places.centers, "background": places.background}
    for name, own in kinds.items():
        limits = getattr(bounds, name)
        if limits is None:
            continue
        for rule in plan.rules:
            alike = rule.kind == "equal" and rule.target.name == name and max(map(np.ndim, limits)) < own.ndim
            if not alike and rule.writes & set(np.ravel(own).tolist()):
                raise ValueError(
                    f"`bounds.{name}` limit what {rule} sets, which follows from other numbers: bound only what"
                    " is free, or leave one out"
                )
    if places.layout.n_parameters > MOST_TIED_PARAMETERS:
        raise ValueError(
            f"`tie` is for at most {MOST_TIED_PARAMETERS} parameters, got {places.layout.n_parameters}: tie a part"
            " of the data"
        )


def check_values(plan: TiePlan, start: GaussianSurface, background: Any, signed: bool) -> Numbers:
    """The numbers of a start, in the user's units, after all rules; ValueError or TypeError where a rule gives no
    possible value.
    """
    with precision(np.dtype(np.float64)):
        numbers = numbers_of(plan, start, background)
        for rule in plan.rules:
            if rule.kind == "function":
                _check_is_jax(rule, numbers)
            if rule.kind in ("number", "formula", "function"):
                _check_value(rule, numbers, signed)
            numbers = numbers.following((rule,))
        _check_slopes(plan, numbers_of(plan, start, background))
        for rule in plan.rules:
            if rule.kind == "function":
                _check_agrees(rule, numbers)
        return numbers


def numbers_of(plan: TiePlan, start: GaussianSurface, background: Any, order: np.ndarray | None = None) -> Numbers:
    """The numbers of a surface, in the user's units; of a component that rules turn the larger width is the first, or
    the one that the ``order`` (K, d) of the widths has first.
    """
    places, n_dim = plan.places, start.n_dim
    full = places.n_turns > 0 or n_dim == 1
    covariances = np.asarray(start.covariances, float)
    widths, axes = widths_and_axes(covariances, not full)
    if order is not None:
        widths, axes = np.take_along_axis(widths, order, 1), np.take_along_axis(axes, order[:, None, :], 2)
    turns, frames = turns_to(axes, places.n_turns)
    arrays = (start.amplitudes, start.centers, np.linalg.cholesky(covariances), np.log(widths), turns, frames)
    amplitudes, centers, factors, log_widths, turned, axes_at_start = (jnp.asarray(one, float) for one in arrays)
    return Numbers(
        amplitudes,
        centers,
        factors,
        log_widths[:, : places.n_widths],
        turned,
        axes_at_start,
        background,
        Scaling(np.zeros(n_dim), np.ones(n_dim), 0.0, 1.0),
        plan.turned,
    )


def check_seen_through(plan: TiePlan) -> None:
    """ValueError where rules set or name shapes of components that are seen through a beam: there the numbers of a
    shape are those of its own covariance, which may only be equal as a whole.
    """
    if plan.sets_shapes:
        told = [str(rule) for rule in plan.rules if rule.target.name in ("covariances", *OF_SHAPES)]
        raise ValueError(
            "`tie` makes whole shapes equal beside `beam`, {'covariances': [[0, 1]]}, and has no widths, angles or"
            f" formulas of them there, got {', '.join(told) or 'a rule that reads them'}: leave one out"
        )


def _check_slopes(plan: TiePlan, start: Numbers) -> None:
    """That what rules give has a derivative by the free numbers, along one direction in which all of them change."""
    layout, count = plan.places.layout, plan.places.count
    moves = np.zeros(layout.n_parameters)
    moves[plan.free] = 1
    blocks, border = moves[: count * layout.block_size].reshape(count, -1), moves[layout.n_own :][layout.background]
    shapes = blocks[:, layout.shapes]
    own = {
        "amplitudes": blocks[:, ALPHA],
        "centers": blocks[:, layout.centers],
        "factors": np.tril(np.ones(start.factors.shape)) * shapes.any(axis=1)[:, None, None],
        "log_widths": shapes[:, : plan.places.n_widths],
        "turns": shapes[:, plan.places.n_widths :],
    }
    tested = [rule for rule in plan.rules if _may_be_steep(rule)]
    if not tested:
        return

    def values(arrays: dict[str, Any], background: Any) -> list[Any]:
        numbers, found = replace(start, **arrays, background=start.background.with_vector(background)), []
        for rule in plan.rules:
            if rule in tested:
                found.append(jnp.asarray(numbers.value_of(rule), float))
            numbers = numbers.following((rule,))
        return found

    at, along = {name: getattr(start, name) for name in own}, {name: jnp.asarray(one) for name, one in own.items()}
    vector = jnp.asarray(start.background.vector(), float)
    slopes = jax.jvp(values, (at, vector), (along, jnp.asarray(border)))[1]
    for rule, slope in zip(tested, slopes, strict=True):
        if not np.isfinite(slope).all():
            raise ValueError(
                f"`tie[{rule.key!r}]` must have a derivative at the start, got {shown(slope)} from"
                f" {_told(rule)}: change the start, or the rule"
            )


def _may_be_steep(rule: Rule) -> bool:
    """Whether a rule may have a value and no derivative: roots at zero, and functions."""
    return rule.kind == "function" or (rule.kind == "formula" and any(one in rule.value.text for one in ("sqrt", "**")))


def _check_is_jax(rule: Rule, numbers: Numbers) -> None:
    try:
        inspect.signature(rule.value).bind(None)
    except TypeError as error:
        raise TypeError(
            f"`tie[{rule.key!r}]` must be a function of one argument, the surface, got {rule.value!r}: {error}"
        ) from error
    except ValueError:  # one that has no signature
        pass
    try:
        jax.eval_shape(rule.value, numbers.surface())
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise TypeError(
            f"`tie[{rule.key!r}]` must be written with jax.numpy in place of numpy, and with jnp.where in place"
            " of `if`, so that JAX can take its derivatives"
        ) from error


def _check_value(rule: Rule, numbers: Numbers, signed: bool) -> None:
    name = f"`tie[{rule.key!r}]`"
    value, here = rule_value(rule, numbers), np.shape(numbers.current(rule.target))
    if rule.kind == "function" and value.dtype.kind in "iu":
        raise TypeError(
            f"{name} must be a function that gives real numbers, got {value.dtype}, which has no derivative: give a"
            " number in place of the function, or one that computes with floats"
        )
    if value.dtype.kind not in "fiu" or not _fits(value.shape, here):
        raise ValueError(
            f"{name} must give real numbers of shape {here}, got {value.dtype} of shape {value.shape}: {_told(rule)}"
        )
    if not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite at the start, got {shown(value)} from {_told(rule)}: change one")
    target = rule.target.name
    if target in ("widths", "aspects") and not (value > 0).all():
        raise ValueError(f"{name} must be positive at the start, got {shown(value)} from {_told(rule)}")
    if target in ("amplitudes", "volumes") and not signed and not (value > 0).all():
        raise ValueError(
            f"{name} must be positive at the start, got {shown(value)} from {_told(rule)}: change the start, or give"
            " amplitudes='signed'"
        )
    if target == "covariances" and not _is_covariance(np.broadcast_to(value, here)):
        raise ValueError(f"{name} must be positive definite at the start, got {shown(value)} from {_told(rule)}")


def rule_value(rule: Rule, numbers: Numbers) -> np.ndarray:
    """What a rule gives, on the host; ValueError where shapes in it do not go together."""
    try:
        return np.asarray(numbers.value_of(rule))
    except (IndexError, ValueError, ArithmeticError) as error:
        name = f"`tie[{rule.key!r}]`"
        raise ValueError(f"{name} cannot be computed at the start, {_told(rule)}: {error}") from error


def _check_agrees(rule: Rule, numbers: Numbers) -> None:
    """That a function still gives what it has set after all rules: else it reads what follows from its own numbers."""
    value, kept = rule_value(rule, numbers), np.asarray(numbers.current(rule.target))
    if not (np.abs(value - kept) <= AGREEMENT * np.maximum(np.abs(kept), 1)).all():
        raise ValueError(
            f"`tie` goes round in a circle: {rule} reads what follows from it, {shown(value)} after {shown(kept)};"
            " leave one of these numbers free"
        )


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def _is_covariance(matrices: np.ndarray) -> bool:
    symmetric = np.allclose(matrices, np.swapaxes(matrices, -1, -2), rtol=AGREEMENT, atol=0)
    return symmetric and bool((np.linalg.eigvalsh(matrices) > 0).all())


def _told(rule: Rule) -> str:
    return f"the rule {rule}"


def shown(value: np.ndarray) -> str:
    """A value in a message: four digits, on one line."""
    return np.array2string(np.asarray(value), precision=4, separator=", ").replace("\n", "")
