"""Memory and cores as containers of either version of control groups, and `ulimit`, allow."""

import math
import os

import pytest

from surfacefit._base.memory import DEFAULT_MEMORY_SHARE, memory_limit
from surfacefit._system import container

HUGE = 2**60
# what /proc/self/cgroup says, files below /sys/fs/cgroup, and the bytes and cores that are then allowed
GROUPS = {
    "version 2": ("0::/a/b\n", {"a/b/memory.max": "4000", "a/b/cpu.max": "150000 100000"}, 4000, 2),
    "version 2, seen from inside": ("0::/\n", {"memory.max": "4000", "cpu.max": "100000 100000"}, 4000, 1),
    "a limit above": (
        "0::/a/b\n",
        {"a/b/memory.max": "max", "a/memory.max": "7000", "a/cpu.max": "50000 100000"},
        7000,
        1,
    ),
    "no limit": ("0::/a\n", {"a/memory.max": "max", "a/cpu.max": "max 100000"}, HUGE, 64),
    "version 1": (
        "9:name=systemd:/x\n4:memory:/docker/c\n2:cpu,cpuacct:/docker/c\n",
        {
            "memory/docker/c/memory.limit_in_bytes": "5000",
            "cpu/docker/c/cpu.cfs_quota_us": "300000",
            "cpu/docker/c/cpu.cfs_period_us": "100000",
        },
        5000,
        3,
    ),
    "version 1, seen from inside": (
        "4:memory:/docker/c\n2:cpu,cpuacct:/docker/c\n",
        {
            "memory/memory.limit_in_bytes": "5000",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        5000,
        64,
    ),
    "no groups": (None, {}, HUGE, 64),
}


@pytest.mark.parametrize("case", GROUPS)
def test_control_groups_limit_memory_and_cores(case, tmp_path, monkeypatch):
    own, files, n_bytes, n_cores = GROUPS[case]
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text + "\n")
    if own is not None:
        (tmp_path / "own").write_text(own)
    monkeypatch.setattr(container, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(container, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(container, "_host_memory", lambda: float(HUGE))
    monkeypatch.setattr(container, "_address_space_left", lambda: math.inf)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert container.memory_bytes() == n_bytes
    assert container.cores() == n_cores
    assert memory_limit(None) == DEFAULT_MEMORY_SHARE * n_bytes
    assert memory_limit(3.0) == 3e9


def test_affinity_limits_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert container.cores() == 1


def test_what_ulimit_leaves_counts(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10**13, 10**13))
    left = container._address_space_left()
    assert 0 < left < 10**13
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1000, 1000))
    assert container._address_space_left() == 0
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert container._address_space_left() == math.inf
