"""What the command line says, as every suite gets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Only the smallest case; names of the peers to run."""

    quick: bool
    peers: tuple[str, ...]
