"""One full covariance that all components share."""

from __future__ import annotations

from dataclasses import dataclass, field

from jax.tree_util import register_dataclass

from .full import Full


@register_dataclass
@dataclass(frozen=True)
class Tied(Full):
    shared: bool = field(default=True, metadata={"static": True})
