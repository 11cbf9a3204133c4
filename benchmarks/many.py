"""The suite `many`: very many fits in one call."""

from __future__ import annotations

from . import frames, small_fits
from .options import Options


def run(options: Options) -> str:
    """Frames of many Gaussians beside a loop of `fit`, then cut-outs by hundreds of thousands."""
    return "\n\n".join(
        [
            "Frames by one call of `fit_many`, beside a loop of `fit` on the first of them. As good: an RMSE at most"
            " 0.1 % above that of `fit`.",
            frames.run_all(options.quick),
            "Cut-outs. The first row is the whole public call `fit_many`, its starts included.",
            small_fits.run_all(options.quick),
        ]
    )
