"""surfacefit: fits surfaces and other data on grids or scattered points by sums of scaled Gaussians.

The names below come in this order: what to call, what to choose from, what comes back, and the JAX core under it.
"""

from ._fit.fit import fit, fit_points
from ._results.criteria import AutoComponents
from ._mixture.fit import fit_mixture
from ._model.background import ConstantBackground, FunctionBackground, PlaneBackground
from ._solvers import Adam, Dogleg, LevenbergMarquardt, SuperimposedSignals
from ._engines.engines import Dense, Tiled
from ._constraints.bounds import Bounds
from ._starts import RandomStarts
from ._constraints.prior import SurfacePrior
from ._constraints.mixture_regularization import MixturePrior
from ._base.progress import MixtureProgress, Progress
from ._model.surface import GaussianSurface
from ._results.result import FitResult
from ._results.criteria import ComponentPath
from ._mixture.result import MixtureResult
from ._base.status import Status
from ._results.flags import FLAGS, ComponentFlag
from ._statistics.uncertainty import Uncertainty
from ._statistics.statistics import FitStatistics
from ._statistics.diagnostics import ResidualDiagnostics
from ._statistics.bootstrap import Bootstrap
from ._results.io import load
from ._data.examples import example_map
from ._problem.problem import SurfaceProblem
from ._solvers import Solution, solve

__version__ = "0.1.0"

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
    "Tiled",
    "Bounds",
    "RandomStarts",
    "SurfacePrior",
    "MixturePrior",
    "MixtureProgress",
    "Progress",
    "GaussianSurface",
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
    "load",
    "example_map",
    "SurfaceProblem",
    "Solution",
    "solve",
]
