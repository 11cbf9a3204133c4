r"""A surface as a formula in LaTeX, a line a component, in an ``aligned`` block for an equation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._model.surface import GaussianSurface
from .terms import Terms, terms_of

# Significant digits of the numbers of a formula: enough to draw it, and to be read.
LATEX_DIGITS = 6


def source(surface: GaussianSurface, names: Sequence[str]) -> str:
    """The text of the formula f(y, x) = ..."""
    terms = terms_of(surface)
    letters = [_letter(name) for name in names]
    first, *rest = [*_background(terms, letters), *(_term(terms, k, letters) for k in range(len(terms.amplitudes)))]
    lines = [f"f({', '.join(letters)}) ={{}}& {first.removeprefix('+ ')}", *(f"& {line}" for line in rest)]
    body = " \\\\\n".join(f"  {line}" for line in lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n"


def number(value: float) -> str:
    """The number as LaTeX writes it."""
    mantissa, e, exponent = f"{value:.{LATEX_DIGITS}g}".partition("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}" if e else mantissa


def _letter(name: str) -> str:
    return name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'} {number(abs(value))}"


def _background(terms: Terms, letters: list[str]) -> list[str]:
    if terms.slopes is None or terms.origin is None:
        return [number(terms.value)]
    parts = [
        f"{_signed(slope)} {_offset(letter, origin)}"
        for slope, letter, origin in zip(terms.slopes, letters, terms.origin, strict=True)
    ]
    return [" ".join([number(terms.value), *parts])]


def _offset(letter: str, center: float) -> str:
    """(x - 3), or (x + 3) for a centre at -3."""
    return f"({letter} {'+' if center < 0 else '-'} {number(abs(center))})"


def _term(terms: Terms, k: int, letters: list[str]) -> str:
    """+ a exp[-1/2 (p (y - c)^2 + 2 q (y - c) (x - d) + r (x - d)^2)]."""
    offsets = [_offset(letter, center) for letter, center in zip(letters, terms.centers[k], strict=True)]
    matrix, parts = terms.precisions[k], []
    for i, j in zip(*np.triu_indices(len(letters)), strict=True):
        if matrix[i, j]:
            value = matrix[i, j] * (1 if i == j else 2)
            parts.append(f"{_signed(value)} {offsets[i]}{'^2' if i == j else f' {offsets[j]}'}")
    inner = " ".join(parts).removeprefix("+ ")
    return rf"{_signed(terms.amplitudes[k])} \exp\left[-\frac{{1}}{{2}} \left({inner}\right)\right]"
