"""The engines as a user picks them, by name or as an object with settings, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import count, one_of, positive_number

# Points x parameters^2 of J^T J, up to which a dense step is faster than a tiled one: where the two cross on the
# volcano (K = 32: 5 ms dense, 6 ms tiled; K = 64: 18 and 13 ms).
DENSE_PRODUCTS = 5e8


@dataclass(frozen=True)
class Dense:
    """Every component at every point: exact, and fastest for small problems.

    A step costs points x parameters^2, and memory 5 matrices of parameters^2 numbers; a `ValueError` says beforehand
    where ``max_memory`` does not allow that.

    >>> import surfacefit as sf
    >>> sf.Dense()
    Dense()
    """


@dataclass(frozen=True)
class Tiled:
    """Components only where they are felt: points in tiles, lists of the components in each.

    Parameters
    ----------
    cutoff : a component may be left out where it is lower than this, in units of the heights' standard deviation (root
        mean square where there is no background). 0 leaves nothing out.
    tile_size : points a tile.
    normal : how the normal matrix is held. "auto" computes the blocks of overlapping components from the components
        alone where the data are an even grid without gaps and with one ``sigma``, and memory suffices; "products"
        multiplies by J and J^T pass by pass, as "auto" does for all other data.

    A step costs points x overlapping components, whatever their number.

    >>> import surfacefit as sf
    >>> sf.Tiled(cutoff=1e-4).cutoff
    0.0001
    """

    cutoff: float = 1e-6
    tile_size: int = 256
    normal: str = "auto"


# The engines by the names that `engine=` takes.
ENGINES: dict[str, type[Dense | Tiled]] = {"dense": Dense, "tiled": Tiled}


@dataclass(frozen=True)
class EngineChoice:
    """The engine asked for (None: by size), and the memory that it may take in GB (None: most of what there is)."""

    engine: Dense | Tiled | None
    max_memory: float | None = None

    def picked(self, n_points: int, n_parameters: int) -> Dense | Tiled:
        """The engine asked for, or the one that is faster for a problem of this size."""
        if self.engine is not None:
            return self.engine
        return Dense() if n_points * n_parameters**2 <= DENSE_PRODUCTS else Tiled()


def engine_choice(engine: Any, max_memory: Any) -> EngineChoice:
    """The checked options ``engine`` and ``max_memory``."""
    limit = None if max_memory is None else positive_number("max_memory", max_memory)
    if isinstance(engine, Tiled):
        _check_tiled(engine)
    if isinstance(engine, Dense | Tiled):
        return EngineChoice(engine, limit)
    name = one_of("engine", engine, ["auto", *ENGINES])
    return EngineChoice(None if name == "auto" else ENGINES[name](), limit)


def _check_tiled(engine: Tiled) -> None:
    if (
        isinstance(engine.cutoff, bool)
        or not isinstance(engine.cutoff, int | float | np.floating)
        or not 0 <= engine.cutoff < 1
    ):
        raise ValueError(
            f"`engine.cutoff` must be a number from 0 (leave nothing out) to 1, exclusive, got {engine.cutoff!r}"
        )
    count("engine.tile_size", engine.tile_size)
    one_of("engine.normal", engine.normal, ["auto", "products"])
