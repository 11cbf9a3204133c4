"""The options that every suite gets from the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """``quick``: only the smallest case; ``peers``: names of the peers to run."""

    quick: bool
    peers: tuple[str, ...]
