r"""How the number of components is chosen: the options, and what is said of each number that was tried.

With n points, P free numbers and the weighted sum of squares S, the deviance D is n log(S / n), or S itself where the standard
deviations of the heights are known (``absolute_sigma``), and

    BIC = D + P log n,        AICc = D + 2 P + 2 P (P + 1) / (n - P - 1).

Schwarz, Annals of Statistics 6 (1978) 461; Hurvich & Tsai, Biometrika 76 (1989) 297. Both take the misfits of different points for
independent. Where they are not, as on terrain, errors at points left out in whole blocks are the better guide: Roberts et al.,
Ecography 40 (2017) 913.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._checks import count, one_of, positive_number
from ._data import SurfaceData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CRITERIA = ("bic", "aicc", "held_out", "rmse", "r2")
LABELS = {"bic": "BIC", "aicc": "AICc", "held_out": "error in blocks left out", "rmse": "RMSE", "r2": "R2"}
ROUNDING = 1e-6


@dataclass(frozen=True)
class AutoComponents:
    """Chooses the number of components: ``n_components=sf.AutoComponents(...)``; "auto" is ``AutoComponents()``.

    Components are added, some at a time, until the criterion has got worse for a while; then those that matter least are taken
    away again one by one, and the best number met is kept. All that was tried is in ``result.path``.

    Parameters
    ----------
    criterion : "bic" (default) or "aicc", the lowest; "held_out", the lowest error in blocks of the data that are left out of the
        fit while it grows; "rmse" or "r2", the fewest components that reach ``target``.
    target : the root mean square of the residuals not to exceed, in the units of the heights, or the R² to reach.
    most : largest number to try; default 1000, or as many as have two points for each of their parameters.
    block : side of the blocks left out, in samples ("held_out" only); they should be no smaller than what is not to be fitted.
    share : share of the points left out ("held_out" only).

    >>> import surfacefit as sf
    >>> sf.AutoComponents("rmse", target=0.5).most
    1000
    """

    criterion: str = "bic"
    target: float | None = None
    most: int = 1000
    block: int = 8
    share: float = 0.2

    def checked(self) -> AutoComponents:
        one_of("n_components.criterion", self.criterion, CRITERIA)
        count("n_components.most", self.most)
        count("n_components.block", self.block)
        needs = self.criterion in ("rmse", "r2")
        if needs != (self.target is not None):
            rule = "needs" if needs else "has no"
            raise ValueError(f"`n_components.criterion`={self.criterion!r} {rule} `target`, got target={self.target!r}")
        if needs:
            positive_number("n_components.target", self.target)
        if self.criterion == "r2" and not float(self.target or 0) < 1:
            raise ValueError(f"`n_components.target` of 'r2' must be below 1, got {self.target!r}")
        if not 0 < float(self.share) < 1:
            raise ValueError(f"`n_components.share` must be between 0 and 1, got {self.share!r}")
        return self

    def key(self, entry: Entry) -> tuple[float, float]:
        """The lower the better."""
        if self.criterion in ("bic", "aicc", "held_out"):
            return (0.0, getattr(entry, self.criterion))
        assert self.target is not None
        reached = entry.rmse <= self.target if self.criterion == "rmse" else entry.r2 >= self.target
        return (0.0, float(entry.n_components)) if reached else (1.0, entry.rmse)


class Entry(NamedTuple):
    """What is known of one number of components."""

    n_components: int
    rmse: float
    r2: float
    bic: float
    aicc: float
    held_out: float


class Deviance(NamedTuple):
    """What the criteria need of the data: points, spread of the heights (weighted), and whether their errors are known."""

    n_points: int
    spread: float
    absolute: bool

    @classmethod
    def of(cls, data: SurfaceData, known_errors: bool = False) -> Deviance:
        weights, heights = data.weights, data.used_heights.astype(float)
        middle = np.average(heights, weights=weights**2)
        return cls(data.n_used, float(np.sqrt(np.mean((weights * (heights - middle)) ** 2))), data.absolute_sigma or known_errors)

    def entry(self, n_components: int, n_parameters: int, square: float, misfit: float | None = None, held_out: float = math.nan) -> Entry:
        """From twice the cost, and from the weighted sum of squares where the loss makes that another number."""
        n, mean = self.n_points, square / self.n_points
        plain = mean if misfit is None else misfit / n
        floor = (ROUNDING * self.spread) ** 2
        deviance = square if self.absolute else n * math.log(max(mean, floor, 1e-300))
        spare = n - n_parameters - 1
        return Entry(
            n_components,
            math.sqrt(plain),
            1 - plain / self.spread**2 if self.spread else 0.0,
            deviance + n_parameters * math.log(n),
            deviance + 2 * n_parameters * (1 + (n_parameters + 1) / spare) if spare > 0 else math.inf,
            held_out,
        )


@dataclass(frozen=True, eq=False)
class ComponentPath:
    """All numbers of components that were tried, in rising order, and what was chosen.

    n_components, rmse, r2, bic, aicc, held_out : arrays (M,), the best fit met of each number. ``rmse`` is weighted by ``sigma`` where
    there is one, over the points that were fitted; ``held_out`` is the error in the blocks left out, NaN unless that was asked for.
    criterion, chosen : what was asked for, and the number that it led to.
    """

    n_components: np.ndarray
    rmse: np.ndarray
    r2: np.ndarray
    bic: np.ndarray
    aicc: np.ndarray
    held_out: np.ndarray
    criterion: str
    chosen: int

    def plot(self) -> Figure:
        """RMSE and the criterion against the number of components, with the chosen one marked."""
        from ._plot_path import plot_path

        return plot_path(self)


@dataclass(eq=False)
class Log:
    """The best entry of each number, as it is met."""

    entries: dict[int, Entry] = field(default_factory=dict)

    def note(self, entry: Entry, auto: AutoComponents) -> None:
        before = self.entries.get(entry.n_components)
        if before is None or auto.key(entry) < auto.key(before):
            self.entries[entry.n_components] = entry

    def path(self, auto: AutoComponents, chosen: int) -> ComponentPath:
        entries = [self.entries[n] for n in sorted(self.entries)]
        columns: dict[str, Any] = {name: np.array([getattr(entry, name) for entry in entries]) for name in Entry._fields}
        return ComponentPath(**columns, criterion=auto.criterion, chosen=chosen)


def auto_components(n_components: Any) -> AutoComponents | int:
    """The checked option ``n_components``."""
    if isinstance(n_components, AutoComponents):
        return n_components.checked()
    if isinstance(n_components, str):
        one_of("n_components", n_components, ["auto"])
        return AutoComponents()
    return count("n_components", n_components)
