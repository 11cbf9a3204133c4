"""surfacefit: fits surfaces and other data on grids or scattered points by sums of scaled Gaussians.

The names below come in this order: what to call, what to choose from, what comes back, and the JAX core under it. A
name is imported when it is first used (PEP 562), so that the command line can answer without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._fit.fit import fit, fit_points
    from ._results.criteria import AutoComponents
    from ._mixture.fit import fit_mixture
    from ._model.background import ConstantBackground, FunctionBackground, PlaneBackground
    from ._solvers import Adam, Dogleg, LevenbergMarquardt, SuperimposedSignals
    from ._engines.engines import Dense, Streamed, Tiled
    from ._constraints.bounds import Bounds
    from ._starts import RandomStarts
    from ._constraints.prior import SurfacePrior
    from ._constraints.mixture_regularization import MixturePrior
    from ._base.progress import BatchProgress, MixtureProgress, Progress
    from ._model.surface import GaussianSurface
    from ._model.gaussian import covariance_from_fwhm
    from ._results.result import FitResult
    from ._results.criteria import ComponentPath
    from ._mixture.result import MixtureResult
    from ._base.status import Status
    from ._results.flags import FLAGS, ComponentFlag
    from ._statistics.uncertainty import Uncertainty
    from ._statistics.statistics import FitStatistics
    from ._statistics.diagnostics import ResidualDiagnostics
    from ._statistics.bootstrap import Bootstrap
    from ._instrument.deconvolution import DeconvolvedSizes
    from ._results.io import load
    from ._system.compile_cache import cache
    from ._data.examples import example_map
    from ._data.map import Map
    from ._data.parts import join_parts
    from .interop.files.formats import read
    from .interop.widget.view import view
    from ._problem.problem import SurfaceProblem
    from ._solvers import Solution, solve
    from ._derivatives.implicit import Implicit
    from ._derivatives.sensitivity import Sensitivity
    from ._many.fit_many import fit_many
    from ._batches.cutouts import fit_cutouts
    from ._many.batch_result import BatchResult
    from ._batches.lazy import LazyBatch
    from ._profiles.fit_profiles import fit_profiles
    from ._profiles.profile_result import ProfileResult
    from ._profiles.shapes import Exponential, Lorentzian, Moffat, PseudoVoigt, Sersic
    from ._channels.fit import fit_channels
    from ._channels.result import ChannelResult

__version__ = "0.1.0"

# The names of each module, as above.
_NAMES = {
    "_fit.fit": ("fit", "fit_points"),
    "_results.criteria": ("AutoComponents", "ComponentPath"),
    "_mixture.fit": ("fit_mixture",),
    "_model.background": ("ConstantBackground", "FunctionBackground", "PlaneBackground"),
    "_solvers": ("Adam", "Dogleg", "LevenbergMarquardt", "SuperimposedSignals", "Solution", "solve"),
    "_engines.engines": ("Dense", "Streamed", "Tiled"),
    "_constraints.bounds": ("Bounds",),
    "_starts": ("RandomStarts",),
    "_constraints.prior": ("SurfacePrior",),
    "_constraints.mixture_regularization": ("MixturePrior",),
    "_base.progress": ("BatchProgress", "MixtureProgress", "Progress"),
    "_model.surface": ("GaussianSurface",),
    "_model.gaussian": ("covariance_from_fwhm",),
    "_results.result": ("FitResult",),
    "_mixture.result": ("MixtureResult",),
    "_base.status": ("Status",),
    "_results.flags": ("FLAGS", "ComponentFlag"),
    "_statistics.uncertainty": ("Uncertainty",),
    "_statistics.statistics": ("FitStatistics",),
    "_statistics.diagnostics": ("ResidualDiagnostics",),
    "_statistics.bootstrap": ("Bootstrap",),
    "_instrument.deconvolution": ("DeconvolvedSizes",),
    "_results.io": ("load",),
    "_system.compile_cache": ("cache",),
    "_data.examples": ("example_map",),
    "_data.map": ("Map",),
    "_data.parts": ("join_parts",),
    "interop.files.formats": ("read",),
    "interop.widget.view": ("view",),
    "_problem.problem": ("SurfaceProblem",),
    "_derivatives.implicit": ("Implicit",),
    "_derivatives.sensitivity": ("Sensitivity",),
    "_many.fit_many": ("fit_many",),
    "_batches.cutouts": ("fit_cutouts",),
    "_many.batch_result": ("BatchResult",),
    "_batches.lazy": ("LazyBatch",),
    "_profiles.fit_profiles": ("fit_profiles",),
    "_profiles.profile_result": ("ProfileResult",),
    "_profiles.shapes": ("Exponential", "Lorentzian", "Moffat", "PseudoVoigt", "Sersic"),
    "_channels.fit": ("fit_channels",),
    "_channels.result": ("ChannelResult",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "fit",
    "fit_points",
    "AutoComponents",
    "fit_mixture",
    "ConstantBackground",
    "FunctionBackground",
    "PlaneBackground",
    "Adam",
    "Dogleg",
    "LevenbergMarquardt",
    "SuperimposedSignals",
    "Dense",
    "Streamed",
    "Tiled",
    "Bounds",
    "RandomStarts",
    "SurfacePrior",
    "MixturePrior",
    "BatchProgress",
    "MixtureProgress",
    "Progress",
    "GaussianSurface",
    "covariance_from_fwhm",
    "FitResult",
    "ComponentPath",
    "MixtureResult",
    "Status",
    "FLAGS",
    "ComponentFlag",
    "Uncertainty",
    "FitStatistics",
    "ResidualDiagnostics",
    "Bootstrap",
    "DeconvolvedSizes",
    "load",
    "cache",
    "example_map",
    "Map",
    "join_parts",
    "read",
    "view",
    "SurfaceProblem",
    "Solution",
    "solve",
    "Implicit",
    "Sensitivity",
    "fit_many",
    "fit_cutouts",
    "BatchResult",
    "LazyBatch",
    "fit_profiles",
    "ProfileResult",
    "Exponential",
    "Lorentzian",
    "Moffat",
    "PseudoVoigt",
    "Sersic",
    "fit_channels",
    "ChannelResult",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surfacefit' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
