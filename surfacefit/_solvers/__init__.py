"""Solvers: pick one of these, by name or as an object with settings. ``loop`` runs whichever is picked.

base                  the contract
loop                  compiled chunks of steps; the best iterate is kept whatever happens
levenberg_marquardt   damped Gauss-Newton steps: the default
superimposed_signals  expectation-maximisation, each component by itself
adam                  first-order steps
"""

from .adam import Adam
from .base import Solver
from .levenberg_marquardt import LevenbergMarquardt
from .loop import Limits, Record, Solution, SolverRun, advance, begin, run, solve
from .superimposed_signals import SuperimposedSignals

SOLVERS: dict[str, type[Solver]] = {"lm": LevenbergMarquardt, "adam": Adam, "superimposed": SuperimposedSignals}

__all__ = [
    "SOLVERS",
    "Adam",
    "SolverRun",
    "LevenbergMarquardt",
    "Limits",
    "Record",
    "Solution",
    "Solver",
    "SuperimposedSignals",
    "advance",
    "begin",
    "run",
    "solve",
]
