"""Solvers: pick one of these, by name or as an object with settings. ``_loop`` runs whichever is picked."""

from ._adam import Adam
from ._base import Solver
from ._levenberg_marquardt import LevenbergMarquardt
from ._loop import Lane, Limits, Record, Solution, advance, begin, run, solve
from ._superimposed_signals import SuperimposedSignals

SOLVERS: dict[str, type[Solver]] = {"lm": LevenbergMarquardt, "adam": Adam, "superimposed": SuperimposedSignals}

__all__ = [
    "SOLVERS",
    "Adam",
    "Lane",
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
