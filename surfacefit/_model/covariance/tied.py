"""One full covariance that all components share."""

from __future__ import annotations

from dataclasses import dataclass

from .full import Full


@dataclass(frozen=True)
class Tied(Full):
    shared: bool = True
