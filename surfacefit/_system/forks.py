"""A clear error instead of a deadlock in a process that was forked after JAX had begun.

XLA computes in threads, of which a fork copies none: the child waits forever for the first answer of one.
"""

from __future__ import annotations

import os


class ForkState:
    """Whether this library has computed in this process, and whether it had in the one that this is a copy of."""

    begun = False
    copied = False

    def after_fork(self) -> None:
        """To be called in a child."""
        self.copied = self.copied or self.begun

    def begin(self) -> None:
        """To be called before anything is computed; raises RuntimeError where it would never end."""
        self.begun = True
        if self.copied:
            raise RuntimeError(
                "this process was forked from one that had computed with surfacefit before, so that the threads of XLA"
                " are missing and nothing would ever be computed: start processes by"
                ' `multiprocessing.get_context("spawn")`, also as'
                ' `ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))`, or fork before the first fit'
            )


STATE = ForkState()
"""The state of this process."""

if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=STATE.after_fork)
