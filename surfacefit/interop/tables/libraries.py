"""A table of components as a table of pandas, polars, astropy or pyarrow."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._base.checks import one_of

# The package of each kind of table, and the extra that brings it.
KINDS = {
    "pandas": ("pandas", "tables"),
    "polars": ("polars", "tables"),
    "astropy": ("astropy.table", "astro"),
    "arrow": ("pyarrow", "tables"),
}


def table_of(table: Any, kind: str) -> Any:
    """A `ComponentTable` as the table of another library."""
    package = package_of(one_of("kind", kind, KINDS))
    if kind == "pandas":
        frame = package.DataFrame(dict(table))
        frame.attrs.update({**table.meta, "units": dict(table.units)})
        return frame
    if kind == "polars":
        return package.DataFrame(dict(table))
    return _astropy(table, package) if kind == "astropy" else _arrow(table, package)


def package_of(kind: str) -> Any:
    """The package of a kind of table; ImportError names the extra that brings it."""
    name, extra = KINDS[kind]
    try:
        return import_module(name)
    except ImportError:
        first = name.partition(".")[0]
        raise ImportError(f"a table of kind {kind!r} needs {first}: pip install 'surfacefit[{extra}]'") from None


def _astropy(table: Any, package: Any) -> Any:
    """A QTable; a unit that astropy does not know is told in the description of its column."""
    made = package.QTable(meta=dict(table.meta))
    for name, values in table.items():
        unit = table.units[name]
        try:
            made[name] = values if not unit or values.dtype.kind != "f" else values * _unit(unit)
        except ValueError:
            made[name] = values
            made[name].info.description = f"in {unit}"
    return made


def _unit(text: str) -> Any:
    """A unit of astropy; radio images often have theirs in capitals, JY/BEAM."""
    from astropy.units import Unit

    try:
        return Unit(text)
    except ValueError:
        return Unit(text.replace("JY", "Jy").replace("BEAM", "beam"))


def _arrow(table: Any, package: Any) -> Any:
    """A table whose fields have their unit as metadata."""
    arrays = [package.array(values.tolist() if values.dtype.kind == "U" else values) for values in table.values()]
    fields = [
        package.field(name, array.type, metadata={"unit": table.units[name]} if table.units[name] else None)
        for name, array in zip(table, arrays, strict=True)
    ]
    return package.Table.from_arrays(arrays, schema=package.schema(fields))
