"""Errors of very many components: the inverse by nested dissection, exact but for tails of components beyond FELT widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._box import AT_BOUND
from ._compile import quick_jit
from ._component_errors import ComponentErrors
from ._engines import EngineChoice, Tiled
from ._jacobian import background_rows
from ._parameters import ChainRule
from ._prepare import Model, Prepared, fixed_parameters, prepare, used_parameters
from ._problem import SurfaceProblem
from ._selected_inverse import inverse_blocks
from ._sparse_normal import TileNormals

if TYPE_CHECKING:
    from ._result import FitResult

RIDGE, ENDLESS = 1e-12, 1e9


class Pieces(NamedTuple):
    """What the normal matrix is made of, at the data's points and for all components that there is room for."""

    chain: ChainRule
    information: Array
    background: Array
    diagonal: Array
    gradient: Array
    prior_own: Array
    prior_border: Array


def local_errors(result: FitResult, misfit: float) -> ComponentErrors:
    """For a variance ``misfit`` of weighted residuals, in the user's units."""
    prepared = prepare(result.data, Model.of(result), np.dtype(np.float64), EngineChoice(Tiled(normal="products"), float("inf")))
    params = _pack(prepared.problem, prepared.scaling.surface_to_internal(result.surface))
    assert prepared.planner is not None
    problem = prepared.planner(prepared.fixing(params), params, params)
    pieces = jax.tree.map(np.asarray, _pieces(problem, params))
    used, count = used_parameters(prepared), result.n_components
    fixed, held = fixed_parameters(prepared)[used], _held(problem, params, jnp.asarray(pieces.gradient))[used]
    diagonal = pieces.diagonal[used]
    lost = (diagonal <= 0) | (held & ~fixed)
    scale = np.where(lost | fixed, 0.0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)))
    normals = _tile_normals(prepared, problem, params, pieces, count)
    blocks, corner = _indices(count, problem, normals.n_shared)
    elements = normals.elements(scale, np.where(scale == 0, 1.0, RIDGE))
    found, square = inverse_blocks(elements, blocks, corner)
    unmet = np.logical_not(elements.met())[blocks[:, :1]]
    endless = (np.einsum("kmm->km", found) > ENDLESS) | (unmet & (scale[blocks] > 0))
    gone, gone_there = lost[blocks] | endless, lost[corner] | (np.diag(square) > ENDLESS)
    unit = misfit / prepared.cost_unit
    size = np.einsum("km,kn->kmn", scale[blocks], scale[blocks])
    there = np.outer(scale[corner], scale[corner])
    return ComponentErrors(
        prepared, params, unit * size * found, gone[:, None] * np.eye(blocks.shape[1]), unit * there * square, np.diag(gone_there * 1.0)
    )


def _held(problem: SurfaceProblem, params: Array, gradient: Array) -> np.ndarray:
    """Which parameters (P,) a limit holds; of a component at a limit of its widths, its whole shape."""
    parts = problem.parameterization
    held = np.zeros(params.size, bool)
    if problem.box is not None:
        held |= np.asarray(problem.box.held(parts, params, gradient, AT_BOUND))
    if problem.width_limits is not None:
        walls = problem.width_limits.walls(parts, params, gradient, AT_BOUND)
        end = parts.n_components * parts.block_size
        own: np.ndarray = np.any(np.asarray(walls.own), axis=(1, 2))
        shapes = np.arange(parts.block_size) >= 1 + parts.n_dim
        held[:end] |= (own[:, None] & shapes).ravel()
        held[end : end + parts.n_shared] |= bool(np.asarray(walls.border).any())
    return held


def _tile_normals(prepared: Prepared, problem: SurfaceProblem, params: Array, pieces: Pieces, count: int) -> TileNormals:
    parts = problem.parameterization.components(params)
    assert prepared.planner is not None
    return TileNormals(
        prepared.planner.tiling,
        np.asarray(parts.centers)[:count],
        np.asarray(parts.factors)[:count],
        prepared.by_point(problem.points),
        prepared.by_point(pieces.information),
        ChainRule(pieces.chain.own[:count], pieces.chain.shared[:count]),
        prepared.by_point(pieces.background),
        np.asarray(pieces.prior_own)[:count],
        np.asarray(pieces.prior_border),
    )


def _indices(count: int, problem: SurfaceProblem, n_shared: int) -> tuple[np.ndarray, np.ndarray]:
    """Unknowns (K, p + s) of each component with the shared shape, and those (b,) of the background."""
    size = problem.parameterization.block_size
    own, n_background = np.arange(count * size).reshape(count, size), int(np.size(problem.parameterization.background.vector()))
    shared = np.broadcast_to(count * size + np.arange(n_shared), (count, n_shared))
    return np.concatenate([own, shared], axis=1), count * size + n_shared + np.arange(n_background)


def pieces(problem: SurfaceProblem, params: Array) -> Pieces:
    parts = problem.parameterization
    components, chain = parts.components(params), parts.chain(params)
    model = problem.engine.model(problem.points, components)
    blocks, corner = problem.informed(params).block_diagonal()
    residuals, jacobian = problem.linearize(params)
    ones = jnp.ones_like(problem.heights)
    own, border = jnp.zeros_like(blocks), jnp.zeros_like(corner)
    if problem.penalty is not None:
        slopes = problem.penalty.slopes(parts, params)
        own, border = jnp.einsum("kmp,kmq->kpq", slopes.own, slopes.own), slopes.border.T @ slopes.border
    return Pieces(
        chain,
        problem.loss.information(model, problem.heights, problem.weights),
        background_rows(problem.points, ones, components).T,
        jnp.concatenate([jnp.einsum("kpp->kp", blocks).ravel(), jnp.diag(corner)]),
        jacobian.rmv(residuals),
        own,
        border,
    )


_pieces = quick_jit(pieces)
_pack = quick_jit(lambda problem, surface: problem.parameterization.pack(surface))
