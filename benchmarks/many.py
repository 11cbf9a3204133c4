"""The suite `many`: very many fits in one call."""

from __future__ import annotations

from . import small_fits
from .options import Options


def run(options: Options) -> str:
    """Cut-outs of 5 x 5 and 7 x 7 points, by hundreds of thousands."""
    return small_fits.run_all(options.quick)
