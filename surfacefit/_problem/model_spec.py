"""What is fitted, as a record of checked options.

Add an option of the model to `ModelOptions`, as a field with its rule and its default: results and their files remember
it, and everything that is computed after the fit uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from .._base.checks import first_index, moderate_number, one_of, positive_number, yes_or_no
from .._constraints.bounds import Bounds, Constraints, checked_bounds, checked_fixed
from .._constraints.box import fixed_masks
from .._constraints.containment import holds, region_of
from .._constraints.periods import check_beside, check_widths, checked_periods
from .._constraints.prior import SurfacePrior, checked_prior
from .._constraints.shape import check_room, checked_shape, in_shape
from .._data.data import SurfaceData
from .._engines.pixel_nodes import PixelNodes, is_even, least_width, pixel_nodes
from .._losses import LOSSES, ROBUST, Loss, loss_of
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import (
    MIDDLE_QUANTILE,
    ConstantBackground,
    PlaneBackground,
    background_model,
    background_start,
    continued,
)
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import Parameterization
from .._model.surface import checked_surface
from .._periodic.nearest import Periods
from .._ties.checks import check_limits, check_seen_through, check_values
from .._ties.room import check_rules_have_room
from .._ties.rules import checked_items
from .._ties.tied_map import plan_of_ties
from .option import Given, rule, simple_rule

# Least `f_scale` in units of the inner 90 % of the heights: far below it all points would be outliers, and squares of
# the misfits in its units would leave the range in which float64 tells costs apart.
SMALLEST_F_SCALE = 1e-9
# Quantiles between which the spread of the heights is taken, so that outliers do not count.
SPREAD_QUANTILES = (0.05, 0.95)


def _covariance_type(name: str, given: Given) -> str:
    kind, tied = one_of(name, given.options[name], COVARIANCE_TYPES), given.options["tied"]
    if given.options["shape"] is not None and kind not in ("full", "tied"):
        raise ValueError(
            f"`shape` is one covariance for all components, got covariance_type={kind!r} with it: leave one out"
        )
    if tied is None:
        return kind if given.options["shape"] is None else "tied"
    if not isinstance(tied, str) or tied != "covariances":
        raise ValueError(
            f"`tied` must be None or 'covariances' (one shape for all): nothing else can be tied, got {tied!r}"
        )
    if kind not in ("full", "tied"):
        raise ValueError(
            f"`tied`='covariances' means one full covariance for all, got covariance_type={kind!r} with it: leave one"
            " out"
        )
    return "tied"


def _min_width(name: str, given: Given) -> float:
    return checked_min_width(name, given.options[name], given.data)


def checked_min_width(name: str, value: Any, data: SurfaceData) -> float:
    """The least width in sampling distances, which is not beyond the extent of the data."""
    width = positive_number(name, value)
    columns = data.used_points.T if data.axes is None else data.axes
    most = max(1.0, *(float(np.ptp(column) / step) for column, step in zip(columns, data.spacing, strict=True)))
    if width > most:
        raise ValueError(
            f"`{name}` is in sampling distances and must not exceed the data's extent of {most:g}, got {width:g}"
        )
    return width


def _prior(name: str, given: Given) -> SurfacePrior | None:
    data, prior = given.data, given.options[name]
    known_errors = data.absolute_sigma or given.options["loss"] == "poisson"
    count = None if given.start is None or given.moves_components else given.n_components
    numbers = 0
    if isinstance(prior, SurfacePrior) and prior.background is not None:
        heights = data.used_heights.astype(float)
        numbers = background_start(given.options["background"], data.used_points, heights, MIDDLE_QUANTILE).n_parameters
    return checked_prior(prior, data.n_dim, known_errors, count, numbers)


def _loss(name: str, given: Given) -> str:
    loss, data = one_of(name, given.options[name], LOSSES), given.data
    if loss in ROBUST:
        _f_scale("f_scale", given)
    elif given.options["f_scale"] is not None:
        raise ValueError(
            f"`f_scale` is for loss={', '.join(map(repr, ROBUST))}, got f_scale={given.options['f_scale']!r} with"
            f" loss={loss!r}"
        )
    if loss == "poisson":
        _check_counts(data)
    return loss


def _check_counts(data: SurfaceData) -> None:
    negative = data.used & (data.heights < 0)
    if negative.any():
        where = f"{data.heights[negative][0]:g} at index {first_index(negative)}"
        raise ValueError(
            f"`heights` must be counts, not negative, for loss='poisson', got {where}: mask such points, or use another"
            " loss"
        )
    if data.sigma is not None:
        raise ValueError("`sigma` must be None for loss='poisson', where the counts give the errors: leave it out")


def _f_scale(name: str, given: Given) -> float:
    value, data = given.options[name], given.data
    if given.options["loss"] not in ROBUST:
        return 1.0
    scale = 1.0 if value is None else moderate_number(name, value)
    spread = float(np.ptp(np.quantile(data.used_heights.astype(float) * data.weights, SPREAD_QUANTILES)))
    if scale < SMALLEST_F_SCALE * spread:
        raise ValueError(
            f"`f_scale` must be near the noise, got {scale:g} where heights spread over {spread:g} (in units of sigma)"
        )
    return scale


def _constraints(name: str, given: Given) -> Constraints:
    named = isinstance(given.options["prior"], SurfacePrior) and given.options["prior"].centers is not None
    constraints = Constraints(_bounds(given), _fixed(given), _shape(given), named=named)
    if given.options["tie"] is not None:
        constraints = replace(constraints, ties=_ties(given, constraints))
    if given.moves_components and constraints.held_at_start:
        raise ValueError(
            "`fixed` holds components at their start: give one, init=GaussianSurface(...) or another `init` than"
            f" 'auto' and 'growth', and no `search`; got init={given.options['init']!r}"
        )
    return constraints


def _ties(given: Given, constraints: Constraints) -> dict[str, Any]:
    """The option ``tie``, whose rules are followed once from the start."""
    options, data, start = given.options, given.data, given.start
    if not isinstance(options["tie"], dict) or not options["tie"]:
        return checked_items(options["tie"], 1)
    if start is None or given.moves_components:
        raise ValueError(
            "`tie` speaks of components by their numbers in a start: give init=GaussianSurface(...), and no `search`;"
            f" got init={options['init']!r}, search={options['search']!r}"
        )
    items = checked_items(options["tie"], given.n_components)
    kind = COVARIANCE_TYPES[_covariance_type("covariance_type", given)]
    heights = data.used_heights.astype(float)
    asked = background_start(options["background"], data.used_points, heights, MIDDLE_QUANTILE)
    background = continued(asked, start.background, data.n_dim)
    parts = Parameterization(np.ones(data.n_dim), background, float(given.n_components), kind, given.n_components)
    plan = plan_of_ties(items, fixed_masks(constraints.fixed, parts), given.n_components, parts)
    assert plan is not None
    check_limits(plan, constraints)
    if options["beam"] is not None:
        check_seen_through(plan)
    signed = AMPLITUDE_TYPES[options["amplitudes"]].signed
    checked = checked_surface("init", start, given.n_components, data.n_dim, signed)
    followed = check_values(plan, in_shape(checked, constraints.shape), background, signed)
    region = region_of(data, _periods("periods", given))
    inside = options["contained"] is not False and holds(region, checked)
    least = _min_width("min_width", given) * data.spacing if options["beam"] is None else np.zeros(data.n_dim)
    check_rules_have_room(plan, followed, least, (region.low, region.high) if inside else None)
    return items


def _shape(given: Given) -> np.ndarray | None:
    options, data = given.options, given.data
    shape = checked_shape(options["shape"], data.n_dim)
    if shape is None:
        return None
    check_room(shape, _min_width("min_width", given) * data.spacing)
    limits = None if options["bounds"] is None else (options["bounds"].widths, options["bounds"].aspect)
    if limits is not None and limits != (None, None):
        raise ValueError("`bounds.widths` and `bounds.aspect` have no width to bound beside `shape`: leave them out")
    region = region_of(data, _periods("periods", given))
    if options["contained"] is not False and not region.holds_shape(shape):
        raise ValueError(
            f"`shape` must not be wider than the data, got deviations of {np.sqrt(np.diagonal(shape)).tolist()} along"
            " the axes: its unit is that of `coords`; contained=False allows it"
        )
    return shape


def _bounds(given: Given) -> Bounds:
    options, data = given.options, given.data
    number, signed = _number_of_start(given), AMPLITUDE_TYPES[options["amplitudes"]].signed
    kind = _covariance_type("covariance_type", given)
    bounds = checked_bounds(options["bounds"], number, data.n_dim, signed, kind)
    floor = float((_min_width("min_width", given) * data.spacing).max())
    if bounds.widths is not None and bounds.widths[1] <= floor:
        raise ValueError(
            f"`bounds.widths` must leave room above `min_width`, here {floor:g}, got at most {bounds.widths[1]:g}"
        )
    if bounds.background is not None and options["background"] is None:
        raise ValueError("`bounds.background` has no background to bound, since background=None: leave it out")
    return bounds


def _fixed(given: Given) -> dict[str, Any]:
    fixed = checked_fixed(given.options["fixed"], _number_of_start(given))
    if given.options["shape"] is not None:
        if "covariances" in fixed:
            raise ValueError("`fixed` names 'covariances', which `shape` holds for all components: leave one out")
        fixed = {**fixed, "covariances": True}
    if fixed.get("background"):
        _check_fixed_background(given)
    shapes = np.atleast_1d(fixed.get("covariances", False))
    if _covariance_type("covariance_type", given) == "tied" and shapes.any() != shapes.all():
        raise ValueError(
            f"`fixed['covariances']` must be the same for all where they share one shape (tied), got {shapes.tolist()}"
        )
    return fixed


def _check_fixed_background(given: Given) -> None:
    background = given.options["background"]
    if background is None:
        raise ValueError("`fixed` names a background, and background=None has none: leave it out")
    if not _has_background_value(background, given):
        raise ValueError(
            f"`fixed` holds a background at the value given for it, got none with background={background!r}: give it in"
            " the start, init=GaussianSurface(..., background=0.5), or as background=0.5"
        )


def _has_background_value(background: Any, given: Given) -> bool:
    """Whether the background starts from a value of the user's: its own, or that of a start with one of its kind."""
    if not isinstance(background, str):
        return True
    kind = {"constant": ConstantBackground, "plane": PlaneBackground}.get(background, object)
    return given.start is not None and isinstance(background_model(given.start.background), kind)


def _number_of_start(given: Given) -> int | None:
    """Components of which each may have limits or masks of its own; None without a start that gives their order."""
    return None if given.start is None else given.n_components


def _contained(name: str, given: Given) -> bool:
    """A start of the user's with a component outside is taken as it is, unless the user asks for containment."""
    asked, start = given.options[name], given.start
    if start is not None:
        start = in_shape(start, checked_shape(given.options["shape"], given.data.n_dim))
    inside = start is None or holds(region_of(given.data, _periods("periods", given)), start)
    if asked is None:
        return inside
    if yes_or_no(name, asked) and not inside and {"centers", "covariances"} & _constraints(name, given).held_at_start:
        raise ValueError(
            "`contained`=True would move fixed components of `init` that lie outside the data: leave it out"
        )
    return bool(asked)


def _n_components(name: str, given: Given) -> int:
    return given.n_components


def _as_given(name: str, given: Given) -> Any:
    return given.options[name]


def _sampling(name: str, given: Given) -> str:
    sampling, data, engine = (
        one_of(name, given.options[name], ("points", "integrated")),
        given.data,
        given.options["engine"],
    )
    if sampling == "points":
        return sampling
    if data.axes is None or not all(is_even(axis) for axis in data.axes):
        raise ValueError(
            f"`{name}`='integrated' needs pixels of one size: a grid with even `coords`, got"
            f" {'scattered points' if data.axes is None else 'uneven ones'}"
        )
    if getattr(engine, "devices", None) is not None:
        raise ValueError(
            f"`{name}`='integrated' is for an engine on one device, got engine={engine!r}: leave `devices` out"
        )
    return sampling


def _periods(name: str, given: Given) -> Periods | None:
    options, start = given.options, given.start
    periods = checked_periods(name, options[name], given.data)
    if periods is None:
        if start is not None and start.periods is not None:
            raise ValueError(f"`{name}` must be given for a start with periods, got None with {start.periods}")
        return None
    check_beside(name, periods, options, start)
    shape = checked_shape(options["shape"], given.data.n_dim)
    if shape is not None:
        check_widths("shape", shape[None], periods)
    if getattr(options["engine"], "devices", None) is not None:
        raise ValueError(f"`{name}` is for one device, got engine={options['engine']!r}: leave `devices` out")
    return periods


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What is fitted, as far as a fitted surface does not show it; `ModelSpec` and `Settings` have these fields.

    ``covariance_type`` stands for the options ``covariance_type`` and ``tied``, ``constraints`` for ``bounds``,
    ``fixed``, ``shape`` and ``tie``. ``periods`` are those of the axes, ``beam`` is a covariance (d, d).
    """

    covariance_type: str = field(default="full", metadata=rule(_covariance_type))
    periods: Periods | None = field(default=None, metadata=rule(_periods))
    beam: np.ndarray | None = field(default=None, metadata=rule(_as_given))
    sampling: str = field(default="points", metadata=rule(_sampling))
    min_width: float = field(default=0.25, metadata=rule(_min_width))
    amplitudes: str = field(default="positive", metadata=simple_rule(one_of, AMPLITUDE_TYPES))
    prior: SurfacePrior | None = field(default=None, metadata=rule(_prior))
    loss: str = field(default="linear", metadata=rule(_loss))
    f_scale: float = field(default=1.0, metadata=rule(_f_scale))
    contained: bool = field(default=True, metadata=rule(_contained))
    constraints: Constraints = field(default_factory=Constraints, metadata=rule(_constraints))

    def nodes(self, spacing: np.ndarray) -> PixelNodes | None:
        """Nodes of pixels with sides ``spacing`` (d,), in the user's units; None where heights are those at points."""
        if self.sampling == "points":
            return None
        seen = self.beam if self.beam is not None else self.constraints.shape
        return pixel_nodes(spacing, least_width(self.min_width, seen, spacing))

    def by_name(self) -> dict[str, Any]:
        """These fields by name, without those that a subclass adds."""
        return {one.name: getattr(self, one.name) for one in fields(ModelOptions)}


@dataclass(frozen=True, kw_only=True)
class ModelSpec(ModelOptions):
    """What is fitted. ``background`` is the option as the user gave it, or a background itself."""

    n_components: int = field(metadata=rule(_n_components))
    background: Any = field(default="constant", metadata=rule(_as_given))

    def plain_loss(self, data: SurfaceData) -> Loss:
        """The loss in the user's units."""
        return loss_of(self.loss, self.f_scale, float(data.used_heights.mean(dtype=float)))

    @property
    def signed(self) -> bool:
        """Whether amplitudes may be negative."""
        return AMPLITUDE_TYPES[self.amplitudes].signed
