"""Errors of very many components: diagonal blocks of the inverse, by nested dissection.

Exact, except that the tails of components are cut off (`sparse_normal.TAIL_WIDTHS`); of more than MAX_WHOLE_COMPONENTS
region by region, from the data of the region and its halo alone: what is neglected makes errors larger.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._constraints.box import bound_tolerance
from .._engines.engines import EngineChoice, Tiled
from .._engines.jacobian import background_rows
from .._linear.dissection import Elements
from .._linear.regional_inverse import inverse_blocks_by_regions
from .._linear.selected_inverse import inverse_blocks
from .._model.block_layout import block_indices
from .._model.parameters import ChainRule, factor_slopes
from .._problem.base import half_square
from .._problem.loss_views import information_jacobian
from .._problem.prepared import Prepared, fixed_parameters, used_parameters
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup
from .component_errors import ComponentErrors, component_slopes
from .constrained_directions import ConstrainedDirections, constrained_directions
from .covariance_root import MIN_DIAGONAL
from .linearization import model_of, params_of, residual_deviation
from .sparse_normal import TileNormals

if TYPE_CHECKING:
    from .._results.result import FitResult

# On the unit diagonal of the scaled normal matrix: makes it definite where components can stand in for each other.
SCALED_RIDGE = 1e-12

# Diagonal entry of the inverse of the scaled matrix above which a number counts as undetermined: a thousandth of what
# the ridge alone would give, 1 / SCALED_RIDGE.
MAX_SCALED_VARIANCE = 1e9


# Components up to which the whole matrix is dissected: memory grows faster than their number, and 10,000 take 2 GB.
MAX_WHOLE_COMPONENTS = 20_000

# Components of a region, without its halo, of more: a compromise, as larger ones take more memory and have less halo.
REGION_COMPONENTS = 4000

# Median widths of the components that a region's halo reaches: 99.9 % of the errors of 2,000 components are then within
# 5 % of those from all data, with half as many 78 %.
REGION_HALO_WIDTHS = 12.0


class Pieces(NamedTuple):
    """What the normal matrix is made of, with room for idle components.

    centers, factors, chain : of the components, as in `TileNormals`.
    information, background : (N,) and (N, b), by point on the device.
    blocks, corner : diagonal blocks (K, p, p) and border (s + b, s + b) of the matrix, with the prior.
    gradient : (P,) of the cost.
    prior_own, prior_border : what the prior adds to blocks and border.
    factor_slopes : d tril(L) / d shape (K, T, s) of the Cholesky factors.
    cost : of the data.
    """

    centers: Array
    factors: Array
    chain: ChainRule
    information: Array
    background: Array
    blocks: Array
    corner: Array
    gradient: Array
    prior_own: Array
    prior_border: Array
    factor_slopes: Array
    cost: Array


def local_errors(result: FitResult) -> ComponentErrors:
    """Errors of single components."""
    if result.settings.periods is not None:
        raise ValueError(
            f"errors of so many parameters do not know `periods`, got {result.n_parameters} parameters: fit a part of"
            " the map, or fewer components"
        )
    prepared, problem, params = _tiled_problem(result)
    pieces = jax.tree.map(np.asarray, _pieces(problem, params))
    host, near = prepared.host_fixing(params), bound_tolerance(result.settings.dtype)
    axes = constrained_directions(host, params, pieces.gradient, near)
    pieces = _along(axes, pieces)
    used, count = used_parameters(prepared), result.n_components
    fixed, held = fixed_parameters(prepared)[used], axes.constrained[used]
    diagonal = np.append(np.einsum("kpp->kp", pieces.blocks).ravel(), np.diag(pieces.corner))[used]
    unknown = (diagonal <= MIN_DIAGONAL) | (held & ~fixed)
    scale = np.where(unknown | fixed, 0.0, 1 / np.sqrt(np.where(diagonal > MIN_DIAGONAL, diagonal, 1.0)))
    elements = _tile_normals(prepared, problem, pieces, count).elements(scale, np.where(scale == 0, 1.0, SCALED_RIDGE))
    blocks, corner = _indices(count, problem)
    own, border = _inverse(elements, blocks, corner, pieces)
    in_no_tile = np.logical_not(elements.met())[blocks[:, :1]] & (scale[blocks] > 0)
    own_unknown = unknown[blocks] | (np.einsum("kmm->km", own) > MAX_SCALED_VARIANCE) | in_no_tile
    border_unknown = unknown[corner] | (np.diag(border) > MAX_SCALED_VARIANCE)
    at_width_limit = (axes.constrained & ~axes.at_box)[used][blocks]
    back, unit = axes.together(count), residual_deviation(result, prepared, float(pieces.cost)) ** 2
    own = np.einsum("km,kn->kmn", scale[blocks], scale[blocks]) * own
    directions = back * (axes.lengths[used][blocks] * (own_unknown & ~at_width_limit))[:, None]
    return ComponentErrors(
        slopes=component_slopes(prepared, params, np.asarray(pieces.factor_slopes)),
        blocks=unit * np.matmul(back, np.matmul(own, back.swapaxes(1, 2))),
        undetermined=np.concatenate([directions, axes.undetermined_changes(count)], axis=2),
        background=unit * np.outer(scale[corner], scale[corner]) * border,
        background_undetermined=np.diag(border_unknown * 1.0),
    )


def _inverse(
    elements: Elements, blocks: np.ndarray, corner: np.ndarray, pieces: Pieces
) -> tuple[np.ndarray, np.ndarray]:
    """The inverse at the components' blocks and at the background's: whole, or of very many components by regions."""
    count = len(blocks)
    if count <= MAX_WHOLE_COMPONENTS:
        return inverse_blocks(elements, blocks, corner)
    factors = np.asarray(pieces.factors)[:count]
    widths = np.median(np.sqrt(np.einsum("kij,kij->ki", factors, factors)), axis=0)
    home = homes(elements, blocks[:, 0], np.asarray(pieces.centers)[:count])
    n_regions = -(-count // REGION_COMPONENTS)
    return inverse_blocks_by_regions(elements, blocks, corner, home, REGION_HALO_WIDTHS * widths, n_regions)


def homes(elements: Elements, first: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The tile (K,) nearest to each centre among those that hold the component's ``first`` unknown; -1 for none."""
    home, least = np.full(len(first), -1), np.full(len(first), np.inf)
    component = np.full(len(elements.extra), -1)
    component[first] = np.arange(len(first))
    for t, members in enumerate(elements.members):
        here = component[members]
        here = here[here >= 0]
        distance = np.linalg.norm(centers[here] - elements.middles[t], axis=1)
        nearer = here[distance < least[here]]
        home[nearer], least[nearer] = t, distance[distance < least[here]]
    return home


def _tiled_problem(result: FitResult) -> tuple[Prepared, SurfaceProblem, np.ndarray]:
    """The problem of a result for the tiled engine, in double precision, planned at its parameters (P,)."""
    engine = EngineChoice(Tiled(normal="products"), float("inf"))
    prepared = problem_setup(result.data, model_of(result), np.dtype(np.float64), engine)
    params = params_of(result, prepared)
    assert prepared.planner is not None
    on_device = jnp.asarray(params)
    return prepared, prepared.planner(prepared.fixing(params), on_device, on_device), params


def _along(axes: ConstrainedDirections, pieces: Pieces) -> Pieces:
    """The pieces for parameters along the axes of the limits."""
    own, border = axes.own.swapaxes(1, 2), axes.border.T
    return pieces._replace(
        chain=ChainRule(np.matmul(pieces.chain.own, axes.own), np.matmul(pieces.chain.shared, axes.shared)),
        blocks=np.matmul(own, np.matmul(pieces.blocks, axes.own)),
        corner=border @ pieces.corner @ axes.border,
        prior_own=np.matmul(own, np.matmul(pieces.prior_own, axes.own)),
        prior_border=border @ pieces.prior_border @ axes.border,
    )


def _tile_normals(prepared: Prepared, problem: SurfaceProblem, pieces: Pieces, count: int) -> TileNormals:
    assert prepared.planner is not None
    return TileNormals(
        tiling=prepared.planner.tiling,
        centers=np.asarray(pieces.centers)[:count],
        factors=np.asarray(pieces.factors)[:count],
        points=prepared.by_point(problem.points),
        information=prepared.by_point(pieces.information),
        chain=ChainRule(pieces.chain.own[:count], pieces.chain.shared[:count]),
        background=prepared.by_point(pieces.background),
        prior_own=np.asarray(pieces.prior_own)[:count],
        prior_border=np.asarray(pieces.prior_border),
    )


def _indices(count: int, problem: SurfaceProblem) -> tuple[np.ndarray, np.ndarray]:
    """Unknowns (K, p + s) of each component with the shared shape, and those (b,) of the background."""
    layout = replace(problem.parameterization.layout, n_components=count)
    own, border = block_indices(np.arange(count), layout.block_size), layout.n_own + np.arange(layout.n_border)
    shared = np.broadcast_to(border[layout.shared_shape], (count, layout.n_shared))
    return np.concatenate([own, shared], axis=1), border[layout.background]


def pieces(problem: SurfaceProblem, params: Array) -> Pieces:
    """The pieces at parameters (P,), on the device."""
    parts = problem.parameterization
    components = parts.components(params)
    chain = parts.chain(params, components)
    model = problem.engine.model(problem.points, components)
    blocks, corner = information_jacobian(problem, params).block_diagonal()
    residuals, jacobian = problem.linearize(params)
    ones = jnp.ones_like(problem.heights)
    own, border = jnp.zeros_like(blocks), jnp.zeros_like(corner)
    if problem.penalty is not None:
        slopes = problem.penalty.slopes(parts, params)
        own = jnp.einsum("kmp,kmq->kpq", slopes.own, slopes.own, precision="highest")
        border = jnp.matmul(slopes.border.T, slopes.border, precision="highest")
    return Pieces(
        centers=components.centers,
        factors=components.factors,
        chain=chain,
        information=problem.loss.information(model, problem.heights, problem.weights),
        background=background_rows(problem.points, ones, components).T,
        blocks=blocks,
        corner=corner,
        gradient=jacobian.rmv(residuals),
        prior_own=own,
        prior_border=border,
        factor_slopes=factor_slopes(parts, params),
        cost=half_square(residuals[: len(problem.heights)]),
    )


_pieces = quick_jit(pieces)
