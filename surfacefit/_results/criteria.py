r"""How the number of components is chosen: the options, and the quality of each number that was tried.

With n points and the weighted sum of squares S, the deviance for BIC and AICc (`_base/information_criteria`) is
n log(S / n), or S itself where the standard deviations of the heights are known (``absolute_sigma``); otherwise their
variance counts as one more free number. Both criteria assume that the misfits of different points are independent.
Where V of them count as one (`_data/effective_size`), the likelihood of a smooth change is that of n / V points, and
the criterion is

.. math:: D / V + p \log(n / V)

with the deviance D and p free numbers; where a prior determines some of these, p is the effective number that the data
determine (`_problem/loss_views`). For the effective number of points see Zieba & Ramza, Metrology and Measurement
Systems 18 (2011) 529. V is that of the richest fit of the walk: what a smaller one lacks is no noise.

Errors in blocks left out ask for prediction instead: Roberts et al., Ecography 40 (2017) 913. Their curve is flat and
noisy near its minimum, so that the smallest number within one standard error of the lowest is taken: Breiman et al.,
Classification and Regression Trees (1984), section 3.4.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._base.checks import count, not_negative, one_of, positive_number
from .._base.information_criteria import aicc, bic, with_variance
from .._data.data import SurfaceData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Names of the option, as `AutoComponents.criterion` takes them.
CRITERIA = ("effective_bic", "significance", "bic", "aicc", "held_out", "rmse", "r2")
# Those that take the correlation of residuals into account, and keep no component below ``n_sigma``.
NOISE_CRITERIA = ("effective_bic", "significance")
# How summaries and plots write them.
LABELS = {
    "effective_bic": "BIC of effective points",
    "significance": "significance",
    "bic": "BIC",
    "aicc": "AICc",
    "held_out": "error in blocks left out",
    "rmse": "RMSE",
    "r2": "R2",
}
# Components that the BIC supports for each one that is significant, from which on the message says so: the model then
# is an approximation, whose components stand in for each other.
MANY_SUPPORTED = 2
# Of the spread of the heights: an RMSE below counts as this. Otherwise the logarithm of rounding errors would choose.
MIN_RELATIVE_RMSE = 1e-6


@dataclass(frozen=True)
class AutoComponents:
    """Chooses the number of components: ``n_components=sf.AutoComponents(...)``; "auto" is ``AutoComponents()``.

    Components are added, a few at a time, until the criterion has become worse for a while. Then those that matter
    least are removed one by one, and the best number met is kept. ``result.path`` lists all numbers that were tried,
    the background alone (K = 0) among them: where it is best, the fit has no component, and its ``message`` says so.

    Parameters
    ----------
    criterion : "effective_bic" (default): the number with the lowest BIC, where residuals that are correlated count as
        fewer points; then components that are not significant go. "significance": as many components as are
        significant. "bic" or "aicc": the number with the lowest value; every point counts as independent.
        "held_out": the fewest components whose error in blocks left out is within one standard error of the lowest.
        "rmse" or "r2": the fewest components that reach ``target``.
    target : for "rmse" the largest root mean square of the residuals, in the units of the heights; for "r2" the R² to
        reach. Must be None for the other criteria.
    most : largest number to try; at most as many as leave two points for each parameter.
    block : side of the blocks left out, in samples ("held_out" only). It should be wider than the correlation length of
        the noise, or noise next to a block predicts the noise in it; and narrower than the components, since nothing
        predicts a component that lies entirely in a block.
    folds : number of parts into which the blocks are divided; each part is left out once ("held_out" only).
    n_sigma : a component is significant if its amplitude exceeds so many of its standard errors, which take the
        residuals' correlation into account ("effective_bic" and "significance" only).
    tolerance : what the model itself cannot do, as a share of the local height, which is that of the highest component
        with the point within four of its widths. Misfit below this share counts as none, and no component stays whose
        amplitude is below it ("effective_bic" and "significance" only).

    Raises ValueError or TypeError, when the fit begins, for values that do not fit these rules.

    >>> import surfacefit as sf
    >>> sf.AutoComponents("rmse", target=0.5).most
    1000
    """

    criterion: str = "effective_bic"
    target: float | None = None
    most: int = 1000
    block: int = 6
    folds: int = 5
    n_sigma: float = 5.0
    tolerance: float = 0.0

    def checked(self) -> AutoComponents:
        """These options, or ValueError or TypeError that names the wrong one."""
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
        positive_number("n_components.n_sigma", self.n_sigma)
        if not_negative("n_components.tolerance", self.tolerance) >= 1:
            raise ValueError(f"`n_components.tolerance` must be below 1, got {self.tolerance!r}")
        if self.tolerance and not self.sees_noise:
            raise ValueError(
                f"`n_components.criterion`={self.criterion!r} has no `tolerance`, got {self.tolerance!r}: use"
                f" {' or '.join(map(repr, NOISE_CRITERIA))}"
            )
        return replace(self, most=int(self.most), block=int(self.block), folds=int(self.folds))

    @property
    def sees_noise(self) -> bool:
        """Whether the criterion takes the correlation of residuals into account."""
        return self.criterion in NOISE_CRITERIA

    def key(self, entry: Entry, limit: float) -> tuple[float, float]:
        """What to sort entries by, the best first; errors in blocks left out count as equal up to ``limit``."""
        if self.sees_noise:
            return (0.0, entry.effective_bic)
        if self.criterion in ("bic", "aicc"):
            return (0.0, getattr(entry, self.criterion))
        if self.criterion == "held_out":
            return (0.0, float(entry.n_components)) if entry.held_out <= limit else (1.0, entry.held_out)
        assert self.target is not None
        reached = entry.rmse <= self.target if self.criterion == "rmse" else entry.r2 >= self.target
        return (0.0, float(entry.n_components)) if reached else (1.0, entry.rmse)


class Entry(NamedTuple):
    """The best fit met with one number of components."""

    n_components: int
    rmse: float
    r2: float
    bic: float
    aicc: float
    n_parameters: float
    effective_bic: float
    held_out: float = math.nan
    held_out_se: float = math.nan
    significance: float = math.nan


class Deviance(NamedTuple):
    """What criteria need of the data: number of points, root mean square of the weighted heights about their mean, and
    whether the errors of the heights are known.
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

    def entry(
        self,
        n_components: int,
        n_parameters: float,
        square: float,
        misfit: float | None = None,
        counted: float | None = None,
    ) -> Entry:
        """From twice the cost and, where they are other numbers, the weighted sum of squares and the part of twice the
        cost that counts as misfit. ``n_parameters`` are those that the data determine, all without a prior.
        """
        n, mean = self.n_points, square / self.n_points
        plain = mean if misfit is None else misfit / n
        floor = (MIN_RELATIVE_RMSE * self.spread) ** 2
        deviance = square if self.absolute else n * math.log(max(mean, floor, 1e-300))
        seen = square if counted is None else counted
        seen_deviance = seen if self.absolute else n * math.log(max(seen / n, floor, 1e-300))
        number = with_variance(n_parameters, self.absolute)
        return Entry(
            n_components,
            math.sqrt(plain),
            1 - plain / self.spread**2 if self.spread else 0.0,
            bic(deviance, number, n),
            aicc(deviance, number, n),
            n_parameters,
            bic(seen_deviance, number, n),
        )

    def effective(self, entry: Entry, volume: float) -> Entry:
        """The entry where ``volume`` points count as one."""
        n, number = self.n_points, with_variance(entry.n_parameters, self.absolute)
        deviance = entry.effective_bic - bic(0.0, number, n)
        return entry._replace(effective_bic=bic(deviance / volume, number, n / volume))


@dataclass(frozen=True, eq=False)
class ComponentPath:
    """All numbers of components that were tried, in rising order, and which one was chosen.

    n_components : (M,) the numbers.
    rmse, r2, bic, aicc : (M,) of the best fit met with each number; ``rmse`` is weighted by ``sigma`` if there is one.
    held_out, held_out_se : (M,) mean error in the blocks left out, in the units of ``rmse``, and its standard error
        over the folds; NaN unless the criterion is "held_out".
    n_parameters : (M,) free numbers; with a prior the effective number tr(N_data N^-1) of them that the data determine,
        as in `FitResult.statistics`. BIC and AICc count these.
    effective_bic : (M,) BIC where ``correlation_volume`` points count as one; that of "bic" where this is 1.
    significance : (M,) least amplitude of a component over its standard error, the residuals' correlation included;
        NaN where it was not looked at.
    criterion : the criterion asked for.
    chosen : the number chosen. 0 is the background alone: the data support no component. -1 if a limit was met before
        any number was tried.
    correlation_volume : how many points count as one, from the correlation of the residuals of the richest fit; 1
        where they are not correlated, or the criterion does not ask.
    """

    n_components: np.ndarray
    rmse: np.ndarray
    r2: np.ndarray
    bic: np.ndarray
    aicc: np.ndarray
    held_out: np.ndarray
    held_out_se: np.ndarray
    n_parameters: np.ndarray
    effective_bic: np.ndarray
    significance: np.ndarray
    criterion: str
    chosen: int
    correlation_volume: float = 1.0

    @property
    def _supported(self) -> int:
        return int(self.n_components[np.argmin(self.effective_bic)])

    @property
    def note(self) -> str:
        """What to know about the choice before the components are used; empty if there is nothing."""
        if self.chosen == 0:
            by = LABELS[self.criterion]
            return f"The data support no component: by {by} the background alone is as good as any number"
        if self.chosen < 0:
            return ""
        supported = self._supported
        if self.criterion != "effective_bic" or not 0 < self.chosen < supported / MANY_SUPPORTED:
            return ""
        return (
            f"The BIC supports {supported} components, of which {self.chosen} are significant: the data are no sum of"
            " few Gaussians. For a closer approximation give a number, or AutoComponents('r2', target=...)"
        )

    def plot(self) -> Figure:
        """RMSE, BIC, errors in blocks left out (with standard errors) and the criterion against K, as a Figure.

        The chosen K is marked. Needs matplotlib: ``pip install surfacefit[plot]``.
        """
        from .._plots.path import plot_path

        return plot_path(self)


def decided_by(path: ComponentPath) -> str:
    """The criterion that decided: "significance" where components went that the one asked for would have kept."""
    judged = path.criterion == "effective_bic" and np.isfinite(path.significance).any()
    return "significance" if judged and path.chosen < path._supported else path.criterion


@dataclass(eq=False)
class Log:
    """The best fit met with each number of components, and which number is best so far.

    ``volume`` points count as one; ``settled`` is the number that was chosen at last, if another than the best one.
    """

    auto: AutoComponents
    deviance: Deviance
    volume: float = 1.0
    settled: int | None = None
    entries: dict[int, Entry] = field(default_factory=dict)

    def note(self, entry: Entry) -> bool:
        """Whether this is the best fit of its number so far, by the cost; at one number BIC orders fits as costs do."""
        before = self.entries.get(entry.n_components)
        kept = before is None or entry.effective_bic < before.effective_bic
        if kept:
            self.entries[entry.n_components] = entry
        return kept

    @property
    def lowest(self) -> Entry:
        """The entry with the lowest value of the criterion."""
        return min(self.entries.values(), key=lambda entry: self.auto.key(self._judged(entry), -math.inf))

    def best(self, least: int = 0) -> Entry | None:
        """The entry chosen among those of ``least`` components or more; None if there is none."""
        return min(
            (entry for entry in self.entries.values() if entry.n_components >= least), key=self.key, default=None
        )

    def key(self, entry: Entry) -> tuple[float, float]:
        """What to sort entries by, the best first, among all that were met."""
        lowest = self.lowest
        return self.auto.key(self._judged(entry), lowest.held_out + lowest.held_out_se)

    def path(self) -> ComponentPath:
        best = self.best() if self.settled is None else self.entries[self.settled]
        entries = [self._judged(self.entries[n]) for n in sorted(self.entries)]
        columns: dict[str, Any] = {
            name: np.array([getattr(entry, name) for entry in entries]) for name in Entry._fields
        }
        return ComponentPath(
            **columns,
            criterion=self.auto.criterion,
            chosen=-1 if best is None else best.n_components,
            correlation_volume=self.volume,
        )

    def _judged(self, entry: Entry) -> Entry:
        return self.deviance.effective(entry, self.volume)


def auto_components(n_components: Any) -> AutoComponents | int:
    """The checked option ``n_components``."""
    if isinstance(n_components, AutoComponents):
        return n_components.checked()
    if isinstance(n_components, str) and n_components == "auto":
        return AutoComponents()
    try:
        return count("n_components", n_components)
    except TypeError as error:
        raise TypeError(f"{error}: give one number, 'auto', or AutoComponents(..., most=20) to choose one") from None
