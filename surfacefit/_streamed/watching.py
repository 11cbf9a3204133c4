"""Who sees how far a fit of a map on disk has come, within its passes too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._base.progress import Progress, ProgressBar
from .._model.surface import GaussianSurface


@dataclass(frozen=True)
class StreamedProgress(Progress):
    """As `Progress`; of the pass that is under way ``n_read`` of ``n_points`` points have been read."""

    n_read: int = 0
    n_points: int = 1

    @property
    def caption(self) -> str:
        """What the bar shows."""
        fit = f"rmse {self.rmse:.4g}, " if np.isfinite(self.rmse) else ""
        return f"{fit}{self.n_read / self.n_points:.0%} of {self.n_points / 1e6:.4g} M points read"


@dataclass(eq=False)
class Watcher:
    """Shows the best so far to the bar and the callback, and what has been read to the bar."""

    bar: ProgressBar
    callback: Callable[[Progress], Any] | None
    n_points: int
    begun: float
    last: StreamedProgress = field(init=False)

    def __post_init__(self) -> None:
        nothing: Any = None
        self.last = StreamedProgress(0, np.inf, np.inf, 0.0, lambda: nothing, n_read=0, n_points=self.n_points)

    def seen(self, n_read: int) -> None:
        """So many points have been read in this pass."""
        self.last = replace(self.last, n_read=n_read, elapsed=time.perf_counter() - self.begun)
        self.bar.update(self.last)

    def stepped(self, steps: int, cost: float, n_used: int, surface: Callable[[], GaussianSurface]) -> bool:
        """So many steps have been taken to this cost, in the user's units; whether the fit must stop."""
        rmse = float(np.sqrt(2 * cost / n_used))
        self.last = StreamedProgress(
            steps,
            cost,
            rmse,
            time.perf_counter() - self.begun,
            surface,
            n_read=self.last.n_read,
            n_points=self.n_points,
        )
        self.bar.update(self.last)
        return bool(self.callback is not None and self.callback(self.last))
