"""Estimators for scikit-learn, which is imported here only: the public names are those of `surfacefit.sklearn`.

regressor         `GaussianSurfaceRegressor`: a fitted surface predicts heights
mixture           `GaussianMixtureEM`: Gaussian mixtures with the interface of scikit-learn's `GaussianMixture`
mixture_starts    Starts of mixtures by scikit-learn's names, and those that a user gives in part
options           Parameters of estimators as options of `fit` and `fit_mixture`
sample_weights    Weights of samples: checked, and equal rows merged into one
background_alone  The fit of a background without components
spatial_blocks    `SpatialBlocks`: splits for cross-validation, which leave out whole blocks of space
"""
