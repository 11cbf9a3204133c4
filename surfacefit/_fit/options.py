"""The options of a fit, checked before any work: what is to be fitted, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._base.checks import count, first_index, one_of, positive_number, yes_or_no
from .._constraints.bounds import Constraints, checked_bounds, checked_fixed
from .._constraints.prior import checked_prior
from .._data.data import SurfaceData, fit_dtype
from .._engines.engines import engine_choice
from .._losses import LOSSES, ROBUST
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import ConstantBackground, PlaneBackground, background_model
from .._model.covariance import COVARIANCE_TYPES
from .._model.surface import GaussianSurface
from .._problem.prepare import Model
from .._results.criteria import AutoComponents, auto_components
from .._search.initialization import GROWN, INITS
from .._solvers import checked_solver
from .._starts import RandomStarts
from .fitting import Running

SMALLEST_F_SCALE = 1e-9  # of the spread of heights


class Checked(NamedTuple):
    """What `_fitting.fitted` asks for besides the data."""

    model: Model
    auto: AutoComponents | None
    running: Running


@dataclass(frozen=True, eq=False)
class Options:
    """The keywords that `fit` and `fit_points` share, as the user gave them."""

    n_components: Any
    background: Any
    covariance_type: Any
    tied: Any
    amplitudes: Any
    loss: Any
    f_scale: Any
    bounds: Any
    fixed: Any
    init: Any
    search: Any
    reset: Any
    min_width: Any
    prior: Any
    solver: Any
    engine: Any
    max_memory: Any
    dtype: Any
    max_time: Any
    callback: Any
    progress: Any
    seed: Any

    def checked(self, data: SurfaceData) -> Checked:
        """Raises ValueError or TypeError for what cannot be meant."""
        auto, number = _number(self.n_components, self.init)
        kind = _covariance_type(self.covariance_type, self.tied)
        model = Model(
            number,
            self.background,
            kind,
            positive_number("min_width", self.min_width),
            one_of("amplitudes", self.amplitudes, AMPLITUDE_TYPES),
            checked_prior(self.prior, data.n_dim, data.absolute_sigma or self.loss == "poisson"),
            *_loss(self.loss, self.f_scale, data),
            self._constraints(auto, number, data, kind),
        )
        running = Running(
            _init(self.init, self.search),
            _search_time(self.search),
            count("seed", self.seed, 0),
            checked_solver(self.solver),
            engine_choice(self.engine, self.max_memory),
            fit_dtype(self.dtype, data.heights),
            self.progress,
            _callback(self.callback),
            _limit(self.max_time),
            not isinstance(self.init, GaussianSurface) if self.reset is None else yes_or_no("reset", self.reset),
        )
        return Checked(model, auto, running)

    def _constraints(self, auto: AutoComponents | None, number: int, data: SurfaceData, kind: str) -> Constraints:
        given = number if isinstance(self.init, GaussianSurface) else None
        signed = AMPLITUDE_TYPES[self.amplitudes].signed
        bounds = checked_bounds(self.bounds, given, data.n_dim, signed, kind)
        floor = float((self.min_width * data.spacing).max())
        if bounds.widths is not None and bounds.widths[1] <= floor:
            raise ValueError(
                f"`bounds.widths` must leave room above `min_width`, here {floor:g}, got at most {bounds.widths[1]:g}"
            )
        if bounds.background is not None and self.background is None:
            raise ValueError("`bounds.background` has no background to bound, since background=None: leave it out")
        fixed = checked_fixed(self.fixed, given)
        if fixed.get("background") and self.background is None:
            raise ValueError("`fixed` names a background, and background=None has none: leave it out")
        if fixed.get("background") and not self._gives_background:
            raise ValueError(
                f"`fixed` holds a background at the value given for it, got none with background={self.background!r}:"
                f" give it in the"
                " start, init=GaussianSurface(..., background=0.5), or as background=0.5"
            )
        shapes = np.atleast_1d(fixed.get("covariances", False))
        if kind == "tied" and shapes.any() != shapes.all():
            raise ValueError(
                f"`fixed['covariances']` must be the same for all where they share one shape (tied), got"
                f" {shapes.tolist()}"
            )
        if any(np.any(mask) for name, mask in fixed.items() if name != "background") and (
            auto is not None or (isinstance(self.init, str) and self.init in GROWN) or self.search
        ):
            raise ValueError(
                "`fixed` holds components at their start: give one, init=GaussianSurface(...) or another `init` than"
                " 'auto' and 'growth',"
                f" and no `search`; got init={self.init!r}"
            )
        return Constraints(bounds, fixed)

    @property
    def _gives_background(self) -> bool:
        """Whether the background has a value of the user's to start from, its own or that of a start of its kind."""
        if not isinstance(self.background, str):
            return True
        kind = {"constant": ConstantBackground, "plane": PlaneBackground}.get(self.background, object)
        return isinstance(self.init, GaussianSurface) and isinstance(background_model(self.init.background), kind)


def _covariance_type(covariance_type: Any, tied: Any) -> str:
    kind = one_of("covariance_type", covariance_type, COVARIANCE_TYPES)
    if tied is None:
        return kind
    if not isinstance(tied, str) or tied != "covariances":
        raise ValueError(
            f"`tied` must be None or 'covariances' (one shape for all): nothing else can be tied, got {tied!r}"
        )
    if kind not in ("full", "tied"):
        raise ValueError(
            f"`tied`='covariances' means one full covariance for all, got covariance_type={kind!r} with it: leave one"
            f" out"
        )
    return "tied"


def _loss(loss: Any, f_scale: Any, data: SurfaceData) -> tuple[str, float]:
    name = one_of("loss", loss, LOSSES)
    if name in ROBUST:
        scale = 1.0 if f_scale is None else positive_number("f_scale", f_scale)
        spread = float(np.ptp(np.quantile(data.used_heights.astype(float) * data.weights, [0.05, 0.95])))
        if scale < SMALLEST_F_SCALE * spread:
            raise ValueError(
                f"`f_scale` must be near the noise, got {scale:g} where heights spread over {spread:g} (in units of"
                f" sigma)"
            )
        return name, scale
    if f_scale is not None:
        raise ValueError(
            f"`f_scale` is for loss={', '.join(map(repr, ROBUST))}, got f_scale={f_scale!r} with loss={name!r}"
        )
    if name == "linear":
        return name, 1.0
    negative = data.used & (data.heights < 0)
    if negative.any():
        where = f"{data.heights[negative][0]:g} at index {first_index(negative)}"
        raise ValueError(
            f"`heights` must be counts, not negative, for loss='poisson', got {where}: mask such points, or use"
            f" another loss"
        )
    if data.sigma is not None:
        raise ValueError(
            "`sigma` has no place beside loss='poisson', where the counts say how sure they are: leave it out"
        )
    return name, 1.0


def _number(n_components: Any, init: Any) -> tuple[AutoComponents | None, int]:
    """How a number of components is to be chosen, or the number."""
    number = auto_components(n_components)
    if not isinstance(number, AutoComponents):
        return None, number
    if isinstance(init, GaussianSurface) or init not in GROWN:
        given = "a surface" if isinstance(init, GaussianSurface) else repr(init)
        raise ValueError(
            f"`n_components` that is to be chosen grows from nothing, got init={given}: leave `init` out, or give a"
            f" number"
        )
    return number, 1


def _init(init: Any, search: Any) -> Any:
    if isinstance(init, RandomStarts):
        count("init.n", init.n)
        if search:
            raise ValueError(
                f"`search` looks around one start, got search={search!r} with {init!r}: search from"
                f" `init=result.surface` then"
            )
        return init
    return init if isinstance(init, GaussianSurface) else one_of("init", init, INITS)


def _callback(callback: Any) -> Any:
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `Progress`, got {callback!r}")
    return callback


def _limit(max_time: Any) -> float | None:
    return None if max_time is None else positive_number("max_time", max_time)


def _search_time(search: Any) -> float | None:
    if isinstance(search, bool):
        raise TypeError(f"`search` must be seconds, got {search!r}: 0 does not search at all")
    if search is None or (isinstance(search, (int, float)) and search == 0):
        return search
    return positive_number("search", search)
