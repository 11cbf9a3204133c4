"""What was chosen for maps, in a zarr group part by part: an array of bytes each, a checksum before a document."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any

import numpy as np

from .._results.criteria import ComponentPath

# Bytes of a checksum before the document.
CHECKSUM_BYTES = 4


class KeptChoices:
    """The choices of parts of so many maps each below a group, by the number of the part."""

    def __init__(self, group: Any, size: int) -> None:
        self.size = size
        self._group = group.require_group("choices")

    def read(self, number: int) -> list[dict[str, Any]] | None:
        """The documents of the maps of a part, None where it is not done, or damaged."""
        name = str(number)
        try:
            stored = np.asarray(self._group[name][:]).tobytes()
        except Exception:  # whatever zarr raises for what is not there or damaged
            return None
        document = stored[CHECKSUM_BYTES:]
        if _checksum(document) != stored[:CHECKSUM_BYTES]:
            return None
        found: list[dict[str, Any]] = json.loads(document)
        return found

    def write(self, number: int, documents: list[dict[str, Any]]) -> None:
        """Keeps the documents of the maps of a part."""
        document = json.dumps(documents).encode()
        array = np.frombuffer(_checksum(document) + document, np.uint8)
        self._group.create_array(str(number), data=array, overwrite=True)


def path_to_document(path: ComponentPath) -> dict[str, Any]:
    """A path in plain numbers, every one exact."""
    return {name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in vars(path).items()}


def path_from_document(document: dict[str, Any]) -> ComponentPath:
    """The path of a document."""
    arrays = {one.name for one in fields(ComponentPath) if one.type == "np.ndarray"}
    numbers: dict[str, Any] = {name: np.array(one) if name in arrays else one for name, one in document.items()}
    return ComponentPath(**numbers)


def _checksum(document: bytes) -> bytes:
    return zlib.crc32(document).to_bytes(CHECKSUM_BYTES, "little")
