"""Documents on disk: a tree of plain values and arrays as JSON or as npz, never pickle; every number comes back
exactly.

In JSON an array is its dtype, shape and base64 of its bytes, or a plain list where it is short; in npz the arrays are
members and the tree refers to them by name.
"""

from __future__ import annotations

import base64
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .array_files import LARGE_BYTES, Archive, StoredArray, reason

# Bytes in which a large file must name its format: it stands in the first line.
HEAD_BYTES = 4096
# Bytes of the tree of an npz, without its arrays: some kilobytes, or four a character of the names in it.
MOST_HEADER_BYTES = 2**24
# Dtypes of arrays in a document.
NUMBER_TYPES = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64")
# What reads each format, for those who tried another reader.
READERS = {
    "surfacefit result": "surfacefit.load",
    "surfacefit batch": "surfacefit.load",
    "surfacefit mixture": "surfacefit.MixtureResult.load",
    "surfacefit channels": "surfacefit.ChannelResult.load",
}
# Numbers; longer arrays are written as base64, which is shorter; shorter ones stay readable to a person.
LONGEST_PLAIN_LIST = 1000


class NotAFit(ValueError):
    """A file that holds no fit, or one of another version."""


def write(document: dict[str, Any], path: str | PathLike[str]) -> None:
    """Write a document to ``.json`` or ``.npz``, as the name says."""
    path = _path(path)
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

    Arrays in the document are `StoredArray`, whose shapes ``make`` checks before it reads them by `loaded`.
    """
    return read_one_of(path, {form: (version, make)})


def read_one_of(path: str | PathLike[str], makers: Mapping[str, tuple[int, Callable[[dict[str, Any]], Any]]]) -> Any:
    """What is made of the document in a file by the maker of its format: ``makers`` has a version and a maker for each.

    A file that names none of them is told as no document of the first.
    """
    path, form = _path(path), next(iter(makers))
    if path.exists() and not path.is_file():
        parts = ": the call of `fit_many` with that `out` gives its result" if (path / "zarr.json").exists() else ""
        raise NotAFit(f"{str(path)!r} is no {form}: it is no file{parts}")
    path.open("rb").close()  # what is not there, or may not be read, is no broken fit
    document = _told(f"{str(path)!r} is no {form}", _read, path, tuple(makers))
    found = document.get("format") if isinstance(document, dict) else None
    if not isinstance(found, str) or found not in makers:
        said = _what_it_is(found) if isinstance(found, str) else f"it does not say format={form!r}"
        raise NotAFit(f"{str(path)!r} is no {form}: {said}")
    version, make = makers[found]
    if document.get("version") != version:
        raise NotAFit(
            f"{str(path)!r} has version {str(document.get('version'))[:40]} of the format, this surfacefit reads"
            f" version {version}"
        )
    return _told(f"{str(path)!r} is no complete {found}", make, document)


def _what_it_is(form: str) -> str:
    reader = f", which `{READERS[form]}` reads" if form in READERS else ""
    return f"it is a {form[:40]}{reader}"


def _path(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise TypeError(f"`path` must be the name of a file, got {type(path).__name__}") from None


def _told(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns; whatever it raises for bytes that can be anything is told as `NotAFit`."""
    try:
        return function(*arguments)
    except Exception as error:
        raise NotAFit(f"{what}: {reason(error)}") from None


def _read(path: Path, forms: Sequence[str]) -> Any:
    if zipfile.is_zipfile(path):
        return _read_npz(path)
    with path.open("rb") as file:
        if path.stat().st_size > LARGE_BYTES and not _names_one(file.read(HEAD_BYTES), (*forms, *READERS)):
            raise ValueError("it does not begin like one")
    return json.loads(path.read_text(encoding="utf-8"), object_hook=_json_to_array, parse_constant=_no_number)


def _names_one(head: bytes, forms: Sequence[str]) -> bool:
    return any(form.encode() in head for form in forms)


def _read_npz(path: Path) -> Any:
    members = Archive(path)
    if "header" not in members:
        raise ValueError("an npz without a header")
    header = members["header"]
    if header.dtype.kind != "U" or header.size != 1 or header.n_bytes > MOST_HEADER_BYTES:
        raise ValueError(f"its header must be a text of at most {MOST_HEADER_BYTES} bytes")
    return json.loads(
        str(header.read()),
        object_hook=lambda item: members[item["member"]] if set(item) == {"member"} else item,
        parse_constant=_no_number,
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


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
        return _array(item, len(item["values"]), len(item["values"]), _from_list)
    if set(item) == {"dtype", "shape", "base64"}:
        size = _number_type(item["dtype"]).itemsize
        coded = item["base64"]
        n_bytes = len(coded) * 3 // 4 - coded[-2:].count("=")
        return _array(item, n_bytes / size, len(coded), _from_base64)
    return item


def _array(
    item: dict[str, Any], size: float, stored: int, decoded: Callable[[dict[str, Any], np.dtype], np.ndarray]
) -> StoredArray:
    """An array of a document, whose shape must be of as many numbers as it holds."""
    shape, dtype = item["shape"], _number_type(item["dtype"])
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != size:
        raise ValueError(f"an array of {size:g} numbers cannot have shape {str(shape)[:40]}")
    return StoredArray(tuple(shape), dtype, stored, lambda: decoded(item, dtype).reshape(shape))


def _number_type(name: Any) -> np.dtype:
    if name not in NUMBER_TYPES:
        raise ValueError(f"an array of dtype {str(name)[:40]!r} is not of numbers")
    return np.dtype(name)


def _from_list(item: dict[str, Any], dtype: np.dtype) -> np.ndarray:
    if not all(type(value) in (int, float) for value in item["values"]):
        raise ValueError("an array holds something else than numbers")
    return np.array(item["values"], dtype)


def _from_base64(item: dict[str, Any], dtype: np.dtype) -> np.ndarray:
    numbers = base64.b64decode(item["base64"], validate=True)
    return np.frombuffer(numbers, dtype.newbyteorder("<")).astype(dtype)
