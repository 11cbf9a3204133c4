"""A batch that is written to a zarr group part by part, and continued there by a second call with the same arguments.

A plain batch is one round of fits, whose parts are the group's own arrays. Ways that fit maps more than once, or choose
before they fit, keep the parts of each round, and of each choice, in groups below. All of them are deterministic, so a
second call goes the same way and finds what there is: the end is that of an unbroken run. What is known at last is in
the group's own arrays, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .._base.status import Status
from .._many.batch_result import BatchResult
from .._many.fit_many import BatchWork, work_of
from .._many.lanes import Batch
from .._many.map_numbers import MapEnds, some_ends
from .._results.criteria import auto_components
from .chosen_numbers import choice_work, fit_chosen, is_chosen
from .fingerprint import differences, fingerprint
from .groups import opened_group
from .kept_choices import KeptChoices
from .neighbours import fit_on_lattices, lattice_work
from .stored_parts import StoredParts

# What a group says it is.
GROUP_FORMAT = "surfacefit batch in parts"
# Of the group: counted up by a change after which older groups cannot be continued.
GROUP_VERSION = 3
# Times as many maps a part as a program has room for: some for each core, so that few wait at the end of a part, and a
# kill loses little.
PROGRAMS_A_PART = 8
# Maps whose numbers are chosen together: each takes a tenth of a second or more, so that a kill loses some seconds.
CHOICES_A_PART = 64
# Arguments that an error names; of more it says how many.
MOST_NAMED = 4


def fit_into_group(options: dict[str, Any]) -> BatchResult:
    """The result of `fit_many` with ``out``."""
    ways: dict[str, Any]
    if is_chosen(options["n_components"]):
        ways, work = {"n_components": auto_components(options["n_components"])}, choice_work(options)
    elif isinstance(options["init"], str) and options["init"] == "neighbours":
        ways, work = {"init": "neighbours"}, lattice_work(options)
    else:
        ways, work = {}, work_of(options)
    try:
        size = PROGRAMS_A_PART * work.batch.room
        group = _group(options["out"], work, size, ways)
        rounds = _Rounds(group, size)
        kept = KeptWork(**{one.name: getattr(work, one.name) for one in fields(BatchWork)}, rounds=rounds)
        if not ways:
            nothing = work.batch.no_ends(len(work.batch.stack), work.first)
            return work.result(StoredParts(group, nothing, size).fit(lambda part: work.ends(_flats(part)), work.watch))
        if "init" in ways:
            result = fit_on_lattices(kept)
        else:
            result = fit_chosen(kept, ways["n_components"], KeptChoices(group, CHOICES_A_PART))
        if work.watch.told == Status.RUNNING:
            ends = result.results.ends
            StoredParts(group, some_ends(ends, np.arange(len(ends.cost))), size).put(ends)
        return result
    finally:
        work.watch.bar.close()


@dataclass(frozen=True, eq=False)
class KeptWork(BatchWork):
    """Work whose fits are kept in rounds: those of a call are found again by the number of the call."""

    rounds: _Rounds

    def ends(self, flats: Sequence[int], batch: Batch | None = None) -> MapEnds:
        """As `BatchWork.ends`."""
        chosen, every = batch or self.batch, np.asarray(flats, int)
        parts = self.rounds.next(every, chosen.no_ends(len(every), self.first))
        return parts.fit(lambda part: BatchWork.ends(self, every[part].tolist(), chosen), self.watch)


@dataclass(eq=False)
class _Rounds:
    """The rounds of fits below a group, each of which knows its maps."""

    group: Any
    size: int
    number: int = field(default=0)

    def next(self, flats: np.ndarray, nothing: MapEnds) -> StoredParts:
        """The parts of the next round, of fits of these maps."""
        name, maps = f"round_{self.number}", flats.tolist()
        self.number += 1
        if name not in self.group or dict(self.group[name].attrs).get("maps") != maps:
            self.group.create_group(name, overwrite=True).update_attributes({"maps": maps})
        return StoredParts(self.group[name], nothing, self.size)


def _group(out: Any, work: BatchWork, size: int, ways: Mapping[str, Any]) -> Any:
    """The group of a batch, a new one or one of the same arguments."""
    attributes = {
        "format": GROUP_FORMAT,
        "version": GROUP_VERSION,
        "shape": list(work.batch.stack.shape),
        "part_size": size,
        "arguments": fingerprint(work.batch, ways),
    }
    group = opened_group(out, lambda group: group.update_attributes(attributes))
    _check_belongs(group, attributes)
    return group


def _check_belongs(group: Any, attributes: dict[str, Any]) -> None:
    """Raises for a group of something else."""
    known = dict(group.attrs)
    if known.get("format") != GROUP_FORMAT:
        raise ValueError(f"`out` must be a new group or one of `fit_many`, got {group.store_path}")
    for name in ("version", "part_size"):
        if known.get(name) != attributes[name]:
            raise ValueError(
                f"`out` holds a batch of another version of surfacefit ({name} {known.get(name)} instead of"
                f" {attributes[name]}): give another path"
            )
    found = differences(known["arguments"], attributes["arguments"])
    if found:
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise ValueError(
            f"`out` holds another fit: {'; '.join(found[:MOST_NAMED])}{more}: give the same arguments or another path"
        )


def _flats(part: slice) -> Sequence[int]:
    return range(part.start, part.stop)
