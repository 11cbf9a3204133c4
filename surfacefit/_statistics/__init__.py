"""What the numbers of a fit are worth: standard errors and statistics.

linearization           The problem of a result, linearised at its surface, and the variance of its residuals
constrained_directions  Directions of the parameters in which limits hold a fit, and those in which it is free
covariance_root         The covariance of the parameters: infinite for what limits hold or the data do not determine
tied_root               The same where numbers follow from others
whole_covariance        Errors of any function of a fit, from the covariance of all parameters
component_errors        Errors of numbers that depend on one component each, from that component's block
local_covariances       Errors of very many components, by nested dissection
sparse_normal           The normal matrix of very many components, as one small dense matrix for each tile
covariance_methods      "hessian", "sandwich" and "correlated": what errors assume about the noise
uncertainty             `Uncertainty`: the standard errors of a fit, under the names of its surface
bootstrap               Parametric bootstrap: refits to simulated data, as a check of linearised errors
redundancy              How much each component lowers the cost, and which ones the data do not support
statistics              Chi-squared, likelihood, AIC, AICc and BIC of a fit
diagnostics             Whether residuals look like noise: autocorrelation, runs, outliers
"""
