"""Derivatives of a fitted surface by all that it was fitted to.

stationarity     the gradient of the cost, which is zero at a minimum, and how it moves with data, limits and priors
hessian          the second derivatives of the cost, exact or those of Gauss and Newton, as an operator
width_manifold   minima at limits of principal widths, which are curved
faint_components components so low that nothing is said of where they are
preconditioners  approximate inverses of them, from blocks of overlapping components where the engine has such
newton_system    linear systems with them: what limits hold, what nothing determines, and the rest
implicit         `surfacefit.solve` with a derivative, and the last steps to the minimum
fitted_minimum   the minimum behind a result of `fit`
sensitivity      the same for a result of `fit`, in the user's units and the shape of the data
influence        what single heights, and whole blocks of them, do to the fit at their own places
"""
