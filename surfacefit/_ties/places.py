"""Where the numbers of a name stand in the parameter vector (P,).

While rules are followed, the shape numbers of a component may stand for its principal widths and a rotation, as many
numbers as before: so a place in the vector is the place of one number, whatever that stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._model.block_layout import ALPHA, BlockLayout
from .._model.covariance import CovarianceType
from .formulas import Reference


@dataclass(frozen=True)
class Places:
    """The places of the numbers of ``count`` components; equal for fits of one form."""

    layout: BlockLayout
    count: int
    covariance: CovarianceType

    @property
    def n_widths(self) -> int:
        """Widths of a component that are numbers of its own: d, 1 for balls, none where all share a shape."""
        layout = self.layout
        return min(layout.n_dim, layout.shapes.stop - layout.shapes.start)

    @property
    def n_turns(self) -> int:
        """Numbers of a component's rotation: the angle in 2-D."""
        return self.layout.shapes.stop - self.layout.shapes.start - self.n_widths

    @property
    def _blocks(self) -> np.ndarray:
        """Places (K, p) of the components' own numbers."""
        size = self.layout.block_size
        return np.arange(self.count * size).reshape(self.count, size)

    @property
    def amplitudes(self) -> np.ndarray:
        return self._blocks[:, ALPHA]

    @property
    def centers(self) -> np.ndarray:
        return self._blocks[:, self.layout.centers]

    @property
    def shapes(self) -> np.ndarray:
        return self._blocks[:, self.layout.shapes]

    @property
    def widths(self) -> np.ndarray:
        return self.shapes[:, : self.n_widths]

    @property
    def turns(self) -> np.ndarray:
        return self.shapes[:, self.n_widths :]

    @property
    def background(self) -> np.ndarray:
        return np.arange(self.layout.n_parameters)[self.layout.n_own :][self.layout.background]

    def read(self, one: Reference) -> frozenset[int]:
        """The places of all numbers on which those of a name depend."""
        if one.name == "volumes":
            whole = np.concatenate([self.amplitudes[:, None], self.shapes], axis=1)
            return self._some(whole, one)
        if one.name in ("covariances", "aspects"):
            return self._some(self.shapes if one.name == "covariances" else self.widths, one)
        return self.written(one)

    def written(self, one: Reference) -> frozenset[int]:
        """The places of the numbers that follow where those of a name are set: of a volume the amplitude, of an aspect
        ratio the second width.
        """
        if one.name in ("widths", "angles", "aspects", "covariances") and not self.shapes.size:
            raise ValueError(
                f"`tie` names {one}, but with covariance_type='tied' no component has a shape of its own: leave it out"
            )
        if one.name in ("angles", "aspects") and (self.n_widths, self.n_turns) != (2, 1):
            raise ValueError(f"`tie` names {one}: angles and aspects are those of covariance_type='full' in 2-D")
        if one.name == "background" and not len(self.background):
            raise ValueError("`tie` names the background, and background=None has none: leave it out")
        if one.name == "covariances":
            return self._some(self.shapes, one)
        if one.name == "aspects":
            return self._some(self.widths[:, 1], one)
        table = {
            "amplitudes": self.amplitudes,
            "volumes": self.amplitudes,
            "centers": self.centers,
            "widths": self.widths,
            "angles": self.turns[:, 0] if self.n_turns else self.turns,
            "background": self.background,
        }[one.name]
        return self._chosen(table, one)

    def component_of(self, place: int) -> int:
        """The component that a place of a component's own number belongs to."""
        return place // self.layout.block_size

    def _some(self, rows: np.ndarray, one: Reference) -> frozenset[int]:
        """All places of the components that the first index chooses."""
        chosen = self._chosen(np.arange(self.count), Reference(one.name, one.index[:1]))
        return frozenset(int(place) for place in np.ravel(rows[sorted(chosen)]))

    @staticmethod
    def _chosen(table: np.ndarray, one: Reference) -> frozenset[int]:
        try:
            chosen = np.ravel(table[one.key])
        except IndexError:
            raise ValueError(f"`tie` names {one}, but there are only {table.shape} of these, counted from 0") from None
        if not len(chosen):
            raise ValueError(f"`tie` names {one}, which is no number: there are {table.shape} of these")
        return frozenset(int(place) for place in chosen)
