"""Zarr groups: made whole before they are seen at their path, and with errors that say what is damaged."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

# Files that say that a folder is a zarr group, of both formats.
GROUP_FILES = ("zarr.json", ".zgroup")


def opened_group(out: Any, fill: Callable[[Any], None]) -> Any:
    """The group ``out``, a path or a `zarr.Group`; a new one is filled before another process can see it."""
    zarr = _zarr()
    if not isinstance(out, str | PathLike | zarr.Group):
        raise TypeError(f"`out` must be a zarr group or the path of one, got {type(out).__name__}")
    if isinstance(out, str | PathLike) and not str(out):
        raise ValueError("`out` must be the path of a zarr group, got an empty name")
    try:
        if isinstance(out, str | PathLike) and _is_folder(str(out)):
            _make_whole(Path(out), fill)
        group = out if isinstance(out, zarr.Group) else zarr.open_group(out, mode="a")
    except _NoGroup as error:
        raise ValueError(f"`out` must be a new group or one of `fit_many`, got {error}") from None
    except Exception as error:
        raise ValueError(f"`out` cannot be opened as a zarr group: {error}") from None
    if not dict(group.attrs) and not list(group.keys()):
        fill(group)
    return group


class _NoGroup(Exception):
    """A folder that holds something else."""


def _is_folder(out: str) -> bool:
    return "://" not in out and not out.endswith(".zip")


def _make_whole(path: Path, fill: Callable[[Any], None]) -> None:
    """Makes a group beside a path where there is nothing, and moves it there."""
    if path.is_dir():
        names = os.listdir(path)
        if names and not any(name in names for name in GROUP_FILES):
            raise _NoGroup(f"the folder {path} of other files")
    if path.exists() and (not path.is_dir() or names):
        return
    beside = path.absolute().with_name(f".{path.absolute().name}.{uuid.uuid4().hex[:8]}")
    try:
        fill(_zarr().open_group(beside, mode="w"))
        beside.rename(path)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def array_of(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype, chunks: tuple[int, ...]) -> Any:
    """An array of a group, made if it is not there."""
    try:
        if name not in group:
            fill = np.nan if dtype.kind == "f" else 0
            return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks, fill_value=fill)
        array = group[name]
    except Exception as error:
        raise ValueError(_damage(group, name, error)) from None
    if getattr(array, "shape", None) != shape or array.dtype != dtype:
        raise ValueError(f"`out` is damaged: its {name!r} must be an array of shape {shape} and dtype {dtype}")
    return array


def read(group: Any, name: str) -> np.ndarray:
    """The array ``name`` of a zarr group as one of NumPy: in the shape and dtype it was made with by `array_of`, in the
    units it was written in. All chunks are read at once, into memory of their whole size; one that was never written
    gives the fill value.

    Raises ValueError where the array is missing, or a chunk of it cannot be read; the text names it and the way out.
    """
    try:
        return np.asarray(group[name][:])
    except Exception as error:
        raise ValueError(_damage(group, name, error)) from None


def _damage(group: Any, name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120]
    return (
        f"`out` is damaged: its {name!r} in {group.store_path} cannot be read ({reason}): remove this array, and what"
        " it held is fitted anew"
    )


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImportError("`out` needs zarr: pip install 'surfacefit[zarr]'") from error
    return zarr
