"""Gaussian mixtures of points, by expectation-maximisation.

cloud                     Points with weights: the door of `fit_mixture`, and the units in which it works
expectation_maximization  Expectation-maximisation for Gaussian mixtures, as pure functions of arrays: they pass `jit`
fit                       `fit_mixture`: Gaussian mixtures of weighted points by expectation-maximisation
io                        A `MixtureResult` as a document with a version, and back
result                    What `fit_mixture` gives back: a Gaussian mixture with its likelihood, how it was reached, a
run                       A mixture fit on its way: compiled steps in chunks, components placed anew between them, the
sklearn                   To and from scikit-learn's `GaussianMixture`, which is imported only here and only when aske
starts                    Where the components of a mixture stand before the first step: drawn from the data, or given
"""
