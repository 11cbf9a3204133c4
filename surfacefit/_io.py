"""Results on disk: one schema with a version, as JSON or as npz, never pickle; every number comes back exactly.

A document is a tree of plain values and arrays. In JSON an array is its dtype, shape and base64 of its bytes,
or a plain list where it is short; in npz the arrays are members and the tree refers to them by name.
"""

from __future__ import annotations

import base64
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ._background import ConstantBackground, FunctionBackground, PlaneBackground, background_model
from ._criteria import ComponentPath
from ._data import SurfaceData
from ._result import FitResult, Settings, Timings
from ._status import Status
from ._surface import GaussianSurface

FORMAT, VERSION = "surfacefit result", 2
LONGEST_LIST = 1000


class NotAFit(ValueError):
    """A file that holds no fit, or one of a later version."""


def save(result: FitResult, path: str | PathLike[str]) -> None:
    """Write a result to ``.json`` or ``.npz``, as the name says."""
    path = Path(path)
    document = _document(result)
    if path.suffix == ".json":
        path.write_text(json.dumps(_mapped(document, _array_to_json), indent=1, allow_nan=False) + "\n", encoding="utf-8")
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


def load(path: str | PathLike[str], *, background: Callable[..., Any] | None = None) -> FitResult:
    """Read a result that `FitResult.save` wrote.

    ``background`` is the function of a result that was fitted with one: files hold its parameters, not its code.
    Raises `ValueError` for a file that is no fit, naming the file and what is wrong with it.
    """
    path = Path(path)
    try:
        document = _read(path)
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotAFit(f"{str(path)!r} is no surfacefit result: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NotAFit(f"{str(path)!r} is no surfacefit result: it does not say format={FORMAT!r}")
    if document.get("version") != VERSION:
        raise NotAFit(f"{str(path)!r} has version {document.get('version')!r} of the format, this surfacefit reads version {VERSION}")
    try:
        return _result(document, background)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAFit(f"{str(path)!r} is no complete surfacefit result: {error!r}") from None


def _read(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        return json.loads(path.read_text(encoding="utf-8"), object_hook=_json_to_array)
    with np.load(path, allow_pickle=False) as members:
        if "header" not in members:
            raise ValueError("an npz without a header")
        return json.loads(str(members["header"]), object_hook=lambda item: members[item["member"]] if set(item) == {"member"} else item)


def _document(result: FitResult) -> dict[str, Any]:
    surface, data = result.surface, result.data
    return {
        "format": FORMAT,
        "version": VERSION,
        "surface": {
            "amplitudes": np.asarray(surface.amplitudes),
            "centers": np.asarray(surface.centers),
            "covariances": np.asarray(surface.covariances),
            "background": _background_to_document(surface.background),
        },
        "fit": {"cost": np.asarray(result.cost, np.float64), "status": result.status.name, "steps": result.steps},
        "settings": asdict(result.settings),
        "timings": asdict(result.timings),
        "history": dict(result.history),
        "data": {name: getattr(data, name) for name in SurfaceData.__dataclass_fields__},
        "path": None if result.path is None else vars(result.path),
    }


def _result(document: dict[str, Any], function: Callable[..., Any] | None) -> FitResult:
    surface, data = dict(document["surface"]), dict(document["data"])
    surface["background"] = _background_from_document(surface["background"], function)
    data["axes"] = None if data["axes"] is None else tuple(data["axes"])
    return FitResult(
        surface=GaussianSurface(**surface),
        data=SurfaceData(**data),
        cost=float(document["fit"]["cost"]),
        status=Status[document["fit"]["status"]],
        steps=document["fit"]["steps"],
        history=document["history"],
        timings=Timings(**document["timings"]),
        settings=Settings(**document["settings"]),
        path=None if document["path"] is None else ComponentPath(**document["path"]),
    )


def _background_to_document(background: Any) -> dict[str, Any] | None:
    if background is None:
        return None
    model = background_model(background)
    if isinstance(model, ConstantBackground):
        return {"kind": "constant", "value": np.asarray(model.value)}
    if isinstance(model, PlaneBackground):
        return {"kind": "plane", "value": np.asarray(model.value), "slopes": np.asarray(model.slopes), "origin": np.asarray(model.origin)}
    assert isinstance(model, FunctionBackground)
    return {"kind": "function", "name": getattr(model.function, "__name__", "function"), "parameters": np.asarray(model.parameters)}


def _background_from_document(document: dict[str, Any] | None, function: Callable[..., Any] | None) -> Any:
    if document is None:
        return None
    values = {name: value for name, value in document.items() if name not in ("kind", "name")}
    if document["kind"] == "constant":
        return ConstantBackground(**values)
    if document["kind"] == "plane":
        return PlaneBackground(**values)
    return FunctionBackground(function or _missing(document["name"]), **values)


def _missing(name: str) -> Callable[..., Any]:
    def missing_background(parameters: Any, points: Any) -> Any:
        raise ValueError(
            f"this fit has a background function {name!r}, which its file does not hold: load it with load(path, background={name})"
        )

    missing_background.__name__ = name
    return missing_background


def _mapped(tree: Any, array: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(tree, dict):
        return {name: _mapped(item, array) for name, item in tree.items()}
    if isinstance(tree, list | tuple):
        return [_mapped(item, array) for item in tree]
    return array(tree) if isinstance(tree, np.ndarray) else tree


def _array_to_json(array: np.ndarray) -> dict[str, Any]:
    # Lists of float64 print shortest digits that read back exactly; JSON has no NaN, and float32 would read as float64.
    plain = array.dtype == np.float64 and array.size <= LONGEST_LIST and bool(np.isfinite(array).all())
    if plain:
        return {"dtype": "float64", "shape": list(array.shape), "values": array.ravel().tolist()}
    little = array.astype(array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": base64.b64encode(little.tobytes()).decode("ascii")}


def _json_to_array(item: dict[str, Any]) -> Any:
    if set(item) == {"dtype", "shape", "values"}:
        return np.array(item["values"], item["dtype"]).reshape(item["shape"])
    if set(item) == {"dtype", "shape", "base64"}:
        dtype = np.dtype(item["dtype"])
        array = np.frombuffer(base64.b64decode(item["base64"]), dtype.newbyteorder("<")).astype(dtype)
        return array.reshape(item["shape"])
    return item
