r"""How far each amplitude stands above its error, noise that is correlated included.

With the derivatives J (N, P) of the weighted residuals, N = J^T J and the covariance R of the noise, the variance of an
amplitude a is

.. math:: [N^{-1} J^T R J N^{-1}]_{aa} = q_a^T R q_a, \qquad q_a = J N^{-1} e_a .

It does not depend on which free numbers the centres and covariances have, so that derivatives are taken here by the
numbers themselves, on the host: each component only within some widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from scipy import sparse

from .._data.effective_size import Noise
from .._model.background import FunctionBackground, NoBackground
from .._model.gaussian import profile
from .._model.surface import GaussianSurface
from .._periodic.host_images import HostImages
from .._periodic.nearest import nearest_offsets

# Widths (Mahalanobis) beyond which a component is left out: it is below 4e-6 of its height there.
CUTOFF_WIDTHS = 5.0
# Widths (Mahalanobis) within which a point belongs to a component, so that misfits on its flanks are measured by its
# height: beyond, it is below 0.04 % of that, and what is left there is no misfit of its shape.
LOCAL_WIDTHS = 4.0
# Parameters up to which J^T J is inverted; above, each component's own block is, which makes errors too small where
# components overlap.
MAX_JOINT_PARAMETERS = 2000
# On the unit diagonal of the scaled normal matrix: what the data do not determine then has an error of 1e5 times what
# it has alone.
RIDGE = 1e-10
# Columns whose variances are taken at a time: 64 columns of 100,000 points are 51 MB.
COLUMNS_AT_A_TIME = 64


def local_heights(surface: GaussianSurface, points: np.ndarray) -> np.ndarray:
    """The height (N,) of the highest component, without sign, that has a point (N, d) within `LOCAL_WIDTHS`; 0 where
    none has.
    """
    heights = np.zeros(len(points))
    for amplitude, center, covariance in zip(surface.amplitudes, surface.centers, surface.covariances, strict=True):
        offsets = nearest_offsets(points - center, surface.periods)
        near = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(covariance), offsets) <= LOCAL_WIDTHS**2
        heights[near] = np.maximum(heights[near], abs(amplitude))
    return heights


@dataclass(frozen=True, eq=False)
class LinearizedSurface:
    """A surface over a background with its derivatives at points (N, d), times weights (N,).

    ``shape`` is the covariance type. ``held`` (K, d) are the coordinates of centres that a limit holds.
    """

    surface: GaussianSurface
    background: Any
    points: np.ndarray
    weights: np.ndarray
    shape: str
    held: np.ndarray

    @cached_property
    def jacobian(self) -> sparse.csc_array:
        """J (N, P): a column for each amplitude, then those of each component, then those that all share."""
        amplitudes: list[sparse.csc_array] = []
        own: list[sparse.csc_array] = []
        shapes: list[sparse.csc_array] = []
        for k in range(self.surface.n_components):
            index, height, centre, shape = self._of_component(k)
            amplitudes.append(self._sparse(index, height))
            own.append(self._sparse(index, centre[:, ~self.held[k]]))
            (shapes if self.shape == "tied" else own).append(self._sparse(index, shape))
        shared = [sparse.csc_array(sum(shapes[1:], shapes[0]))] if shapes else []
        return sparse.csc_array(sparse.hstack([*amplitudes, *own, *shared, self._background()], format="csc"))

    @cached_property
    def basis(self) -> np.ndarray:
        """Orthonormal columns (N, P) that span the changes of the model; none where J^T J is too large."""
        if self.jacobian.shape[1] > MAX_JOINT_PARAMETERS:
            return np.zeros((len(self.points), 0))
        factor, scale = self._factor
        return np.asarray(scipy.linalg.solve_triangular(factor, (self.jacobian @ np.diag(scale)).T, lower=True).T)

    def significances(self, noise: Noise) -> np.ndarray:
        """Amplitudes (K,) over their errors, without sign."""
        count = self.surface.n_components
        errors = np.empty(count)
        for first in range(0, count, COLUMNS_AT_A_TIME):
            some = np.arange(first, min(first + COLUMNS_AT_A_TIME, count))
            responses, undetermined = self._responses(some)
            errors[some] = np.sqrt(noise.variances(responses) + noise.variance * undetermined)
        return np.asarray(np.abs(self.surface.amplitudes) / np.maximum(errors, 1e-300))

    def volume(self, noise: Noise) -> float:
        """How many points count as one for a component like these: the median over them of q^T R q / (s^2 q^T q) with
        their profiles q; at least 1.

        Noise that is correlated over many more points than a component is wide moves it less than a wide one.
        """
        profiles = self.jacobian[:, : self.surface.n_components]
        ratios = [1.0]
        for first in range(0, profiles.shape[1], COLUMNS_AT_A_TIME):
            some = profiles[:, first : first + COLUMNS_AT_A_TIME].toarray()
            squares = np.einsum("nk,nk->k", some, some)
            seen = squares > 0
            ratios += list(noise.variances(some[:, seen]) / (noise.variance * squares[seen]))
        return max(1.0, float(np.median(ratios[1:] or ratios)))

    def _responses(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """q_a = J N^-1 e_a (N, m) of these amplitudes, and what the data do not determine of them (m,): the part of
        [N^-1]_aa that only the ridge keeps finite.
        """
        if self.jacobian.shape[1] > MAX_JOINT_PARAMETERS:
            alone = np.stack([self._alone(int(k)) for k in some], axis=1)
            return alone, np.where(alone.any(axis=0), 0.0, 1 / RIDGE)
        factor, scale = self._factor
        units = np.zeros((len(scale), len(some)))
        units[some, np.arange(len(some))] = scale[some]
        inverse = scipy.linalg.cho_solve((factor, True), units)
        return np.asarray(self.jacobian @ (scale[:, None] * inverse)), RIDGE * np.einsum("pm,pm->m", inverse, inverse)

    def _alone(self, k: int) -> np.ndarray:
        """q_a (N,) where the other components stay; zeros where the data say nothing."""
        index, *columns = self._of_component(k)
        own, out = np.concatenate(columns, axis=1), np.zeros(len(self.points))
        out[index] = own @ np.linalg.pinv(own.T @ own, hermitian=True)[:, 0]
        return out

    @cached_property
    def _factor(self) -> tuple[np.ndarray, np.ndarray]:
        """The Cholesky factor of J^T J with a unit diagonal, and the scale (P,) that gives it that."""
        normal = np.asarray((self.jacobian.T @ self.jacobian).todense())
        diagonal = np.diag(normal)
        scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        scaled = normal * scale[:, None] * scale
        return np.linalg.cholesky(scaled + RIDGE * np.eye(len(scaled))), scale

    def _of_component(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where a component is not zero (n,), and its derivatives there by amplitude (n, 1), centre (n, d), shape."""
        amplitude, center, covariance = self.surface.amplitudes[k], self.surface.centers[k], self.surface.covariances[k]
        if self.surface.periods is None:
            return self._of_image(amplitude, center, covariance)
        deviations, ends = np.sqrt(np.diag(covariance))[None], (self.points.min(axis=0), self.points.max(axis=0))
        images = HostImages.of(center[None], deviations, self.surface.periods, *ends)
        found = [self._of_image(amplitude, own, covariance) for own in images.centers]
        index = np.unique(np.concatenate([one[0] for one in found]))
        totals = [np.zeros((len(self.points), column.shape[1])) for column in found[0][1:]]
        for where, *columns in found:
            for total, column in zip(totals, columns, strict=True):
                total[where] += column
        return index, totals[0][index], totals[1][index], totals[2][index]

    def _of_image(
        self, amplitude: float, center: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The same for one Gaussian."""
        reach = CUTOFF_WIDTHS * np.sqrt(np.diag(covariance))
        index = np.flatnonzero((np.abs(self.points - center) <= reach).all(axis=1))
        offsets = self.points[index] - center
        slopes = offsets @ np.linalg.inv(covariance)
        height = (self.weights[index] * profile(np.einsum("ni,ni->n", offsets, slopes)))[:, None]
        squares = slopes**2
        if self.shape == "spherical":
            squares = squares.sum(axis=1, keepdims=True)
        elif self.shape != "diag":
            rows, columns = np.tril_indices(slopes.shape[1])
            squares = slopes[:, rows] * slopes[:, columns]
        return index, height, amplitude * height * slopes, amplitude * height * squares

    def _sparse(self, index: np.ndarray, values: np.ndarray) -> sparse.csc_array:
        """Columns (N, m) with values (n, m) in the rows ``index``, and zeros elsewhere."""
        n, m = values.shape
        pointers = np.arange(m + 1) * n
        return sparse.csc_array((values.T.ravel(), np.tile(index, m), pointers), shape=(len(self.points), m))

    def _background(self) -> sparse.csc_array:
        """Columns (N, b) of the background; all kinds but functions are linear."""
        model = self.background
        if isinstance(model, FunctionBackground):
            points = jnp.asarray(self.points)
            columns = np.asarray(jax.jacfwd(lambda v: model.with_vector(v)(points))(model.vector()))
        elif isinstance(model, NoBackground):
            columns = np.zeros((len(self.points), 0))
        else:
            columns = np.column_stack([np.ones(len(self.points)), self.points])[:, : model.n_parameters]
        return sparse.csc_array(self.weights[:, None] * columns)
