"""The door, and the way through. Read `fit` first.

cli      The command line: `surfacefit fit`, `show` and `evaluate`
fit      `fit` and `fit_points`: the way of the data from a user's arrays to a `FitResult`
fitting  One fit from checked data to a `FitResult`: the number of components if that is to be chosen, a beginning, th
merging  Redundant components merged into their neighbours, one at a time, as long as the data call for fewer
options  The options of a fit, checked before any work: what is to be fitted, and how
resets   Components with nothing to do at the solver's end get the places where the residual is highest
run_starts  The solver's run from each start, the best kept
"""
