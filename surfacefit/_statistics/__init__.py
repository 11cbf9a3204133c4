"""What the numbers of a fit are worth.

bootstrap          Parametric bootstrap: the fit refitted to its own surface under fresh noise, many times, as a check
component_errors   Standard errors of numbers that depend on one component each, from that component's block of the co
covariances        The covariance of a fit's parameters as a root, and what it says of other numbers
diagnostics        Whether residuals look like noise: autocorrelation, runs, and outliers
constrained_directions  Axes of the parameters along which limits hold a fit
linearization      The problem that a result solved, built anew at its surface: what errors, worths and refits begin f
local_covariances  Errors of very many components: the inverse by nested dissection, exact but for tails of components
plot_residuals     The picture of residual diagnostics
redundancy         What each component of a result is worth, and which ones the data do not call for
sparse_normal      The normal matrix of very many components as one small dense matrix a tile, for the inverse by nest
statistics         How good a fit is, in the numbers that are usually quoted
uncertainty        Errors of a fit, and of whatever follows from it
"""
