"""Estimators for scikit-learn: surfaces as regressors, mixtures, and cross-validation by blocks of space.

GaussianSurfaceRegressor  `sf.fit_points` as a regressor
GaussianMixtureEM         `sf.fit_mixture` with the interface of scikit-learn's `GaussianMixture`
SpatialBlocks             splits for cross-validation, which leave out whole blocks of space

Needs scikit-learn: ``pip install 'surfacefit[sklearn]'``. ``import surfacefit`` alone does not import it.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("`surfacefit.sklearn` needs scikit-learn: pip install 'surfacefit[sklearn]'") from error

from ._estimators.mixture import GaussianMixtureEM
from ._estimators.regressor import GaussianSurfaceRegressor
from ._estimators.spatial_blocks import SpatialBlocks

__all__ = ["GaussianMixtureEM", "GaussianSurfaceRegressor", "SpatialBlocks"]
