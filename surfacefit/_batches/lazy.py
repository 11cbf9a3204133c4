"""Maps in a chunked dask array go in, and arrays come out that are computed when they are asked for.

Each block of the batch is one task, a call of `fit_many` in whatever process dask runs it; a block whose worker is lost
is fitted again by another. A block comes back as one array with all numbers of a map in its last axis.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .._base.checks import count, yes_or_no
from .._many.batch_result import BatchResult
from .._many.fit_many import fit_many, work_of
from .._many.map_numbers import MapEnds, named_arrays
from .._model.background import background_model, background_start
from .._results.criteria import AutoComponents
from .chosen_numbers import choice_work, is_chosen
from .labels import to_xarray

Layout = dict[str, tuple[slice, tuple[int, ...]]]

# Numbers of a map that follow from its fit and its heights, besides the fields of `MapEnds`.
MORE = ("rmse", "r2", "bic", "success")

# Components that maps in a dask array have room for where their number is chosen: 1.4 kB for a map of an image.
MOST_CHOSEN = 32

# Arguments that a lazy fit cannot have, with what to do instead.
REFUSED = {
    "callback": "dask shows what is done",
    "max_time": "blocks are fitted whenever dask runs them",
    "out": "store the Dataset of `to_xarray`",
    "points": "give a grid",
    "match": "call `compute().matched()`, since blocks do not know each other",
}


@dataclass(frozen=True, eq=False)
class LazyArrays:
    """Dask arrays of what the attributes of a `BatchResult` hold."""

    amplitudes: Any
    centers: Any
    covariances: Any
    background: Any
    n_components: Any
    status: Any
    cost: Any
    steps: Any
    n_used: Any
    rmse: Any
    r2: Any
    bic: Any
    success: Any


@dataclass(frozen=True, eq=False, repr=False)
class LazyBatch(LazyArrays):
    """The fits of maps in a chunked dask array: dask arrays by the names that a `BatchResult` has for them, in the
    batch's chunks, which are computed when they are asked for.

    Attributes
    ----------
    maps : the dask array that was given.
    packed : a dask array with all numbers of each map in its last axis.
    layout : where each array stands in that axis, and its shape for one map.
    options : the arguments of `fit_many`.
    labels : dimensions and coordinates of maps in an `xarray.DataArray`.
    """

    maps: Any
    packed: Any
    options: Mapping[str, Any]
    layout: Layout
    labels: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch's axes."""
        return tuple(self.status.shape)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"LazyBatch({shape} maps in {self.status.npartitions} blocks, fitted when they are computed)"

    @property
    def chi2(self) -> Any:
        """Twice the cost."""
        return 2 * self.cost

    def compute(self) -> BatchResult:
        """The fits as a `BatchResult`, with the maps in memory."""
        import dask

        maps, packed = dask.compute(self.maps, self.packed)
        arrays = _unpacked(packed.reshape(-1, packed.shape[-1]), self.layout)
        given = {name: _computed(one) for name, one in self.options.items()}
        if is_chosen(given["n_components"]):
            given |= {"n_components": arrays["n_components"].reshape(self.shape), "init": "growth"}
        work = work_of({**given, "maps": maps, "ndim": self.maps.ndim - len(self.shape)})
        work.watch.bar.close()
        ends = work.batch.no_ends(len(work.batch.stack), work.first)
        for name, whole in named_arrays(ends).items():
            whole[...] = arrays[name][tuple(slice(n) for n in whole.shape)]  # without a fit there is no background
        return replace(work.result(ends), labels=self.labels)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` of dask arrays, as `BatchResult.to_xarray` has it without errors: its ``to_zarr`` writes
        block by block.
        """
        return to_xarray(self, False)


def is_lazy(maps: Any) -> bool:
    """Whether maps are a dask array; a program that has none has not imported dask."""
    dask = sys.modules.get("dask.array")
    return dask is not None and isinstance(maps, dask.Array)


def fit_lazily(options: dict[str, Any]) -> LazyBatch:
    """The lazy result of `fit_many` for maps in a dask array."""
    import dask.array as da

    maps = options["maps"]
    _check(options, maps)
    n_own = _own_axes(options, maps)
    maps = maps.rechunk(dict.fromkeys(range(maps.ndim - n_own, maps.ndim), -1))
    shape, own = maps.shape[:-n_own], maps.shape[-n_own:]
    counts, most = _counts(options["n_components"], shape)
    _check_options(options, own, most)
    layout = _layout(most, n_own, options["background"])
    given = {name: one for name, one in options.items() if name not in ("maps", "mask", "sigma")}
    given |= {"ndim": n_own, "progress": False}
    blocks = [maps, _like(da, counts, maps, n_own)]
    for name in ("mask", "sigma"):
        one = given[name] = options[name]
        if np.ndim(one) == 0 or tuple(np.shape(one)) == own:
            one = None  # the same for all
        else:
            given[name] = None
        blocks.append(None if one is None else _like(da, one, maps, n_own))
    packed = da.map_blocks(
        _fitted_block,
        *blocks,
        options=given,
        layout=layout,
        dtype=np.float64,
        drop_axis=list(range(maps.ndim - n_own, maps.ndim)),
        new_axis=[maps.ndim - n_own],
        chunks=(*maps.chunks[:-n_own], (_size(layout),)),
        meta=np.empty((0,) * (len(shape) + 1)),
    )
    arrays = _unpacked(packed, layout)
    own_names = {one.name for one in fields(LazyArrays)}
    return LazyBatch(
        maps=maps,
        packed=packed,
        options=options,
        layout=layout,
        **{name: arrays[name] for name in arrays if name in own_names},
    )


def _fitted_block(
    maps: np.ndarray, counts: np.ndarray, mask: Any, sigma: Any, options: Mapping[str, Any], layout: Layout
) -> np.ndarray:
    """All numbers (..., P) of the maps of one block."""
    n_own = options["ndim"]
    given = {
        name: one if one.shape == maps.shape else one.reshape(maps.shape[:-n_own])
        for name, one in (("mask", mask), ("sigma", sigma))
        if one is not None
    }
    if not is_chosen(options["n_components"]):
        given["n_components"] = counts.reshape(maps.shape[:-n_own])
    batch = fit_many(maps, **{**options, **given})
    ends, numbers = batch.results.ends, batch.results.numbers
    named = {name: one[numbers] for name, one in named_arrays(ends).items()}
    named |= {name: np.asarray(getattr(batch, name)).ravel() for name in MORE}
    packed = np.full((len(numbers), _size(layout)), np.nan)
    for name, (place, own) in layout.items():
        whole = packed[:, place].reshape(len(numbers), *own)  # other blocks may have more components
        whole[tuple(slice(n) for n in named[name].shape)] = named[name]
        packed[:, place] = whole.reshape(len(numbers), -1)
    return packed.reshape(*batch.shape, -1)


def _counts(n_components: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """The number of components of each map, 0 where it is to be chosen, and of how many there must be room."""
    if is_chosen(n_components):
        return np.zeros(shape, int), n_components.most
    least = 0 if np.ndim(n_components) else 1
    most = max(count("n_components", one.item(), least) for one in np.unique(np.asarray(n_components)))
    return np.broadcast_to(np.asarray(n_components), shape), most


def _check(options: Mapping[str, Any], maps: Any) -> None:
    if np.isnan(maps.shape).any():
        raise ValueError(
            f"`maps` must have known chunk sizes, got shape {maps.shape}: call `maps.compute_chunk_sizes()` first"
        )
    if 0 in maps.shape:
        raise ValueError(f"`maps` must hold at least one map with heights, got shape {maps.shape}")
    if maps.dtype.kind not in "fiub":
        raise ValueError(f"`maps` must be an array of real numbers, got dtype {maps.dtype}")
    for name, way in REFUSED.items():
        if options[name] is not None:
            raise ValueError(f"`{name}` cannot be given for maps in a dask array: {way}")
    number = options["n_components"]
    if is_chosen(number) and not (isinstance(number, AutoComponents) and number.checked().most <= MOST_CHOSEN):
        raise ValueError(
            "`n_components` of maps in a dask array must say how many components a map may have, at most"
            f" {MOST_CHOSEN}: give `AutoComponents(most=8)` for example, got {number!r}"
        )
    is_batch = isinstance(options["init"], BatchResult)
    if is_batch or not (isinstance(options["init"], str) or hasattr(options["init"], "amplitudes")):
        raise ValueError(
            f"`init` must be a name or one surface for maps in a dask array, got {type(options['init']).__name__}"
        )
    yes_or_no("absolute_sigma", options["absolute_sigma"])


def _own_axes(options: Mapping[str, Any], maps: Any) -> int:
    ndim, coords = options["ndim"], options["coords"]
    n_own = count(
        "ndim", maps.ndim - 1 if ndim is None and coords is None else len(coords) if ndim is None else ndim, 0
    )
    if not 0 < n_own < maps.ndim:
        raise ValueError(f"`maps` must have leading axes before the {max(1, n_own)} of each map, got {maps.shape}")
    leading = maps.shape[:-n_own]
    counts = np.shape(options["n_components"])
    if isinstance(options["n_components"], str) or (counts and counts != leading):
        raise ValueError(
            f"`n_components` must be one number or have the batch's shape {leading}, got {options['n_components']!r}"
        )
    return n_own


def _like(da: Any, one: Any, maps: Any, n_own: int) -> Any:
    """An array of the batch's shape or of that of all maps, in the blocks of the maps."""
    array = da.asarray(one)
    if array.shape == maps.shape[:-n_own]:
        return array[(..., *[None] * n_own)].rechunk((*maps.chunks[:-n_own], *[(1,)] * n_own))
    if array.shape != maps.shape:
        raise ValueError(
            f"`mask` and `sigma` must have the shape of one map {maps.shape[-n_own:]} or of all {maps.shape}, got"
            f" {array.shape}"
        )
    return array.rechunk(maps.chunks)


def _check_options(options: Mapping[str, Any], own: tuple[int, ...], most: int) -> None:
    """Raises for options that no map can be fitted with, before any block is."""
    ramp = np.linspace(0, 1, int(np.prod(own))).reshape(1, *own)
    plain = {"maps": ramp, "ndim": len(own), "mask": None, "progress": False}
    plain["sigma"] = None if options["sigma"] is None else 1.0
    plain["init"] = "growth" if options["init"] == "neighbours" else options["init"]
    if is_chosen(options["n_components"]):
        choice_work({**options, **plain, "n_components": options["n_components"]}).watch.bar.close()
    else:
        work_of({**options, **plain, "n_components": max(1, most)}).watch.bar.close()


def _layout(most: int, n_dim: int, background: Any) -> Layout:
    """Where each array stands in the last axis of a block, and its shape for one map."""
    model = background_start(background, np.stack([np.zeros(n_dim), np.ones(n_dim)]), np.zeros(2), 0.5)
    empty = MapEnds.nothing(1, most, n_dim, model, None)
    shapes = {name: one.shape[1:] for name, one in named_arrays(empty).items()} | dict.fromkeys(MORE, ())
    found: Layout = {}
    first = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape, dtype=int))
        found[name] = (slice(first, first + size), shape)
        first += size
    return found


def _size(layout: Layout) -> int:
    return max(place.stop for place, _ in layout.values())


def _unpacked(packed: Any, layout: Layout) -> dict[str, Any]:
    """The arrays in a packed one, by name, in their dtypes."""
    whole = named_arrays(MapEnds.nothing(1, 1, 1, background_model(None), None))
    found = {}
    for name, (place, shape) in layout.items():
        dtype = np.dtype(bool) if name == "success" else whole[name].dtype if name in whole else np.dtype(float)
        found[name] = packed[..., place].reshape(*packed.shape[:-1], *shape).astype(dtype)
    return found


def _computed(one: Any) -> Any:
    return one.compute() if is_lazy(one) else one
