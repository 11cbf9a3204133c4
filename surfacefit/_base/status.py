"""Why a fit ended: one table of codes, each with its cause and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """Why a fit ended, as the code that compiled loops carry.

    CONVERGED_COST, CONVERGED_STEP, CONVERGED_GRADIENT, CONVERGED_SLOWLY, EXACT and PRECISION are successes; MAX_STEPS,
    MAX_TIME, INTERRUPTED, STOPPED (by the callback), PROCESS_LOST (one of several), MAX_MEMORY, NO_PLAN, VALLEY,
    IMPRECISE, NON_FINITE, ILL_CONDITIONED and SINGULAR (mixtures only) keep the best found; EMPTY, TOO_FEW_POINTS and
    UNUSABLE are maps of `fit_many` that cannot be fitted; RUNNING, UNEVALUATED and REPLAN are met inside a fit only.
    What each means, and what to do next, is in ``message`` of the result.
    """

    RUNNING = 0
    CONVERGED_COST = 1
    CONVERGED_STEP = 2
    CONVERGED_GRADIENT = 3
    EXACT = 4
    PRECISION = 5
    MAX_STEPS = 6
    MAX_TIME = 7
    INTERRUPTED = 8
    STOPPED = 9
    NON_FINITE = 10
    ILL_CONDITIONED = 11
    CONVERGED_SLOWLY = 12
    REPLAN = 13
    MAX_MEMORY = 14
    SINGULAR = 15
    UNEVALUATED = 16
    NO_PLAN = 17
    VALLEY = 18
    IMPRECISE = 19
    EMPTY = 20
    TOO_FEW_POINTS = 21
    UNUSABLE = 22
    PROCESS_LOST = 23


# Standard errors of the parameters together: the distance from the minimum up to which a fit counts as at it. It moves
# no error bar visibly.
MAX_DISTANCE = 0.3
# Ends by a limit of the whole fit: nothing further is tried, and what was not tried says nothing.
LIMIT_STATUSES = (Status.STOPPED, Status.INTERRUPTED, Status.MAX_TIME, Status.PROCESS_LOST)
# Ends where nothing lower is near although the minimum is not: the fit is as low as steps take it.
UNSETTLED_STATUSES = (Status.VALLEY, Status.IMPRECISE)


@dataclass(frozen=True)
class StatusEntry:
    """Whether the fit may be called converged, what happened, and what to do next."""

    success: bool
    message: str
    advice: str = ""


STATUS: dict[Status, StatusEntry] = {
    Status.RUNNING: StatusEntry(False, "the fit has not ended"),
    Status.UNEVALUATED: StatusEntry(False, "the cost of the start has not been taken"),
    Status.REPLAN: StatusEntry(False, "the plan of the tiled engine must be renewed before the next step"),
    Status.CONVERGED_COST: StatusEntry(True, "converged: the cost no longer falls by more than `ftol`"),
    Status.CONVERGED_STEP: StatusEntry(True, "converged: the steps are shorter than `xtol`"),
    Status.CONVERGED_GRADIENT: StatusEntry(True, "converged: the gradient is below `gtol`"),
    Status.CONVERGED_SLOWLY: StatusEntry(
        True,
        "converged for practical purposes: over the last `patience` steps the cost fell by less than `slack`, and a"
        " minimum is nearer than `distance` standard errors",
        "For the last digits, continue with `init=result.surface, solver=sf.LevenbergMarquardt(slack=0)`.",
    ),
    Status.VALLEY: StatusEntry(
        False,
        "stopped in a valley without a near end: the cost now falls by far less than the noise, but the"
        " parameters are still further than `distance` standard errors from a minimum",
        "The heights are met as well as they will be, but some parameters are not determined: see the flags; use fewer"
        " components or `bounds`.",
    ),
    Status.IMPRECISE: StatusEntry(
        False,
        "stopped because no step lowers the cost at this floating-point precision, though the parameters may be further"
        " than `distance` standard errors from a minimum",
        "The heights are met as well as they will be in this precision: try dtype='float64'; where that is in use, see"
        " the flags for what is not determined.",
    ),
    Status.EXACT: StatusEntry(
        True,
        "converged: the surface meets the heights to rounding, or to 1e-5 of their spread where it would creep on",
    ),
    Status.PRECISION: StatusEntry(True, "converged: no step lowers the cost at this floating-point precision"),
    Status.MAX_STEPS: StatusEntry(
        False,
        "stopped at `max_steps` before convergence",
        "Give the solver more `max_steps`, or continue with `init=result.surface`.",
    ),
    Status.MAX_TIME: StatusEntry(
        False,
        "stopped at `max_time` with the best surface so far",
        "Allow more `max_time`, or continue with `init=result.surface`.",
    ),
    Status.MAX_MEMORY: StatusEntry(
        False,
        "stopped because the components have grown so much that the next step would exceed `max_memory`; the best"
        " surface so far is kept",
        "Allow more `max_memory`, a larger cutoff (`engine=sf.Tiled(cutoff=1e-4)`), or dtype='float32'.",
    ),
    Status.NO_PLAN: StatusEntry(
        False,
        "stopped because no plan of the tiled engine serves for the next step at this floating-point precision; the"
        " best surface so far is kept",
        "Use engine='dense', dtype='float64' or fewer components.",
    ),
    Status.INTERRUPTED: StatusEntry(
        False, "interrupted from the keyboard; the best surface so far is kept", "Continue with `init=result.surface`."
    ),
    Status.STOPPED: StatusEntry(False, "stopped by the callback; the best surface so far is kept"),
    Status.PROCESS_LOST: StatusEntry(
        False,
        "stopped because another process of the fit has ended or does not answer; the best surface so far is kept",
        "Save it, and start all processes again with `init=` this surface.",
    ),
    Status.NON_FINITE: StatusEntry(
        False,
        "stopped because the cost or its derivatives are not finite; the best surface so far is kept",
        "Look for a background function that is not finite; where heights or `sigma` span many decades, try"
        " dtype='float64'.",
    ),
    Status.ILL_CONDITIONED: StatusEntry(
        False,
        "the linear system of a step is too ill-conditioned for this solver",
        "Use the default solver, which then goes on by QR, or fewer components.",
    ),
    Status.EMPTY: StatusEntry(False, "not fitted: no height of this map can be used"),
    Status.TOO_FEW_POINTS: StatusEntry(
        False,
        "not fitted: there are more parameters than points of this map",
        "Use fewer components for it, or covariance_type='spherical'.",
    ),
    Status.UNUSABLE: StatusEntry(
        False,
        "not fitted: this map has an infinite height, heights whose squares are too large or small to be numbers, or a"
        " `sigma` that is not positive",
        "`fit` of this map alone says which; make such points NaN, or rescale.",
    ),
    Status.SINGULAR: StatusEntry(
        False,
        "stopped because a covariance became singular; the best mixture so far is kept",
        "Use `reset=True`, a larger `min_width`, or `prior=sf.MixturePrior()`; or fewer components.",
    ),
}

MIXTURE_STATUS: dict[Status, StatusEntry] = {
    Status.CONVERGED_COST: StatusEntry(
        True, "converged: the log-likelihood per point no longer changes by more than `tol`"
    ),
    Status.PRECISION: StatusEntry(True, "converged: a step changes the log-likelihood no more than rounding does"),
    Status.MAX_STEPS: StatusEntry(
        False, "stopped at `max_steps` before convergence", "Allow more `max_steps`, or continue with `init=result`."
    ),
    Status.MAX_TIME: StatusEntry(
        False,
        "stopped at `max_time` with the best mixture so far",
        "Allow more `max_time`, or continue with `init=result`.",
    ),
    Status.INTERRUPTED: StatusEntry(
        False, "interrupted from the keyboard; the best mixture so far is kept", "Continue with `init=result`."
    ),
    Status.STOPPED: StatusEntry(False, "stopped by the callback; the best mixture so far is kept"),
    Status.SINGULAR: STATUS[Status.SINGULAR],
}
