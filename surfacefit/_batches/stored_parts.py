"""Where maps ended, in a zarr group part by part: each part is written whole, and its mark in ``done`` last, so that
whenever a process is killed each part is either done or fitted anew. So is a part whose files are lost or changed,
which its checksum tells.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .._base.status import Status
from .._many.fit_many import Watch
from .._many.map_numbers import MapEnds, named_arrays, some_ends
from .groups import array_of, read


class StoredParts:
    """The ends of n maps in a zarr group: ``done`` and ``checksum`` (n_parts,), and the fields of `MapEnds` with a row
    for each map. A part is done if its numbers are those of its checksum.

    nothing : `MapEnds` without an end for any of them; filled with what the group holds.
    """

    def __init__(self, group: Any, nothing: MapEnds, size: int) -> None:
        self.found, self.size, self.n_maps = nothing, size, len(nothing.cost)
        self.parts = [slice(first, min(first + size, self.n_maps)) for first in range(0, self.n_maps, size)]
        self.arrays = self._arrays(group)
        self.done = self._read(group)

    def fit(self, fitted: Callable[[slice], MapEnds], watch: Watch) -> MapEnds:
        """The ends of all maps: those of the parts that are not done are fitted, until a limit is met."""
        if watch.counting:
            watch.done += sum(part.stop - part.start for part in self._known())
        for number, part in enumerate(self.parts):
            if self.done[number] or watch.told != Status.RUNNING:
                continue
            some = fitted(part)
            if (some.status == int(watch.told)).any() and watch.told != Status.RUNNING:
                break  # not all of its maps have been reached
            self._write(number, some)
        self.found.status[~np.repeat(self.done, self.size)[: self.n_maps]] = int(watch.told)
        return self.found

    def put(self, ends: MapEnds) -> None:
        """Writes the ends of all maps."""
        for number, part in enumerate(self.parts):
            if not self.done[number]:
                self._write(number, some_ends(ends, part))

    def _known(self) -> list[slice]:
        return [part for part, is_done in zip(self.parts, self.done, strict=True) if is_done]

    def _write(self, number: int, some: MapEnds) -> None:
        named, part = named_arrays(some), self.parts[number]
        for name, one in named.items():
            self.arrays[name][part] = one
        self.arrays["checksum"][number] = _checksum(named)
        self.arrays["done"][number] = True
        self.found.put(part, some)
        self.done[number] = True

    def _read(self, group: Any) -> np.ndarray:
        """Takes over what the group holds; which parts (n_parts,) are done."""
        values = {name: read(group, name) for name in self.arrays}
        done, checksums = values.pop("done"), values.pop("checksum")
        for number in np.flatnonzero(done):
            rows = self.parts[number]
            part = {name: one[rows] for name, one in values.items()}
            done[number] = _checksum(part) == checksums[number] and bool(np.isfinite(part["seconds"]).all())
            for name, whole in named_arrays(self.found).items():
                whole[rows] = part[name] if done[number] else whole[rows]
        return done

    def _arrays(self, group: Any) -> dict[str, Any]:
        """The arrays of a group, made where they are not there."""
        n_parts = (len(self.parts),)
        found = {}
        for name, one in named_arrays(self.found).items():
            chunks = (self.size, *(max(1, m) for m in one.shape[1:]))
            found[name] = array_of(group, name, one.shape, one.dtype, chunks)
        found["checksum"] = array_of(group, "checksum", n_parts, np.dtype(np.uint32), (1,))
        found["done"] = array_of(group, "done", n_parts, np.dtype(bool), (1,))
        return found


def _checksum(named: dict[str, np.ndarray]) -> int:
    """Of the arrays of a part but its seconds, which are others in each process that fits it."""
    found = 0
    for name in sorted(named):
        if name != "seconds":
            found = zlib.crc32(np.ascontiguousarray(named[name]).tobytes(), found)
    return found
