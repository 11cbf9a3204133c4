"""A batch that is written to a zarr group part by part, and continued there by a second call with the same arguments.

Each part of the batch is written whole, and its mark in ``done`` last, so that whenever a process is killed each part
is either done or fitted anew. A part does not know what was fitted before it: the end is that of an unbroken run.
"""

from __future__ import annotations

from dataclasses import fields
from os import PathLike
from typing import Any

import numpy as np

from .._base.status import Status
from .._many.batch_result import BatchResult
from .._many.fit_many import BatchWork, work_of
from .._many.map_numbers import BatchArrays, MapEnds
from .chosen_numbers import is_chosen
from .fingerprint import fingerprint

# What a group says it is.
GROUP_FORMAT = "surfacefit batch in parts"

# Of the group: counted up by a change after which older groups cannot be continued.
GROUP_VERSION = 1

# Chunks of maps a part: some for each core, so that few wait at the end of a part, and a kill loses little.
CHUNKS_A_PART = 8


def fit_into_group(options: dict[str, Any]) -> BatchResult:
    """The result of `fit_many` with ``out``."""
    if isinstance(options["init"], str) and options["init"] == "neighbours":
        raise ValueError("`out` is for maps that do not wait for each other, got init='neighbours' with it: leave one")
    if is_chosen(options["n_components"]):
        raise ValueError("`out` needs `n_components` as a number, or one for each map, got 'auto': choose it before")
    work = work_of(options)
    parts = _Parts(work, options["out"])
    try:
        parts.fit()
        return work.result(parts.ends())
    finally:
        work.watch.bar.close()


class _Parts:
    """The parts of a batch in a zarr group: ``done`` (n_parts,) and the fields of `MapEnds` with a row for each map."""

    def __init__(self, work: BatchWork, out: Any) -> None:
        self.work = work
        self.n_maps = len(work.batch.stack)
        self.size = CHUNKS_A_PART * work.batch.chunk_size
        self.parts = [range(first, min(first + self.size, self.n_maps)) for first in range(0, self.n_maps, self.size)]
        self.group = self._opened(out)
        empty = _named(work.batch.no_ends(1, work.first))
        self.arrays = {name: self._array(name, one.shape[1:], one.dtype, self.size) for name, one in empty.items()}
        self.done = self._array("done", (), np.dtype(bool), 1, len(self.parts))

    def fit(self) -> None:
        """Fits the parts that are not done, until a limit is met."""
        watch, done = self.work.watch, self.done[:]
        watch.done = sum(len(part) for part, is_done in zip(self.parts, done, strict=True) if is_done)
        for number, part in enumerate(self.parts):
            if done[number] or watch.told != Status.RUNNING:
                continue
            some = self.work.ends(part)
            if (some.status == int(watch.told)).any() and watch.told != Status.RUNNING:
                return  # not all of its maps have been reached
            for name, one in _named(some).items():
                self.arrays[name][part.start : part.stop] = one
            self.done[number] = True

    def ends(self) -> MapEnds:
        """What the group holds; of other maps only why there is nothing."""
        ends = self.work.batch.no_ends(self.n_maps, self.work.first)
        values = {name: array[:] for name, array in self.arrays.items()}
        done = np.repeat(self.done[:], self.size)[: self.n_maps]
        for name, whole in _named(ends).items():
            whole[done] = values[name][done]
        ends.status[~done] = int(self.work.watch.told)
        return ends

    def _opened(self, out: Any) -> Any:
        """The group, which is new or belongs to this very fit."""
        zarr = _zarr()
        if not isinstance(out, str | PathLike | zarr.Group):
            raise TypeError(f"`out` must be a zarr group or the path of one, got {type(out).__name__}")
        try:
            group = out if isinstance(out, zarr.Group) else zarr.open_group(out, mode="a")
        except Exception as error:
            raise ValueError(f"`out` cannot be opened as a zarr group: {error}") from error
        known, mine = dict(group.attrs), self._attributes()
        if not known and not list(group.keys()):
            group.attrs.update(mine)
            return group
        if known.get("format") != GROUP_FORMAT:
            raise ValueError(f"`out` must be a new group or one of `fit_many`, got {group.store_path}")
        for name in ("version", "part_size", "fingerprint"):
            if known.get(name) != mine[name]:
                told = f"{name} {str(known.get(name))[:20]} instead of {str(mine[name])[:20]}"
                raise ValueError(f"`out` holds another fit, of other maps or options ({told}): give another path")
        return group

    def _attributes(self) -> dict[str, Any]:
        batch = self.work.batch
        return {
            "format": GROUP_FORMAT,
            "version": GROUP_VERSION,
            "shape": list(batch.stack.shape),
            "part_size": self.size,
            "fingerprint": fingerprint(batch),
        }

    def _array(self, name: str, shape: tuple[int, ...], dtype: np.dtype, chunk: int, n: int | None = None) -> Any:
        """An array of the group, made if it is not there."""
        whole = (self.n_maps if n is None else n, *shape)
        if name not in self.group:
            return self.group.create_array(name, shape=whole, dtype=dtype, chunks=(chunk, *(max(1, m) for m in shape)))
        array = self.group[name]
        if getattr(array, "shape", None) != whole or array.dtype != dtype:
            raise ValueError(f"`out` is damaged: its {name!r} must be an array of shape {whole} and dtype {dtype}")
        return array


def _named(ends: MapEnds) -> dict[str, np.ndarray]:
    """The arrays of some ends by name."""
    own = {one.name: getattr(ends, one.name) for one in fields(MapEnds)}
    surfaces: BatchArrays = own.pop("surfaces")
    return surfaces._asdict() | {name: one for name, one in own.items() if isinstance(one, np.ndarray)}


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImportError("`out` needs zarr: pip install 'surfacefit[zarr]'") from error
    return zarr
