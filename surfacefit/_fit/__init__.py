"""Calling a fit, and the way through it. Read `fit` first.

cli            The command line: `surfacefit fit`, `show` and `evaluate`
cli_actions    What the commands do
cli_options    The options of `fit` on the command line: a row each
cli_parser     The parser of the command line, with its help
fit            `fit` and `fit_points`: from a user's arrays to a `FitResult`
fitting        One fit: chooses the number of components if it is open, makes a start, runs the solver
make_result    From where the solver ended to a `FitResult` in the user's units
merging        Redundant components merged into their neighbours, one at a time, as long as the BIC falls
options        The keywords of `fit` become two records of checked options
resets         Components that have collapsed when a fit ends move to where the residual is highest
run_spec       How a fit runs, as a record of checked options
run_starts     The solver's run from each start, the best kept
solved_amplitudes  No fit that ends early is worse than its background alone
start_request  What a start works from, and a given start in the units of the fit
"""
