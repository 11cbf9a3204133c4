"""Gaussian mixtures of points, by expectation-maximisation.

fit                       `fit_mixture`: reads the options, and follows a fit from the user's arrays to the result
mixture_data              Points with weights: input validation, and the units in which a fit works
starts                    Where components stand before the first step: drawn from the data, or given
setup                     From options and data to a start, and from the end of a run to a result
mixture_model             A mixture on the device, and its log-densities
expectation_maximization  E and M steps, and the loop over them, as pure functions of arrays
run                       One fit: compiled steps in chunks, resets between them, the best iterate kept
resets                    Which components have collapsed, and where they are placed again
record                    What a fit found, as a record, and the quantities that follow from it
result                    `MixtureResult`: the record with its tables, files, plots and scikit-learn
evaluation                Functions of a mixture at a user's points
report                    The summary of a mixture
io                        A `MixtureResult` as a versioned file, and back
sklearn                   To and from scikit-learn's `GaussianMixture`
"""
