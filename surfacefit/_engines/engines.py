"""The engines as a user picks them, by name or as an object with settings, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from .._base.checks import count, one_of, positive_number, yes_or_no
from .._system.mesh import mesh_of
from .step_costs import dense_step_seconds, tiled_step_seconds

# Seconds; longer than the slowest process takes to compile a step, or to copy a plan for a million components.
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Dense:
    """Every component at every point: exact, and fastest for small problems.

    A step costs points x parameters^2, and memory 5 matrices of parameters^2 numbers; a `ValueError` says beforehand
    where ``max_memory`` does not allow that.

    Parameters
    ----------
    devices : on which devices the solver's steps run: None for JAX's default device, "all", a number of them, a list of
        JAX's devices, or a `jax.sharding.Mesh` of one axis named "tiles". Each has a part of the points, and all have
        all parameters; results differ by rounding alone. Growth and search run on one device. Where
        `jax.distributed.initialize` has joined several processes, all give the same arguments; devices="all" means
        those of all of them.
    timeout : seconds that a process waits for the others, from one chunk of steps to the next. Then, or when one of
        them has ended, the fit ends with the best surface so far and the status PROCESS_LOST.

    >>> import surfacefit as sf
    >>> sf.Dense()
    Dense(devices=None, timeout=300.0)
    """

    devices: Any = None
    timeout: float = TIMEOUT_SECONDS


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
    devices, timeout : as for `Dense`; here each device has a part of the tiles.

    A step costs points x overlapping components, whatever their number.

    >>> import surfacefit as sf
    >>> sf.Tiled(cutoff=1e-4).cutoff
    0.0001
    """

    cutoff: float = 1e-6
    tile_size: int = 256
    normal: str = "auto"
    devices: Any = None
    timeout: float = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Streamed:
    """Heights that stay on disk: windows of the map are read one after another, at each step every point once.

    Parameters
    ----------
    cutoff : as of `Tiled`.
    threads : windows that are at work at once; None takes as many as there are cores. It changes no bit of the result.
    checkpoint : a file (``.npz``) that says after each step where the fit stands. Where it is there already, and of the
        same heights and options, the fit goes on from there: a process that is killed loses one step.
    resume : None (default) goes on where there is a checkpoint; True demands one; False begins anew and overwrites it.

    `fit` takes this engine by itself for a map on disk (a `numpy.memmap`, an array of zarr, a data set of h5py, a
    raster of rasterio) that it could not hold within ``max_memory``. The points must be an even grid without ``mask``
    and ``sigma``; places without a height (NaN) are allowed. Steps over a map with gaps are shorter than they might be,
    since J^T J is that of the whole grid.

    Memory, whatever the size of the map: (threads + 1) windows of 40 bytes a point, some 2^20 points each or one chunk
    of the file where that is larger; 100 bytes for each of at most 262,144 blocks of averages; beside these J^T J of
    overlapping components (3.5 kB for eight pairs) and 0.3 GB for Python and compiled programs. A point is read once a
    step, and each window is compared with a checksum of what it held when the fit began.

    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:60, :80]
    >>> hills = np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 72) + np.exp(-((y - 40) ** 2 + (x - 60) ** 2) / 98)
    >>> result = sf.fit(hills, 2, engine=sf.Streamed(), background=None)
    >>> result.surface.principal_widths[:, 0].round(3)
    array([7., 6.])
    """

    cutoff: float = 1e-6
    threads: int | None = None
    checkpoint: str | PathLike[str] | None = None
    resume: bool | None = None


# The engines by the names that `engine=` takes.
ENGINES: dict[str, type[Dense | Tiled]] = {"dense": Dense, "tiled": Tiled}


@dataclass(frozen=True)
class EngineChoice:
    """The engine asked for (None: by size), and the memory that it may take in GB (None: most of what there is).

    mesh : the devices that it asks for; None for one.
    """

    engine: Dense | Tiled | None
    max_memory: float | None = None
    mesh: Mesh | None = None

    @property
    def timeout(self) -> float:
        """Seconds that one of several processes waits for the others."""
        return TIMEOUT_SECONDS if self.engine is None else self.engine.timeout

    def picked(self, n_points: int, n_components: int, n_parameters: int) -> Dense | Tiled:
        """The engine asked for, or the one whose steps cost less for a problem of this size."""
        if self.engine is not None:
            return self.engine
        size = (n_points, n_components, n_parameters)
        return Dense() if dense_step_seconds(*size) <= tiled_step_seconds(*size) else Tiled()


def engine_choice(engine: Any, max_memory: Any) -> EngineChoice:
    """The checked options ``engine`` and ``max_memory``."""
    limit = None if max_memory is None else positive_number("max_memory", max_memory)
    if isinstance(engine, Tiled):
        _check_tiled(engine)
    if isinstance(engine, Streamed):
        raise ValueError(f"`engine` must be one for data in memory here, got {engine!r}: it is for `fit` of a grid")
    if isinstance(engine, Dense | Tiled):
        positive_number("engine.timeout", engine.timeout)
        return EngineChoice(engine, limit, mesh_of(engine.devices))
    name = one_of("engine", engine, ["auto", *ENGINES])
    return EngineChoice(None if name == "auto" else ENGINES[name](), limit)


def checked_streamed(engine: Streamed) -> Streamed:
    """The engine, if its settings can be meant."""
    _check_cutoff(engine.cutoff)
    if engine.threads is not None:
        count("engine.threads", engine.threads)
    if engine.resume is not None:
        yes_or_no("engine.resume", engine.resume)
    path = engine.checkpoint
    if path is None and engine.resume:
        raise ValueError("`engine.resume` goes on from a checkpoint, but `engine.checkpoint` is None: give its path")
    if path is not None and (not isinstance(path, str | PathLike) or not str(path).endswith(".npz")):
        raise ValueError(f"`engine.checkpoint` must be the path of a file that ends in .npz, got {path!r}")
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"`engine.checkpoint` must be in a folder that exists, got {str(path)!r}")
    if engine.resume and path is not None and not Path(path).exists():
        raise ValueError(f"`engine.resume` needs a checkpoint, and there is none at {str(path)!r}: leave `resume` out")
    return engine


def _check_cutoff(cutoff: Any) -> None:
    if isinstance(cutoff, bool) or not isinstance(cutoff, int | float | np.floating) or not 0 <= cutoff < 1:
        raise ValueError(f"`engine.cutoff` must be a number from 0 (leave nothing out) to 1, exclusive, got {cutoff!r}")


def _check_tiled(engine: Tiled) -> None:
    _check_cutoff(engine.cutoff)
    count("engine.tile_size", engine.tile_size)
    one_of("engine.normal", engine.normal, ["auto", "products"])
