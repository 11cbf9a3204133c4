"""The best surface so far, shown no more often than an eye or a network needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..._base.progress import Progress

# Seconds between two frames: ten a second look smooth.
FRAME_SECONDS = 0.1

# Seconds of fitting for each second of showing: a frame that takes long to make comes less often.
FITTING_SHARE = 4


class Frames:
    """A callback of `fit`: shows frames, and stops the fit when it is told to."""

    def __init__(self, show: Callable[[Progress], Any]):
        self._show = show
        self._due = 0.0
        self.stop = threading.Event()

    def __call__(self, progress: Progress) -> bool:
        begun = time.perf_counter()
        if begun >= self._due:
            self._show(progress)
            ended = time.perf_counter()
            self._due = ended + max(FRAME_SECONDS, FITTING_SHARE * (ended - begun))
        return self.stop.is_set()
