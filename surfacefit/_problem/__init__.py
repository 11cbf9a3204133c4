"""What a solver sees, and its way to the device. Read `problem_setup` first.

amplitude_errors  How far each amplitude stands above its error, noise that is correlated included
base           The contract between a problem and a solver
capacity       How many points and components a compiled program has room for
evaluation     Heights of many components at many points: each component only where it is not zero to rounding
internal_data  Points, heights and weights in the units of the fit, made once from the user's data
model_spec     What is fitted, as a record of checked options
option         Options of `fit` as fields of a record, each with its rule beside it
planning       Plans for the tiled engine, made on the host: which lists, at which capacity, for which components
prepared       A problem on the device together with its data and units, and the ways back to the user's units
objective      What a fit minimises: the misfit of a sum of Gaussians under a loss, and a prior
problem        The problem that is fitted: an objective, and how far a step may go (the trust region)
loss_views     Jacobians and weights under a loss, a prior's cost and what it holds, for errors, searches and criteria
problem_setup  From checked data and a model to a problem on the device
removal_cost   What each component is worth: how much the cost would rise without it, after the others have adapted
"""
