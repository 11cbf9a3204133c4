r"""How the number of components is chosen: the options, and what is said of each number that was tried.

With n points, P free numbers and the weighted sum of squares S, the deviance D is n log(S / n), or S itself where the
standard deviations of the heights are known (``absolute_sigma``), and

    BIC = D + P log n,        AICc = D + 2 P + 2 P (P + 1) / (n - P - 1).

Schwarz, Annals of Statistics 6 (1978) 461; Hurvich & Tsai, Biometrika 76 (1989) 297. Both take the misfits of different
points for independent. Where they are not, as on terrain, errors at points left out in whole blocks are the better
guide: Roberts et al., Ecography 40 (2017) 913. Their curve is level and noisy about its minimum, so the smallest number
within one standard error of the least is taken: Breiman et al., Classification and Regression Trees (1984), section
3.4.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._base.checks import count, one_of, positive_number
from .._data.data import SurfaceData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CRITERIA = ("bic", "aicc", "held_out", "rmse", "r2")
LABELS = {"bic": "BIC", "aicc": "AICc", "held_out": "error in blocks left out", "rmse": "RMSE", "r2": "R2"}
ROUNDING = 1e-6


@dataclass(frozen=True)
class AutoComponents:
    """Chooses the number of components: ``n_components=sf.AutoComponents(...)``; "auto" is ``AutoComponents()``.

    Components are added, some at a time, until the criterion has got worse for a while; then those that matter least
    are taken away again one by one, and the best number met is kept. All that was tried is in ``result.path``, the
    background alone (K = 0) among it; where that is best the fit still holds one component, and its ``message`` says
    that none is called for.

    Parameters
    ----------
    criterion : "bic" (default) or "aicc", the lowest; "held_out", the fewest components whose error in blocks of the
        data that are left out in turns is within one standard error of the least; "rmse" or "r2", the fewest that reach
        ``target``.
    target : the root mean square of the residuals not to exceed, in the units of the heights, or the R² to reach.
    most : largest number to try; default 1000, or as many as have two points for each of their parameters.
    block : side of the blocks left out, in samples ("held_out" only). Wider than noise is alike, so that what is left
        out cannot be foretold from noise beside it; narrower than the components, since one that lies in a block as a
        whole is foretold by none.
    folds : in how many turns the blocks are left out, each block once ("held_out" only).

    >>> import surfacefit as sf
    >>> sf.AutoComponents("rmse", target=0.5).most
    1000
    """

    criterion: str = "bic"
    target: float | None = None
    most: int = 1000
    block: int = 6
    folds: int = 5

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
        count("n_components.folds", self.folds, 2)
        return self

    def key(self, entry: Entry, bar: float) -> tuple[float, float]:
        """The lower the better; of errors in blocks left out, those up to a bar are as good as one another."""
        if self.criterion in ("bic", "aicc"):
            return (0.0, getattr(entry, self.criterion))
        if self.criterion == "held_out":
            return (0.0, float(entry.n_components)) if entry.held_out <= bar else (1.0, entry.held_out)
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
    held_out: float = math.nan
    held_out_se: float = math.nan


class Deviance(NamedTuple):
    """What the criteria need of the data: points, spread of the heights (weighted), and whether their errors are
    known.
    """

    n_points: int
    spread: float
    absolute: bool

    @classmethod
    def of(cls, data: SurfaceData, known_errors: bool = False) -> Deviance:
        weights, heights = data.weights, data.used_heights.astype(float)
        middle = np.average(heights, weights=weights**2)
        return cls(
            data.n_used,
            float(np.sqrt(np.mean((weights * (heights - middle)) ** 2))),
            data.absolute_sigma or known_errors,
        )

    def entry(self, n_components: int, n_parameters: int, square: float, misfit: float | None = None) -> Entry:
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
        )


@dataclass(frozen=True, eq=False)
class ComponentPath:
    """All numbers of components that were tried, in rising order, and what was chosen.

    n_components, rmse, r2, bic, aicc, held_out, held_out_se : arrays (M,), the best fit met of each number. ``rmse`` is
        weighted by
    ``sigma`` where there is one; ``held_out`` is the mean error in the blocks left out over the folds, and
    ``held_out_se`` its standard error, NaN unless that was asked for.
    criterion, chosen : what was asked for, and the number that it led to; -1 if a limit was met before anything was
        tried. 0 is the background alone: the fit then holds one component, which is not called for.
    """

    n_components: np.ndarray
    rmse: np.ndarray
    r2: np.ndarray
    bic: np.ndarray
    aicc: np.ndarray
    held_out: np.ndarray
    held_out_se: np.ndarray
    criterion: str
    chosen: int

    @property
    def note(self) -> str:
        """What to know of the choice before the components are used; empty if there is nothing."""
        if self.chosen != 0:
            return ""
        return (
            f"No component is called for: by {LABELS[self.criterion]} the background alone does as well as any number"
        )

    def plot(self) -> Figure:
        """RMSE, BIC, errors in blocks left out (with standard errors) and the criterion against K, with the chosen one
        marked.
        """
        from .plot_path import plot_path

        return plot_path(self)


@dataclass(eq=False)
class Log:
    """The best fit met of each number, and which number is the best so far."""

    auto: AutoComponents
    entries: dict[int, Entry] = field(default_factory=dict)

    def note(self, entry: Entry) -> bool:
        """Whether this is the best of its number so far: of a number the lowest cost counts, which is that of the
        lowest BIC.
        """
        before = self.entries.get(entry.n_components)
        kept = before is None or entry.bic < before.bic
        if kept:
            self.entries[entry.n_components] = entry
        return kept

    @property
    def lowest(self) -> Entry:
        """That of the lowest value of the criterion."""
        return min(self.entries.values(), key=lambda entry: self.auto.key(entry, -math.inf))

    def best(self, least: int = 0) -> Entry | None:
        """That which is chosen, of ``least`` components or more; None if none was met."""
        return min(
            (entry for entry in self.entries.values() if entry.n_components >= least), key=self.key, default=None
        )

    def key(self, entry: Entry) -> tuple[float, float]:
        """The lower the better, beside all that was met."""
        lowest = self.lowest
        return self.auto.key(entry, lowest.held_out + lowest.held_out_se)

    def path(self) -> ComponentPath:
        best = self.best()
        entries = [self.entries[n] for n in sorted(self.entries)]
        columns: dict[str, Any] = {
            name: np.array([getattr(entry, name) for entry in entries]) for name in Entry._fields
        }
        return ComponentPath(**columns, criterion=self.auto.criterion, chosen=-1 if best is None else best.n_components)


def auto_components(n_components: Any) -> AutoComponents | int:
    """The checked option ``n_components``."""
    if isinstance(n_components, AutoComponents):
        return n_components.checked()
    if isinstance(n_components, str):
        one_of("n_components", n_components, ["auto"])
        return AutoComponents()
    return count("n_components", n_components)
