"""Derivatives of a fitted surface by all that it was fitted to.

stationarity   the gradient of the cost, which is zero at a minimum, and how it moves with data, limits and priors
hessian        the second derivatives of the cost, exact or those of Gauss and Newton, as an operator
newton_system  linear systems with them: what limits hold, what nothing determines, and the rest
implicit       `surfacefit.solve` with a derivative, and the last steps to the minimum
"""
