"""Solvers: pick one of these, by name or as an object with settings. ``loop`` runs whichever is picked.

A new one is one new file, its line below and its name in `SOLVERS`.

base                  the contract, and what most solvers share of it
choice                the option ``solver``: the check of a name or of an object
loop                  compiled chunks of steps; the best iterate is kept whatever happens
lane_buckets          The same for many lanes at once on an accelerator, which end by themselves
quadratic_state       where second-order solvers stand between steps
linearization         the quadratic model at a state, in the place of the last one
kept_cost             whether a cost outlasts a new plan
distance              how far the minimum is in standard errors, from one step that is next to undamped
quadratic_steps       what second-order solvers share: trial steps, constraints, new plans, stop rules
levenberg_marquardt   damped Gauss-Newton steps: the default
dogleg                Powell's dogleg: it steps in a radius of its own; the trust region of all second-order solvers is
                      `within_trust_region` in ``_problem/problem.py``
superimposed_signals  expectation-maximisation, each component by itself
adam                  first-order steps
work                  what growth and search cost in nominal seconds, so that budgets do not depend on the clock
"""

from .adam import Adam
from .base import Solver
from .choice import checked_solver
from .dogleg import Dogleg
from .levenberg_marquardt import LevenbergMarquardt
from .loop import Limits, Record, Solution, SolverRun, advance, begin, run, solve
from .superimposed_signals import SuperimposedSignals

SOLVERS: dict[str, type[Solver]] = {
    "lm": LevenbergMarquardt,
    "dogleg": Dogleg,
    "adam": Adam,
    "superimposed": SuperimposedSignals,
}

__all__ = [
    "SOLVERS",
    "Adam",
    "Dogleg",
    "LevenbergMarquardt",
    "Limits",
    "Record",
    "Solution",
    "Solver",
    "SolverRun",
    "SuperimposedSignals",
    "advance",
    "begin",
    "checked_solver",
    "run",
    "solve",
]
