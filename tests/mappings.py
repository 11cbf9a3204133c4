"""Each compiled program takes mappings of memory, of which Linux gives a process 65,530; beyond, XLA crashes."""

import gc
import itertools
from pathlib import Path

import jax

CALLS, MAPPINGS = itertools.count(1), Path("/proc/self/maps")


def do_not_run_out():
    """To be called after a test or an example: clears JAX's caches where too many are taken."""
    if next(CALLS) % 16 == 0 and MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
        gc.collect()
