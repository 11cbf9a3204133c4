"""Several maps at once: one set of Gaussians with shared centres and covariances, and amplitudes of their own in each.

parameters   free numbers (alpha_1..alpha_C, centre, shape) of each component, and the chain rule of each channel
maps         a user's maps, checked, as data of each channel
setup        units, weights and the problem on the device
problem      what is minimised
operators    Jacobian operators: channel by channel on any engine, or all in one pass over the tiles
curvature    J^T J of all channels from one set of overlaps
starts       one map that stands for all, and its fit as the start
fit          `fit_channels`: begin here
record       its numbers
result       what it returns
errors       standard errors
report       the summary
plot         the picture
io           files
"""
