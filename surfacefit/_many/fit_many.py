"""`fit_many`: from a batch of maps to a `BatchResult`, chunk by chunk."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._base.checks import count, names_its_options, positive_number
from .._base.devices import beside_accelerator
from .._base.precision import precision
from .._base.progress import BatchProgress, ProgressBar
from .._base.status import Status
from .._base.threads import blas_limits_kept, single_threaded_blas
from .._constraints.bounds import Bounds
from .._constraints.prior import SurfacePrior
from .._data.data import fit_dtype
from .._fit.fit import fit
from .._model.surface import GaussianSurface
from .._results.result import FitResult
from .._search.initialization import INITS
from .._small_fits.chunks import chunks_at_once, lanes_a_chunk
from .._starts import RandomStarts
from .._system.container import cores
from .alike import stacks_of
from .batch_record import Results
from .batch_result import BatchResult
from .lane_ends import put_ends
from .lane_runs import solve_stack
from .lane_starts import start_all
from .lanes import Batch, Lane
from .map_numbers import MapEnds
from .small_maps import small_maps
from .stack import MapStack, map_stack


@names_its_options
def fit_many(
    maps: Any,
    n_components: Any,
    *,
    ndim: int | None = None,
    coords: Any = None,
    points: Any = None,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    tied: str | None = None,
    shape: Any = None,
    amplitudes: str = "positive",
    loss: str = "linear",
    f_scale: float | None = None,
    bounds: Bounds | None = None,
    contained: bool | None = None,
    fixed: Any = None,
    init: Any = "auto",
    match: str | None = None,
    out: Any = None,
    min_width: float = 0.25,
    prior: SurfacePrior | None = None,
    solver: Any = "lm",
    max_memory: float | None = None,
    dtype: Any = None,
    max_time: float | None = None,
    callback: Callable[[BatchProgress], Any] | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> BatchResult:
    """Fit many maps, each by a sum of Gaussians of its own, in one call.

    Each map is fitted as `fit` does it without resets, with its own steps, its own end and its own status.
    Maps are worked on in chunks, as many at a time as there are cores, and all of one form share one compiled program.
    No map changes another's result.

    Parameters
    ----------
    maps : array of shape (..., n_1, ..., n_d), or list of arrays
        The maps: the leading axes are the batch, the last ``ndim`` those of each map. Maps in a list may differ in
        shape. NaN is ignored. A map without a height that can be used ends as EMPTY, one with fewer points than
        parameters as TOO_FEW_POINTS, one with infinite heights or a ``sigma`` of zero as UNUSABLE; none ends the batch.
    n_components : int, array of the batch's shape, "auto" or `AutoComponents`
        The number K of components of each map; "auto" chooses it for each map as `fit` does, in ten to twenty times the
        time. A map that supports none, or has 0 in an array, has its background alone as its result.
    ndim : int, optional
        How many of the last axes belong to each map. Default: as many as ``coords`` has arrays, else all but the first.
    coords : sequence of d arrays, or list of them, optional
        The coordinates of the grid that all maps share (default: 0, 1, 2, ...), or a list of them for each map.
    points : array of shape (N, d), or list of arrays, optional
        Places of scattered heights, for maps of shape (..., N): the same for all, or one array for each map of a list.
    mask, sigma : optional
        As for `fit`: for one map, for all (the shape of ``maps``), a list, or of ``sigma`` one number for each map.
    init : {"auto", "neighbours", "growth", "peaks", ...}, `GaussianSurface`, list of them, or `BatchResult`
        Where each map starts: made from the map, one surface for all, a list with a surface for each map, or what
        another batch of the same shape has led to. "auto" (default) is growth and a short search, much shorter than
        that of `fit`: some components are taken away and grown anew, eight times. "growth" alone takes a fifth of
        the time. "neighbours" is growth, and for maps that vary smoothly over the batch besides a start from a
        neighbour that has other components, from coarse lattices of maps to fine ones; the lower cost is kept.
    match : "neighbours", optional
        Orders the components of each map like those of its neighbours, as `BatchResult.matched` does. Default: by
        falling volume.
    out : path or `zarr.Group`, optional
        Where the ends of all maps are written, part by part. After a process has been killed, the same call continues
        what is there, and ends like an unbroken one; parts whose files are lost or changed are fitted anew, and a group
        of other maps or options is refused.
    max_time : float, optional
        Seconds after which no further chunk is begun; maps that were not reached end as MAX_TIME without a result. So
        do Ctrl-C (INTERRUPTED) and ``callback`` (STOPPED): what is finished is kept.
    callback : function, optional
        Called with a `BatchProgress` after each chunk; if it returns True, no further chunk is begun.
    absolute_sigma, background, covariance_type, tied, shape, amplitudes, loss, f_scale, bounds, contained, fixed,
    min_width, prior, solver, max_memory, dtype, progress, seed : as for `fit`.

    Returns
    -------
    BatchResult
        For maps in an `xarray.DataArray` with its leading dimensions and coordinates, and its others as those of the
        grid. For a chunked dask array, or a DataArray over one, a `LazyBatch`: dask arrays of the same names, one task
        a block, and ``compute()`` for the whole. ``init="neighbours"`` then looks for neighbours within a block, and
        a number that is chosen needs ``AutoComponents(most=...)``, which says for how many there must be room.

    Raises
    ------
    ValueError, TypeError
        What cannot be meant, by the name of its argument; for one map with that map's index.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.arange(40.0)
    >>> curves = [2 * np.exp(-0.5 * ((x - c) / 3) ** 2) for c in (10, 20, 30)]
    >>> batch = sf.fit_many(np.array(curves), 1)
    >>> batch.centers[:, 0, 0].round(3).tolist(), batch.shape
    ([10.0, 20.0, 30.0], (3,))
    """
    from .._batches.ways import way_of

    options = {name: value for name, value in locals().items() if name != "way_of"}
    way = way_of(options)
    return _whole(work_of(options)) if way is None else way(options)


@dataclass(frozen=True, eq=False)
class BatchWork:
    """A batch that is ready to be fitted, and who looks on; ``first`` is the lane of a map that can be fitted."""

    batch: Batch
    dtype: np.dtype
    first: Lane | None
    watch: Watch

    def ends(self, flats: Sequence[int], batch: Batch | None = None) -> MapEnds:
        """Where the fits of the maps of these numbers ended; ``batch``: with other starts or numbers of components."""
        with blas_limits_kept():
            return _fitted(batch or self.batch, flats, self.dtype, self.watch, self.first)

    def result(self, ends: MapEnds, batch: Batch | None = None) -> BatchResult:
        """The ends of all maps as a result."""
        stack = self.batch.stack
        return BatchResult(stack.shape, Results(batch or self.batch, ends, np.arange(len(stack)), {}))


def work_of(options: dict[str, Any]) -> BatchWork:
    """The work that the arguments of `fit_many` ask for; what is wrong with them is wrong before any work."""
    begun = time.perf_counter()
    given = [options[name] for name in ("maps", "ndim", "coords", "points", "mask", "sigma", "absolute_sigma")]
    stack, callback, max_time = map_stack(*given), options["callback"], options["max_time"]
    counts, starts = _counts(options["n_components"], stack), _starts(options["init"], stack)
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `BatchProgress`, got {callback!r}")
    limit = None if max_time is None else positive_number("max_time", max_time)
    batch = Batch(
        stack, counts, starts, {**_defaults(), **options, "engine": "dense", "max_time": None, "callback": None}
    )
    first = batch.first_lane()
    dtype = fit_dtype(options["dtype"], stack.maps[0]) if first is None else first.run.dtype
    bar = ProgressBar(options["progress"], len(stack), "fit_many", "map")
    return BatchWork(batch, np.dtype(dtype), first, Watch(len(stack), begun, limit, callback, bar))


def _whole(work: BatchWork) -> BatchResult:
    try:
        return work.result(work.ends(range(len(work.batch.stack))))
    finally:
        work.watch.bar.close()


@dataclass(eq=False)
class Watch:
    """Who looks on while chunks are fitted, and why no more are begun."""

    total: int
    begun: float
    max_time: float | None
    callback: Callable[[BatchProgress], Any] | None
    bar: ProgressBar
    done: int = 0
    counting: bool = True
    told: Status = field(default=Status.RUNNING)

    def add(self, n_maps: int) -> None:
        """Counts maps as done, unless they are done again, and looks at the limits."""
        self.done += n_maps if self.counting else 0
        seen = BatchProgress(self.done, self.total, time.perf_counter() - self.begun)
        self.bar.update(seen)
        if self.callback is not None and self.callback(seen):
            self.told = Status.STOPPED
        if self.max_time is not None and seen.elapsed >= self.max_time:
            self.told = Status.MAX_TIME


def _fitted(batch: Batch, flats: Sequence[int], dtype: np.dtype, watch: Watch, first: Lane | None) -> MapEnds:
    """Where the fits of these maps ended: of small maps all at once, of all that is left one by one."""
    every, small = np.asarray(flats, int), small_maps(batch, first)
    ends = batch.no_ends(len(every), first)
    if small is not None:
        places = np.arange(len(every))
        _fit_chunks(ends, places, lanes_a_chunk(), lambda some: small.ends(every[some]), watch, chunks_at_once())
    left = np.flatnonzero(ends.status == int(Status.RUNNING))
    left = left[batch.order(every[left])]
    _fit_chunks(
        ends,
        left,
        batch.chunk_size(len(left)),
        lambda places: fitted_chunk(batch, every[places], dtype, first),
        watch,
        cores(),
    )
    ends.status[ends.status == int(Status.RUNNING)] = int(watch.told)
    return ends


def _fit_chunks(
    ends: MapEnds,
    places: np.ndarray,
    size: int,
    task: Callable[[np.ndarray], MapEnds],
    watch: Watch,
    at_once: int,
) -> None:
    """Writes where the fits of the maps at some places ended, chunk by chunk, some at once."""
    chunks = iter([places[begin : begin + size] for begin in range(0, len(places), size)])
    under_way: dict[Future[MapEnds], np.ndarray] = {}
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                _begin(pool, under_way, chunks, task, watch, at_once)
                if not under_way:
                    break
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    chunk, found = under_way.pop(future), future.result()
                    ends.put(chunk, found)
                    watch.add(int(np.count_nonzero(found.status != int(Status.RUNNING))))
        except KeyboardInterrupt:
            watch.told = Status.INTERRUPTED
            for future, chunk in under_way.items():
                ends.put(chunk, future.result())


def _begin(
    pool: ThreadPoolExecutor,
    under_way: dict[Future[MapEnds], np.ndarray],
    chunks: Iterator[np.ndarray],
    task: Callable[[np.ndarray], MapEnds],
    watch: Watch,
    at_once: int,
) -> None:
    """As many chunks under way as there are to be at once, while there are more to begin."""
    while watch.told == Status.RUNNING and len(under_way) < at_once:
        chunk = next(chunks, None)
        if chunk is None:
            return
        under_way[pool.submit(task, chunk)] = chunk


def fitted_chunk(batch: Batch, chunk: np.ndarray, dtype: np.dtype, first: Lane | None) -> MapEnds:
    """Where the fits of some maps ended, or why one has no end."""
    ends = batch.no_ends(len(chunk), first)
    with precision(dtype), beside_accelerator(), single_threaded_blas(1):
        begun = time.perf_counter()
        stacks, ends.status[:] = stacks_of(batch, chunk)
        for stack in stacks:
            start_all(stack)
        started = time.perf_counter()
        for stack in stacks:
            put_ends(ends, stack, solve_stack(stack))
        ended, fitted = time.perf_counter(), ends.fitted
        ends.seconds[fitted] = np.array([started - begun, ended - started]) / max(1, np.count_nonzero(fitted))
    return ends


def _defaults() -> dict[str, Any]:
    """The defaults of `fit`, for options that `fit_many` does not have."""
    return {one.name: one.default for one in inspect.signature(fit).parameters.values()}


def _counts(n_components: Any, stack: MapStack) -> np.ndarray:
    """The number of components of each map (n,)."""
    if isinstance(n_components, str):
        raise ValueError(
            f"`n_components` must be a number, or one for each map, or 'auto' for plain maps, got {n_components!r}"
        )
    numbers = np.asarray(n_components)
    if numbers.ndim and numbers.shape != stack.shape:
        raise ValueError(
            f"`n_components` must be one number or have the batch's shape {stack.shape}, got {numbers.shape}"
        )
    for one in np.unique(numbers):
        count("n_components", one.item(), 0 if numbers.ndim else 1)
    return np.broadcast_to(numbers, stack.shape).ravel().astype(int)


def _starts(init: Any, stack: MapStack) -> list[GaussianSurface | str]:
    """The start of each map, or the name of how it is made."""
    if isinstance(init, BatchResult):
        if init.shape != stack.shape:
            raise ValueError(f"`init` must be a batch of the shape {stack.shape}, got one of {init.shape}")
        return ["auto" if one is None else one for one in init.results.surfaces()]
    if isinstance(init, FitResult):
        init = init.surface
    if isinstance(init, RandomStarts):
        raise ValueError(f"`init` must be one start for each map, got {init!r}: use `fit`, map by map")
    if isinstance(init, GaussianSurface | str):
        if isinstance(init, str) and init not in INITS:
            names = ", ".join(map(repr, (*INITS, "neighbours")))
            raise ValueError(f"`init` must be one of {names}, a surface or a list, got {init!r}")
        return [init] * len(stack)
    if not isinstance(init, list | tuple | np.ndarray) or len(init) != len(stack):
        size = f" of {len(init)}" if hasattr(init, "__len__") else ""
        raise ValueError(
            f"`init` must be a name, one surface or a list of {len(stack)} surfaces, got {type(init).__name__}{size}"
        )
    surfaces = [one.surface if isinstance(one, FitResult) else one for one in init]
    for n, one in enumerate(surfaces):
        if not isinstance(one, GaussianSurface):
            raise TypeError(f"`init[{n}]` must be a GaussianSurface, got {type(one).__name__}")
    return surfaces
