"""The standard errors and the flags of very many fits, at once as far as arrays tell them.

batch_errors      Of all fits of a batch: read first
batch_flags       What to know of all components of a batch
error_lanes       Fits in groups of one form, as problems and the parameters where they ended
lane_covariances  Covariances of the parameters of many fits, by one program
precise_covariances  The same where these are near rounding
lane_slopes       How the numbers of a surface change with its parameters, for many fits
"""
