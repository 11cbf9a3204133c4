"""Fits of maps that stay on disk: windows of the map are read one after another, each point once a step.

checkpoint    Where a fit stands, in a file that is whole whenever a process is killed
fit_streamed  The way of such a fit: read first
map_passes    A pass over the map: every point is read once, and gives its part of the cost and of the gradient
map_reader    The windows of a map, checked against what they held at first
planner       A pass where the solver wants to go, and the lists from which J^T J is made there
problem       What a solver sees of the map: sums at two sets of parameters
result        A `FitResult` whose data are averages
run           The solver's run, which goes on from a checkpoint
setup         Units, parameters and limits, as for a fit in memory
starts        A start that is given, or one that is fitted to averages
survey        The first pass: counts, mean and spread, a sample, averages
watching      Who sees how far a fit has come
window_sums   What one window adds to the sums: the compiled pass
"""
