"""NumPy's files read with care: what an array claims to be is checked before any memory is taken for it.

A header of a few bytes may claim a trillion numbers, and an npz of a megabyte may unfold to a gigabyte. So headers are
read first. A claim must agree with the bytes that are there, and arrays are read one by one, when they are asked for.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

# Bytes that one byte of deflate can unfold to at most (zlib's technical notes): a larger claim is a lie.
MOST_DEFLATION = 1032
# Of a large array that is compressed more than so many times all but a thousandth is one value: no map is like that.
MOST_REPETITION = 900
# Bytes from which an array counts as large: below, nothing is lost by reading it.
LARGE_BYTES = 2**25
# Kinds of numbers that are read: booleans, integers, floats and complex numbers, which are refused with advice later.
KINDS = "biufc"
# Characters of the reason why a file cannot be read: a line or two of a terminal.
MOST_REASON = 200


class BadArray(ValueError):
    """An array that is not what its file claims, or holds no numbers."""


class StoredArray(NamedTuple):
    """An array that has not been read: its shape and dtype, the bytes that hold it, and a function that reads it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    stored_bytes: int
    read: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Numbers."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes of the array in memory."""
        return self.size * self.dtype.itemsize

    def checked(self, may_repeat: bool = False) -> StoredArray:
        """This array, or `BadArray`: one that memory cannot hold or, unless it ``may_repeat``, one of one value."""
        if self.dtype.kind not in KINDS:
            raise BadArray(f"an array of dtype {self.dtype} is not of numbers")
        if self.n_bytes <= LARGE_BYTES:
            return self
        if not may_repeat and self.n_bytes > MOST_REPETITION * self.stored_bytes:
            raise BadArray(f"{self.n_bytes / 1e9:.3g} GB of one value unfold from {self.stored_bytes / 1e6:.3g} MB")
        from .memory import gigabytes, memory_limit  # here, since it imports JAX

        if self.n_bytes > (limit := memory_limit(None)):
            raise BadArray(f"an array of {gigabytes(self.n_bytes)} is more than memory can take, {gigabytes(limit)}")
        return self


def array_of_npy(path: Path) -> StoredArray:
    """The array of an ``.npy``."""
    with path.open("rb") as file:
        shape, dtype = _header(file)
        stored = path.stat().st_size - file.tell()
    return _agreeing(StoredArray(shape, dtype, stored, lambda: np.load(path, allow_pickle=False)), stored)


class Archive(Mapping[str, StoredArray]):
    """The arrays of an ``.npz`` by name; a broken one raises when it is asked for, and leaves the others alone."""

    def __init__(self, path: Path):
        self._path = path
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        self._members = {info.filename.removesuffix(".npy"): info for info in members}

    def __getitem__(self, name: str) -> StoredArray:
        return _member(self._path, self._members[name])

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _member(path: Path, info: zipfile.ZipInfo) -> StoredArray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArray(f"{info.filename!r} is compressed in a way that NumPy does not write")
    most = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else MOST_DEFLATION)
    if info.compress_size > path.stat().st_size or info.file_size > most:
        raise BadArray(f"{info.filename!r} claims {info.file_size} bytes, more than the file can hold")
    with zipfile.ZipFile(path) as archive, archive.open(info) as file:
        shape, dtype = _header(file)
        begun = file.tell()

    def read() -> np.ndarray:
        with zipfile.ZipFile(path) as again, again.open(info) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

    return _agreeing(StoredArray(shape, dtype, info.compress_size, read), info.file_size - begun)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise BadArray(f"NumPy's format {version} is not known")
    # Version 3 is version 2 with names in UTF-8; only structured arrays, which are not read, have names.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _agreeing(array: StoredArray, n_bytes: int) -> StoredArray:
    """The array, if it is of numbers or text, and its header claims as many bytes as there are."""
    if array.dtype.kind not in KINDS + "U":
        raise BadArray(f"an array of dtype {str(array.dtype)[:80]} is not of numbers")
    if min(array.shape, default=0) < 0 or array.n_bytes != n_bytes:
        raise BadArray(f"an array of shape {array.shape} and dtype {array.dtype} does not take {n_bytes} bytes")
    return array


class Shapes:
    """Checks arrays that have not been read against shapes in letters, "Kd" say; each letter is one size throughout."""

    def __init__(self, **sizes: int):
        self.sizes = sizes

    def check(self, name: str, array: Any, letters: str, kinds: str = "f") -> None:
        """Raises `BadArray` unless this is an array of these dtypes (``kind`` of NumPy) and of this shape."""
        if not isinstance(array, StoredArray):
            raise BadArray(f"`{name}` must be an array, got {str(array)[:40]}")
        if array.dtype.kind not in kinds:
            raise BadArray(f"`{name}` must not be of dtype {array.dtype}")
        found = dict(zip(letters, array.shape, strict=False)) | self.sizes
        if array.shape != tuple(found.get(letter) for letter in letters):
            wanted = ", ".join(str(self.sizes.get(letter, letter)) for letter in letters)
            raise BadArray(f"`{name}` must have shape ({wanted}{',' * (len(letters) == 1)}), got {array.shape}")
        self.sizes = found


def loaded(tree: Any, may_repeat: Collection[str] = (), name: str = "") -> Any:
    """A tree of dicts and lists with its stored arrays read; those named in ``may_repeat`` may be of one value."""
    if isinstance(tree, dict):
        return {name: loaded(item, may_repeat, name) for name, item in tree.items()}
    if isinstance(tree, list):
        return [loaded(item, may_repeat, name) for item in tree]
    return tree.checked(name in may_repeat).read() if isinstance(tree, StoredArray) else tree


def reason(error: BaseException) -> str:
    """What an exception says, in one line that is not too long."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}" if error.args else "something is missing"
    text = " ".join(str(error).split())
    return (text if len(text) <= MOST_REASON else text[:MOST_REASON] + " ...") or type(error).__name__
