"""Memory and cores that this process may use: what a container, a job queue or a shell allows, not what the host has.

Linux tells the limits of containers in control groups, as files below ``/sys/fs/cgroup``: version 2 in one tree
(``memory.max``, ``cpu.max``), version 1 in a tree for each resource. A limit holds for all groups below it, so the
least on the way from the process's own group to the root counts. See cgroups(7) and the kernel's
Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

# Where Linux shows control groups, and which of them this process is in.
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_bytes() -> float:
    """Bytes of memory that this process may take at most; infinity where nothing is said."""
    return min(_host_memory(), _group_memory(), _address_space_left())


def cores() -> int:
    """Cores that this process may use, at least one; part of a core counts as a whole one."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    pinned = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(pinned, _group_cores())))


def _host_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _group_memory() -> float:
    files = [("", "memory.max"), ("memory", "memory.limit_in_bytes")]
    return min((_number(text) for kind, name in files for text in _texts(kind, name)), default=math.inf)


def _group_cores() -> float:
    """Seconds of computing a second."""
    shares = [_number(quota) / _number(period) for quota, period in (text.split() for text in _texts("", "cpu.max"))]
    quotas, periods = (_texts("cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    shares += [_number(quota) / _number(period) for quota, period in zip(quotas, periods, strict=False)]
    return min(shares, default=math.inf)


def _texts(kind: str, name: str) -> tuple[str, ...]:
    """What a file says in this process's group and those above it: of version 2, or of a ``kind`` of version 1."""
    return _read_once(CGROUPS / kind if kind else CGROUPS, OWN_CGROUPS, kind, name)


@lru_cache(maxsize=64)  # limits hardly change while a process runs, and reading them takes 0.6 ms
def _read_once(root: Path, own: Path, kind: str, name: str) -> tuple[str, ...]:
    texts = []
    for folder in _own_folders(root, own, kind):
        with suppress(OSError):  # the root of version 2 has none, nor has a group of which a container does not see
            texts.append((folder / name).read_text(encoding="ascii").strip())
    return tuple(texts)


def _own_folders(root: Path, own: Path, kind: str) -> list[Path]:
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    paths = [path for _, kinds, path in lines if kind in kinds.split(",")]
    groups = [Path(path.lstrip("/")) for path in paths]
    return list(dict.fromkeys(root / above for group in groups for above in (group, *group.parents)))


def _number(text: str) -> float:
    """A limit: "max" and what is negative are none."""
    value = math.inf if text == "max" else float(text)
    return value if value >= 0 else math.inf


def _address_space_left() -> float:
    """Bytes that ``ulimit -v`` leaves beside what is mapped already, libraries and XLA's reserves included."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return math.inf
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        return float(max(0, limit - mapped))
    except (ImportError, OSError):
        return math.inf
