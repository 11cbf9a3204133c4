"""Tensors of torch, from any device, and values back as tensors there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened, axis_names


@dataclass(frozen=True, eq=False)
class Back:
    """A tensor whose device and precision values go back to."""

    like: Any

    def array(self, values: np.ndarray, name: str) -> Any:
        import torch

        del name
        kind = self.like.dtype if self.like.dtype.is_floating_point else torch.float64
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.like.device, kind)


def opened(heights: Any, beside: Opened) -> Opened:
    """A tensor's values on the host, without its gradient."""
    import torch

    values = heights.detach().cpu()
    values = values.to(torch.float32) if values.dtype == torch.bfloat16 else values
    labels = Labels(axis_names(values.ndim), ("",) * values.ndim, back=Back(heights))
    return replace(beside, heights=values.resolve_conj().resolve_neg().numpy(), labels=labels)
