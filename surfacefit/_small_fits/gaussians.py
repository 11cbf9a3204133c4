r"""A few Gaussians over a constant in each of many lanes, and their derivatives.

Parameters (P, B) of B lanes stand in each column as `_model/block_layout` says, with the free numbers of
`_model/amplitudes` and `_model/covariance`. The lanes are the last axis of every array, which a CPU works off in
vectors and a GPU in threads. With u = L^{-1} (x - c), v = L^{-T} u and g = exp(-|u|^2 / 2) the derivatives of a g are

    df/da = g,      df/dc_i = a g v_i,      df/dL_mn = a g v_m u_n   (m >= n),

so a column of the Jacobian is a product of g, u and v at each point, times one number a lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.block_layout import ALPHA, BlockLayout, center_columns
from .._model.covariance import COVARIANCE_TYPES
from .._model.covariance.base import positive
from .algebra import sum_of


class Component(NamedTuple):
    """One component in all lanes, of arrays (B,): the lower factor L by rows, and the slopes of the free numbers."""

    amplitude: Array
    amplitude_slope: Array
    center: list[Array]
    factor: list[list[Array]]
    width_slopes: list[Array]


@dataclass(frozen=True)
class SmallModel:
    """K Gaussians in d dimensions over a constant: names as the options of `fit`, of all lanes alike.

    ``covariance_type`` is "spherical", "diag" or "full", ``amplitudes`` "positive" or "signed".
    """

    n_components: int
    n_dim: int
    covariance_type: str = "full"
    amplitudes: str = "positive"

    @property
    def layout(self) -> BlockLayout:
        shape_size = COVARIANCE_TYPES[self.covariance_type].n_parameters(self.n_dim)
        return BlockLayout(self.n_components, self.n_dim, center_columns(self.n_dim).stop + shape_size, 0, 1)

    @property
    def n_parameters(self) -> int:
        return self.layout.n_parameters

    def components(self, params: list[Array], floor: Array) -> list[Component]:
        """The components that P arrays (B,) stand for, with widths above ``floor`` (d,)."""
        size = self.layout.block_size
        return [self._component(params[k * size : (k + 1) * size], floor) for k in range(self.n_components)]

    def _component(self, block: list[Array], floor: Array) -> Component:
        amplitude, shape, d = AMPLITUDE_TYPES[self.amplitudes], block[self.layout.shapes], self.n_dim
        if self.covariance_type == "spherical":
            floor, shape = jnp.broadcast_to(floor.max(), (d,)), shape * d
        zero = jnp.zeros_like(block[ALPHA])
        factor = [[zero] * i + [floor[i] + positive(shape[i])] for i in range(d)]
        if self.covariance_type == "full":
            for entry, (i, j) in zip(shape[d:], strictly_lower(d), strict=True):
                factor[i][j] = entry
        alpha = block[ALPHA]
        return Component(
            amplitude.value(alpha),
            amplitude.slope(alpha),
            block[self.layout.centers],
            factor,
            [jax.nn.sigmoid(number) for number in shape[:d]],
        )

    def columns(self, component: Component, points: Array) -> tuple[Array, list[Array]]:
        """g (N, B) at points (N, d), and what g is multiplied by in each column of the block but the first."""
        d, factor = self.n_dim, component.factor
        u = _forward(factor, [points[:, i, None] - component.center[i] for i in range(d)])
        v = _backward(factor, u)
        widths = [v[i] * u[i] for i in range(d)]
        if self.covariance_type == "spherical":
            widths = [sum_of(widths)]
        if self.covariance_type == "full":
            widths += [v[i] * u[j] for i, j in strictly_lower(d)]
        return jnp.exp(-0.5 * sum_of(x * x for x in u)), [*v, *widths]

    def factors(self, component: Component) -> list[Array]:
        """What each column of the block is multiplied by in each lane, arrays (B,)."""
        a, n_shapes = component.amplitude, self.layout.block_size - self.layout.shapes.start
        slopes = component.width_slopes[: min(self.n_dim, n_shapes)]
        shapes = [a * slope for slope in slopes] + [a] * (n_shapes - len(slopes))
        return [component.amplitude_slope, *[a] * self.n_dim, *shapes]

    def whitened(self, component: Component, step: list[Array]) -> list[Array]:
        """The entries (B,) of L^{-1} dc and L^{-1} dL for a change of the block: moves in widths of the component."""
        d, factor = self.n_dim, component.factor
        shape = step[self.layout.shapes]
        if self.covariance_type == "spherical":
            return [move / factor[0][0] for move in [*step[self.layout.centers], component.width_slopes[0] * shape[0]]]
        lower = [[component.width_slopes[j] * shape[j] if i == j else None for j in range(d)] for i in range(d)]
        if self.covariance_type == "full":
            for entry, (i, j) in zip(shape[d:], strictly_lower(d), strict=True):
                lower[i][j] = entry
        zero = jnp.zeros_like(step[ALPHA])
        dense = [[zero if entry is None else entry for entry in row] for row in lower]
        stretched = [move for j in range(d) for move in _forward(factor, [dense[i][j] for i in range(d)])]
        return [*_forward(factor, step[self.layout.centers]), *stretched]


def strictly_lower(n_dim: int) -> list[tuple[int, int]]:
    """Rows and columns below the diagonal, in the order of the free numbers of a full covariance."""
    return [(int(i), int(j)) for i, j in zip(*np.tril_indices(n_dim, -1), strict=True)]


def _forward(factor: list[list[Array]], rows: list[Array]) -> list[Array]:
    """L^{-1} rows."""
    solution: list[Array] = []
    for i, row in enumerate(rows):
        solution.append((row - sum_of(factor[i][j] * solution[j] for j in range(i))) * (1 / factor[i][i]))
    return solution


def _backward(factor: list[list[Array]], rows: list[Array]) -> list[Array]:
    """L^{-T} rows."""
    size = len(rows)
    solution = list(rows)
    for i in reversed(range(size)):
        rest = sum_of(factor[j][i] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i] - rest) * (1 / factor[i][i])
    return solution
