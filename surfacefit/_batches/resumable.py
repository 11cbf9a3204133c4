"""A batch that is written to a zarr group part by part, and continued there by a second call with the same arguments.

Each part of the batch is written whole, and its mark in ``done`` last, so that whenever a process is killed each part
is either done or fitted anew. So is a part whose files are lost or changed, which its checksum tells. A part does not
know what was fitted before it: the end is that of an unbroken run.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from .._base.status import Status
from .._many.batch_result import BatchResult
from .._many.fit_many import BatchWork, work_of
from .._many.map_numbers import MapEnds, named_arrays
from .chosen_numbers import is_chosen
from .fingerprint import fingerprint
from .groups import array_of, opened_group, read

# What a group says it is.
GROUP_FORMAT = "surfacefit batch in parts"

# Of the group: counted up by a change after which older groups cannot be continued.
GROUP_VERSION = 2

# Times as many maps a part as a program has room for: some for each core, so that few wait at the end of a part, and a
# kill loses little.
PROGRAMS_A_PART = 8


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
    """The parts of a batch in a zarr group: ``done`` and ``checksum`` (n_parts,), and the fields of `MapEnds` with a
    row for each map. A part is done if its numbers are those of its checksum.
    """

    def __init__(self, work: BatchWork, out: Any) -> None:
        self.work = work
        self.n_maps = len(work.batch.stack)
        self.size = PROGRAMS_A_PART * work.batch.room
        self.parts = [range(first, min(first + self.size, self.n_maps)) for first in range(0, self.n_maps, self.size)]
        self.found = work.batch.no_ends(self.n_maps, work.first)
        self.attributes = {
            "format": GROUP_FORMAT,
            "version": GROUP_VERSION,
            "shape": list(work.batch.stack.shape),
            "part_size": self.size,
            "fingerprint": fingerprint(work.batch),
        }
        self.group = opened_group(out, self._fill)
        self._check_belongs()
        self.arrays = self._arrays(self.group)
        self.done = self._read()

    def fit(self) -> None:
        """Fits the parts that are not done, until a limit is met."""
        watch = self.work.watch
        watch.done = sum(len(part) for part, is_done in zip(self.parts, self.done, strict=True) if is_done)
        for number, part in enumerate(self.parts):
            if self.done[number] or watch.told != Status.RUNNING:
                continue
            some = self.work.ends(part)
            if (some.status == int(watch.told)).any() and watch.told != Status.RUNNING:
                return  # not all of its maps have been reached
            named = named_arrays(some)
            for name, one in named.items():
                self.arrays[name][part.start : part.stop] = one
            self.arrays["checksum"][number] = _checksum(named)
            self.arrays["done"][number] = True
            self.found.put(slice(part.start, part.stop), some)
            self.done[number] = True

    def ends(self) -> MapEnds:
        """Where the maps of all parts that are done ended; of other maps only why there is nothing."""
        self.found.status[~np.repeat(self.done, self.size)[: self.n_maps]] = int(self.work.watch.told)
        return self.found

    def _read(self) -> np.ndarray:
        """Takes over what the group holds; which parts (n_parts,) are done."""
        values = {name: read(self.group, name) for name in self.arrays}
        done, checksums = values.pop("done"), values.pop("checksum")
        for number in np.flatnonzero(done):
            rows = slice(self.parts[number].start, self.parts[number].stop)
            part = {name: one[rows] for name, one in values.items()}
            done[number] = _checksum(part) == checksums[number] and bool(np.isfinite(part["seconds"]).all())
            for name, whole in named_arrays(self.found).items():
                whole[rows] = part[name] if done[number] else whole[rows]
        return done

    def _fill(self, group: Any) -> None:
        group.update_attributes(self.attributes)
        self._arrays(group)

    def _check_belongs(self) -> None:
        """Raises for a group of something else."""
        known = dict(self.group.attrs)
        if known.get("format") != GROUP_FORMAT:
            raise ValueError(f"`out` must be a new group or one of `fit_many`, got {self.group.store_path}")
        for name in ("version", "part_size", "fingerprint"):
            mine = self.attributes[name]
            if known.get(name) != mine:
                told = f"{name} {str(known.get(name))[:20]} instead of {str(mine)[:20]}"
                raise ValueError(f"`out` holds another fit, of other maps or options ({told}): give another path")

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
