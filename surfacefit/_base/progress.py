"""What a person sees while a fit runs: a bar, and a callback."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._model.surface import GaussianSurface

# Seconds; a faster fit needs no bar.
SHOWN_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class Progress:
    """What a callback sees after each chunk of steps; if it returns True, the fit stops and keeps its best.

    ``steps`` taken so far (those of growth and search among them), best ``cost`` and ``rmse`` so far in the user's
    units (with ``sigma``, this ``rmse`` weighs points as the cost does; with a prior both hold its penalty; for another
    loss than "linear" it is what residuals of that cost would have), ``elapsed`` seconds, and ``surface()``, the best
    `GaussianSurface` so far. ``stage`` says what is being done where a fit of very many components grows by regions.
    """

    steps: int
    cost: float
    rmse: float
    elapsed: float
    surface: Callable[[], GaussianSurface]
    loss: str = "linear"
    stage: str = ""

    @property
    def caption(self) -> str:
        """What the bar shows."""
        reached = f"rmse {self.rmse:.4g}" if self.loss == "linear" else f"cost {self.cost:.6g}"
        return f"{self.stage}, {reached}" if self.stage else reached


@dataclass(frozen=True)
class MixtureProgress:
    """What the callback of `fit_mixture` sees after each chunk of steps; if it returns True, the fit stops and keeps
    its best.

    ``steps`` taken so far, the highest ``log_likelihood`` so far, ``elapsed`` seconds, and ``mixture()``, the best
    `MixtureResult` so far.
    """

    steps: int
    log_likelihood: float
    elapsed: float
    mixture: Callable[[], Any]

    @property
    def caption(self) -> str:
        """What the bar shows."""
        return f"log-likelihood {self.log_likelihood:.6g}"


@dataclass(frozen=True)
class BatchProgress:
    """What the callback of `fit_many` sees after each chunk of maps; if it returns True, no further chunk is begun.

    done, total : maps that have ended, whatever their status, and all maps of the batch.
    elapsed : seconds since the call began, compilation included.
    """

    done: int
    total: int
    elapsed: float

    @property
    def steps(self) -> int:
        """What the bar counts: maps."""
        return self.done

    @property
    def caption(self) -> str:
        """What the bar shows beside their number."""
        return f"{self.elapsed:.3g} s"


class ProgressBar:
    """A tqdm bar in a terminal or a notebook, shown only if the fit takes longer than a second; ``total`` None is not
    known.
    """

    def __init__(self, show: bool | None, total: int | None, label: str, unit: str = "step"):
        self._begun = time.perf_counter()
        self._bar: Any = None
        self._show, self._total, self._label = watched() if show is None else show, total, label
        self._unit = unit

    def update(self, progress: Progress | MixtureProgress | BatchProgress) -> None:
        if not self._show or (self._bar is None and time.perf_counter() - self._begun < SHOWN_AFTER_SECONDS):
            return
        if self._bar is None:
            self._bar = self._open()
        self._bar.n = progress.steps
        self._bar.set_postfix_str(progress.caption)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _open(self) -> Any:
        with warnings.catch_warnings():
            # Without ipywidgets tqdm falls back to text, and warns; the text will do.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            return tqdm(total=self._total, desc=self._label, unit=self._unit, leave=False)


def watched() -> bool:
    """Whether a person is likely to be watching: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
