"""Errors of very many components: the inverse by nested dissection, exact but for tails of components beyond FELT
widths.
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
from .._linear.selected_inverse import inverse_blocks
from .._model.block_layout import block_indices
from .._model.parameters import ChainRule
from .._model.units import to_internal
from .._problem.loss_views import information_jacobian
from .._problem.prepared import Prepared, fixed_parameters, used_parameters
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup
from .component_errors import LEAST, ComponentErrors
from .constrained_directions import ConstrainedDirections, constrained_directions
from .linearization import model_of, pack
from .sparse_normal import TileNormals

if TYPE_CHECKING:
    from .._results.result import FitResult

RIDGE, ENDLESS = 1e-12, 1e9


class Pieces(NamedTuple):
    """What the normal matrix is made of, at the data's points and for all components that there is room for."""

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


def local_errors(result: FitResult, misfit: float) -> ComponentErrors:
    """For a variance ``misfit`` of weighted residuals, in the user's units."""
    prepared = problem_setup(
        result.data, model_of(result), np.dtype(np.float64), EngineChoice(Tiled(normal="products"), float("inf"))
    )
    params = pack(prepared.problem.parameterization, to_internal(result.surface, prepared.scaling))
    assert prepared.planner is not None
    problem = prepared.planner(prepared.fixing(params), params, params)
    pieces = jax.tree.map(np.asarray, _pieces(problem, params))
    used, count = used_parameters(prepared), result.n_components
    axes = constrained_directions(problem, params, pieces.gradient, bound_tolerance(result.settings.dtype))
    pieces = _along(axes, pieces)
    fixed, held = fixed_parameters(prepared)[used], axes.constrained[used]
    diagonal = np.append(np.einsum("kpp->kp", pieces.blocks).ravel(), np.diag(pieces.corner))[used]
    lost = (diagonal <= LEAST) | (held & ~fixed)
    scale = np.where(lost | fixed, 0.0, 1 / np.sqrt(np.where(diagonal > LEAST, diagonal, 1.0)))
    normals = _tile_normals(prepared, problem, pieces, count)
    blocks, corner = _indices(count, problem)
    elements = normals.elements(scale, np.where(scale == 0, 1.0, RIDGE))
    found, square = inverse_blocks(elements, blocks, corner)
    unmet = np.logical_not(elements.met())[blocks[:, :1]]
    endless = (np.einsum("kmm->km", found) > ENDLESS) | (unmet & (scale[blocks] > 0))
    gone, gone_there = lost[blocks] | endless, lost[corner] | (np.diag(square) > ENDLESS)
    at_width_limit, unit = (axes.constrained & ~axes.at_box)[used][blocks], misfit / prepared.cost_unit
    size = np.einsum("km,kn->kmn", scale[blocks], scale[blocks])
    there = np.outer(scale[corner], scale[corner])
    back = axes.together(count)
    found = unit * np.matmul(back, np.matmul(size * found, back.swapaxes(1, 2)))
    lost = np.concatenate([back * (gone & ~at_width_limit)[:, None], axes.undetermined_changes(count)], axis=2)
    return ComponentErrors(prepared, params, found, lost, unit * there * square, np.diag(gone_there * 1.0))


def _along(axes: ConstrainedDirections, pieces: Pieces) -> Pieces:
    """The pieces for parameters along other axes."""
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
        prepared.planner.tiling,
        np.asarray(pieces.centers)[:count],
        np.asarray(pieces.factors)[:count],
        prepared.by_point(problem.points),
        prepared.by_point(pieces.information),
        ChainRule(pieces.chain.own[:count], pieces.chain.shared[:count]),
        prepared.by_point(pieces.background),
        np.asarray(pieces.prior_own)[:count],
        np.asarray(pieces.prior_border),
    )


def _indices(count: int, problem: SurfaceProblem) -> tuple[np.ndarray, np.ndarray]:
    """Unknowns (K, p + s) of each component with the shared shape, and those (b,) of the background."""
    layout = replace(problem.parameterization.layout, n_components=count)
    own, border = block_indices(np.arange(count), layout.block_size), layout.n_own + np.arange(layout.n_border)
    shared = np.broadcast_to(border[layout.shared_shape], (count, layout.n_shared))
    return np.concatenate([own, shared], axis=1), border[layout.background]


def pieces(problem: SurfaceProblem, params: Array) -> Pieces:
    parts = problem.parameterization
    components, chain = parts.components(params), parts.chain(params)
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
        components.centers,
        components.factors,
        chain,
        problem.loss.information(model, problem.heights, problem.weights),
        background_rows(problem.points, ones, components).T,
        blocks,
        corner,
        jacobian.rmv(residuals),
        own,
        border,
    )


_pieces = quick_jit(pieces)
