"""What a user may ask of parameters: limits, some that are fixed, and one shape for all components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._base.checks import one_of, positive_number, real_array
from .._model.background import BackgroundModel

# Names that `fixed` may hold.
FIXABLE = ("amplitudes", "centers", "covariances", "background")


@dataclass(frozen=True, eq=False)
class Bounds:
    """Limits of the parameters of a fit: ``bounds=sf.Bounds(centers=([0, 0], [40, 50]), widths=(1, 10))``.

    Each is a pair (low, high) in the user's units; None on either side leaves that side open.

    Parameters
    ----------
    amplitudes : numbers or (K,).
    centers : numbers, (d,) or (K, d).
    widths : two numbers between which all principal widths lie; ``min_width`` of `fit` limits widths along the axes
        only.
    background : numbers or (m,), of the background's free numbers: a constant; a plane's value in its middle and
        slopes; a function's own.
    aspect : largest ratio of a component's principal widths, above 1 (not a pair).

    A start outside is moved on to the nearest bound, without a word; from a start on a bound a fit reaches an optimum
    inside. Limits for each component need a start, ``init=GaussianSurface(...)``, whose order the result then keeps.

    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> result = sf.fit(np.exp(-0.5 * x**2), 1, coords=x, background=None, bounds=sf.Bounds(amplitudes=(None, 0.8)))
    >>> round(float(result.surface.amplitudes[0]), 6)
    0.8
    """

    amplitudes: Any = None
    centers: Any = None
    widths: Any = None
    background: Any = None
    aspect: float | None = None


@dataclass(frozen=True, eq=False)
class Constraints:
    """What a user asked for, checked: ``bounds`` of float arrays (low, high); ``fixed``: masks (K,) or True by name;
    the covariance ``shape`` (d, d) that all components have, whose name then stands in ``fixed``; and ``ties``: what
    numbers follow from others by, as `_ties/rules` remembers it. ``named`` says that a prior speaks of components one
    by one.
    """

    bounds: Bounds = field(default_factory=Bounds)
    fixed: dict[str, Any] = field(default_factory=dict)
    shape: np.ndarray | None = None
    ties: dict[str, Any] = field(default_factory=dict)
    named: bool = False

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constraints)
            and _same(vars(self.bounds), vars(other.bounds))
            and _same(self.fixed, other.fixed)
            and _same(self.shape, other.shape)
            and _same(self.ties, other.ties)
            and self.named == other.named
        )

    def __bool__(self) -> bool:
        return bool(self.fixed) or bool(self.ties) or any(limit is not None for limit in vars(self.bounds).values())

    @property
    def of_background(self) -> Constraints:
        """Those of the background alone."""
        fixed = {name: mask for name, mask in self.fixed.items() if name == "background"}
        return Constraints(Bounds(background=self.bounds.background), fixed)

    @property
    def by_component(self) -> bool:
        """Whether any of them belongs to one component rather than to all."""
        pairs = [(self.bounds.amplitudes, 1), (self.bounds.centers, 2)]
        bounded = any(p is not None and max(np.ndim(side) for side in p) == n for p, n in pairs)
        return bool(self.ties) or self.named or bounded or any(np.ndim(m) for m in self.fixed.values())

    @property
    def keep_order(self) -> bool:
        """Whether the user knows the components of the start one by one: by limits or masks of their own, or because
        something of theirs is fixed.
        """
        return self.by_component or bool(self.held_at_start)

    @property
    def held_at_start(self) -> set[str]:
        """Names of what components keep of their start; a shape for all is no part of it."""
        common = {"background"} if self.shape is None else {"background", "covariances"}
        return {name for name, mask in self.fixed.items() if np.any(mask)} - common

    def without(self, k: int) -> Constraints:
        """Of the components but ``k``."""
        limits: dict[str, Any] = {
            name: tuple(_but(side, k, rank) for side in pair)
            for name, rank in (("amplitudes", 1), ("centers", 2))
            if (pair := getattr(self.bounds, name)) is not None
        }
        fixed = {name: _but(mask, k, 1) for name, mask in self.fixed.items()}
        return Constraints(replace(self.bounds, **limits), fixed, self.shape, named=self.named)


def _but(values: Any, k: int, rank: int) -> Any:
    """Without the row of component ``k``, where there is a row for each."""
    return np.delete(values, k, axis=0) if np.ndim(values) == rank else values


def _same(one: Any, other: Any) -> bool:
    """Whether two trees of dicts, tuples and arrays are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return np.array_equal(one, other) if one is not None and other is not None else one is other


def checked_bounds(bounds: Any, n_components: int | None, n_dim: int, signed: bool, covariance_type: str) -> Bounds:
    """The option ``bounds`` with arrays for its pairs; ``n_components`` is None where it is to be chosen or comes
    without a start.
    """
    if bounds is None:
        return Bounds()
    if not isinstance(bounds, Bounds):
        raise TypeError(f"`bounds` must be None or a surfacefit.Bounds(...), got {bounds!r}")
    aspect = None if bounds.aspect is None else positive_number("bounds.aspect", bounds.aspect)
    if aspect is not None and (covariance_type not in ("full", "tied") or aspect <= 1):
        raise ValueError(
            "`bounds.aspect` must be a number above 1, for covariance_type='full' or 'tied',"
            f" got {bounds.aspect!r} with covariance_type={covariance_type!r}"
        )
    by_component = [] if n_components is None else [(n_components,)]
    centers = [(n_dim,)] + ([] if n_components is None else [(n_components, n_dim)])
    amplitudes = _pair("amplitudes", bounds.amplitudes, by_component)
    if amplitudes is not None and not signed and np.any(np.less_equal(amplitudes[1], 0)):
        raise ValueError(
            "`bounds.amplitudes` must leave room above 0 for amplitudes='positive', got a highest value of 0 or less"
        )
    widths = _pair("widths", bounds.widths, [])
    if widths is not None and widths[1] <= 0:
        raise ValueError(f"`bounds.widths` must be positive, got a largest width of {widths[1]:g}")
    background = _pair("background", bounds.background, None)
    return Bounds(amplitudes, _pair("centers", bounds.centers, centers), widths, background, aspect)


def _pair(name: str, pair: Any, shapes: Sequence[tuple[int, ...]] | None) -> Any:
    """(low, high) as float arrays, infinite where open; of no other than these shapes, or numbers."""
    if pair is None:
        return None
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"`bounds.{name}` must be a pair (low, high), got {pair!r}: None leaves a side open")
    sides = []
    for value, end in zip(pair, (-np.inf, np.inf), strict=True):
        array = np.asarray(end if value is None else real_array(f"bounds.{name}", value), float)
        if np.isnan(array).any():
            raise ValueError(f"`bounds.{name}` must not be NaN, got {value!r}: None leaves a side open")
        if array.ndim and shapes is not None and array.shape not in shapes:
            allowed = "".join(f" or shape {shape}" for shape in shapes)
            hint = (
                "; limits for each component need `init` to be a surface" if name in ("amplitudes", "centers") else ""
            )
            raise ValueError(f"`bounds.{name}` must be numbers{allowed}, got shape {array.shape}{hint}")
        sides.append(array)
    low, high = sides
    if low.ndim and high.ndim and low.shape != high.shape:
        raise ValueError(f"`bounds.{name}` must have two sides of one shape, got {low.shape} and {high.shape}")
    if np.any(low >= high):
        raise ValueError(f"`bounds.{name}` must rise, got {pair[0]!r} to {pair[1]!r}: to hold a value use `fixed`")
    return low, high


def check_held_background(bounds: Bounds, background: BackgroundModel) -> None:
    """Refuses a fixed background with a number outside its limits, both in the user's units."""
    if bounds.background is None:
        return
    held = np.asarray(background.vector(), float)
    low, high = (np.broadcast_to(side, held.shape) for side in bounds.background)
    outside = np.flatnonzero((held < low) | (held > high))
    if len(outside):
        k = outside[0]
        raise ValueError(
            f"`fixed` holds the background at the value given for it, but its number {k}, {held[k]:g}, is none that"
            f" `bounds.background` allow, {low[k]:g} to {high[k]:g}: change the value or the limits"
        )


def checked_fixed(fixed: Any, n_components: int | None) -> dict[str, Any]:
    """The option ``fixed`` as masks by name; ``n_components`` is None where there is no start with components to point
    at.
    """
    if fixed is None:
        return {}
    if not isinstance(fixed, str | list | tuple | set | dict):
        raise TypeError(
            f"`fixed` must be a name, names, or a dict of masks, of {', '.join(map(repr, FIXABLE))}, got {fixed!r}"
        )
    pairs = (
        fixed.items()
        if isinstance(fixed, dict)
        else [(name, True) for name in ([fixed] if isinstance(fixed, str) else fixed)]
    )
    return {_fixable(name): _mask(name, mask, n_components) for name, mask in pairs}


def _fixable(name: Any) -> str:
    if isinstance(name, str) and name in ("widths", "shapes", "angles", "orientation"):
        raise ValueError(
            f"`fixed` must be one of {', '.join(map(repr, FIXABLE))}, got {name!r}:"
            " widths and angles are held by 'covariances'"
        )
    return one_of("fixed", name, FIXABLE)


def _mask(name: str, mask: Any, n_components: int | None) -> Any:
    array = np.asarray(mask)
    if array.dtype != bool or array.ndim > 1 or (array.ndim and name == "background"):
        hint = ": for 0 and 1 give `np.asarray(mask, bool)`" if array.ndim == 1 and np.isin(array, (0, 1)).all() else ""
        raise ValueError(
            f"`fixed[{name!r}]` must be True or a boolean array with one entry a component, got {mask!r}{hint}"
        )
    if array.ndim and (n_components is None or array.shape != (n_components,)):
        raise ValueError(
            f"`fixed[{name!r}]` must have one entry for each component of a start `init=GaussianSurface(...)`,"
            f" got {array.shape}"
        )
    return array if array.ndim else bool(array)
