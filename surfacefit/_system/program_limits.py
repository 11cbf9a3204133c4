"""How many compiled programs a process may hold: when it is time to drop them, before memory mappings run out.

Each program of XLA takes mappings of memory on a CPU, a solver's about 190, and beyond the number that Linux gives a
process (``vm.max_map_count``) the next compilation ends it by a segmentation fault.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import jax

# End of the name of the event that JAX reports for each program that it has compiled; a name of JAX's own, which a test
# holds: without it nothing would ever be dropped.
COMPILED_EVENT = "/backend_compile_duration"
# Programs that are compiled between two looks at the mappings, which take milliseconds each: of some 200 mappings each,
# so many cannot fill the other half of the room.
PROGRAMS_A_LOOK = 16
# Share of the mappings that a process may have from which programs are dropped: the rest is for those of the user's
# other libraries, and for what is compiled until the next look.
MAPPINGS_SHARE = 0.5
# Programs since the last drop from which they are dropped however few mappings they take, for the memory that they
# hold, 4 MB on average. A compromise: a fit that chooses its number of components compiles some forty.
MOST_PROGRAMS = 256
# Programs since the last drop below which none are dropped: what fills the mappings then is not ours.
LEAST_PROGRAMS = 64
# Mappings that Linux gives a process unless told otherwise.
USUAL_MAPPINGS = 65530


class ProgramCount:
    """Programs compiled since the last drop, and since the last look at the mappings."""

    def __init__(self) -> None:
        self.compiled, self.looked_at, self._lock = 0, 0, Lock()

    def listen(self, event: str, duration_secs: float, **_: Any) -> None:
        """To be told of JAX's events."""
        if event.endswith(COMPILED_EVENT):
            self.compiled += 1

    def time_to_drop(self) -> bool:
        """Whether all programs are to be dropped now, which it then takes for done. Costs nothing between looks."""
        if self.compiled - self.looked_at < PROGRAMS_A_LOOK:
            return False
        with self._lock:
            self.looked_at = self.compiled
            if self.compiled < LEAST_PROGRAMS:
                return False
            if self.compiled < MOST_PROGRAMS and n_mappings() < MAPPINGS_SHARE * most_mappings():
                return False
            self.compiled = self.looked_at = 0
            return True


def n_mappings() -> int:
    """Memory mappings of this process; 0 where the system does not say, and does not limit them."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0


def give_memory_back() -> None:
    """Lets the C library return what is free to the system: of programs that are dropped it keeps the memory else, in
    pieces that the next ones do not fit into. Only glibc can be asked.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def most_mappings() -> int:
    """Mappings that the system gives a process."""
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return USUAL_MAPPINGS


COUNT = ProgramCount()
"""The programs of this process."""

jax.monitoring.register_event_duration_secs_listener(COUNT.listen)
