"""Documents on disk: a tree of plain values and arrays as JSON or as npz, never pickle; every number comes back
exactly.

In JSON an array is its dtype, shape and base64 of its bytes, or a plain list where it is short; in npz the arrays are
members and the tree refers to them by name.
"""

from __future__ import annotations

import base64
import json
import zipfile
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

# Numbers; longer arrays are written as base64, which is shorter; shorter ones stay readable to a person.
LONGEST_PLAIN_LIST = 1000


class NotAFit(ValueError):
    """A file that holds no fit, or one of another version."""


def write(document: dict[str, Any], path: str | PathLike[str]) -> None:
    """Write a document to ``.json`` or ``.npz``, as the name says."""
    path = Path(path)
    if path.suffix == ".json":
        path.write_text(
            json.dumps(_mapped(document, _array_to_json), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
    elif path.suffix == ".npz":
        arrays: dict[str, np.ndarray] = {}

        def store(array: np.ndarray) -> Any:
            arrays[f"array_{len(arrays)}"] = array
            return {"member": f"array_{len(arrays) - 1}"}

        header = json.dumps(_mapped(document, store), allow_nan=False)
        with path.open("wb") as file:
            np.savez_compressed(file, header=np.array(header), **arrays)  # type: ignore[arg-type]
    else:
        raise ValueError(f"`path` must end in .json or .npz, got {str(path)!r}")


def read(path: str | PathLike[str], form: str, version: int, make: Callable[[dict[str, Any]], Any]) -> Any:
    """What ``make`` makes of the document in a file; `NotAFit` where that is not of this format and version, or not
    whole.
    """
    path = Path(path)
    try:
        document = _read(path)
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotAFit(f"{str(path)!r} is no {form}: {error}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != form:
        raise NotAFit(
            f"{str(path)!r} is no {form}: " + (f"it is a {found}" if found else f"it does not say format={form!r}")
        )
    if document.get("version") != version:
        raise NotAFit(
            f"{str(path)!r} has version {document.get('version')!r} of the format, this surfacefit reads version"
            f" {version}"
        )
    try:
        return make(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAFit(f"{str(path)!r} is no complete {form}: {error!r}") from None


def _read(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        return json.loads(path.read_text(encoding="utf-8"), object_hook=_json_to_array)
    with np.load(path, allow_pickle=False) as members:
        if "header" not in members:
            raise ValueError("an npz without a header")
        return json.loads(
            str(members["header"]),
            object_hook=lambda item: members[item["member"]] if set(item) == {"member"} else item,
        )


def _mapped(tree: Any, array: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(tree, dict):
        return {name: _mapped(item, array) for name, item in tree.items()}
    if isinstance(tree, list | tuple):
        return [_mapped(item, array) for item in tree]
    return array(tree) if isinstance(tree, np.ndarray) else tree


def _array_to_json(array: np.ndarray) -> dict[str, Any]:
    # Lists of float64 print shortest digits that read back exactly; JSON has no NaN, and float32 would read as float64.
    plain = array.dtype == np.float64 and array.size <= LONGEST_PLAIN_LIST and bool(np.isfinite(array).all())
    if plain:
        return {"dtype": "float64", "shape": list(array.shape), "values": array.ravel().tolist()}
    little = array.astype(array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def _json_to_array(item: dict[str, Any]) -> Any:
    if set(item) == {"dtype", "shape", "values"}:
        return np.array(item["values"], item["dtype"]).reshape(item["shape"])
    if set(item) == {"dtype", "shape", "base64"}:
        dtype = np.dtype(item["dtype"])
        array = np.frombuffer(base64.b64decode(item["base64"]), dtype.newbyteorder("<")).astype(dtype)
        return array.reshape(item["shape"])
    return item
