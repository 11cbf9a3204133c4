"""Compiled programs kept on disk, so that the next process need not compile them; off unless asked for."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

# The event by which JAX reports that a program came from disk; a name of JAX's own, which a test holds: without it the
# cache would be taken for useless.
HIT_EVENT = "/jax/compilation_cache/cache_hits"
# JAX's settings for keeping every program, in seconds and bytes: it keeps only what took a second to compile otherwise,
# while most of a fit's programs take a tenth of that each.
KEEP_ALL = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
# Rows of the matrix that the probe factorises: it then has a loop and a call of LAPACK, as the programs of a fit have.
PROBE_ROWS = 6


@dataclass(frozen=True)
class CompileCache:
    """What `cache` found: the folder, and whether programs in it are read again."""

    directory: Path
    hits: bool


def cache(directory: str | os.PathLike[str] | None = None) -> CompileCache:
    """Keep compiled programs on disk, so that a first fit in the next process takes seconds less.

    Call it once, before the first fit. A small program is compiled, written, and read again, since JAX does not always
    read what it has written: with some releases it never does on Intel processors with AVX-512 (jax issue 38445). Where
    that fails, the cache is left off, a UserWarning says so, and ``hits`` is False.

    Parameters
    ----------
    directory : path, optional
        Where to keep programs, in a folder of their own for each version of jaxlib; it is made if need be. Default:
        ``surfacefit`` in the user's cache folder: ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``,
        on Windows ``%LOCALAPPDATA%``.

    Returns
    -------
    CompileCache
        ``directory`` and ``hits``.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.

    Notes
    -----
    JAX has one cache a process, so programs of other libraries are kept there as well. Nothing is ever deleted: remove
    the folder to get its space back, some megabytes for each kind of fit. Only use a folder that nobody else may write
    to: programs in it are run.

    Examples
    --------
    >>> import surfacefit as sf
    >>> found = sf.cache("programs")  # doctest: +SKIP
    >>> found.hits  # doctest: +SKIP
    True
    """
    folder = (_default_folder() if directory is None else Path(directory).expanduser()).absolute()
    folder = folder / f"jaxlib-{version('jaxlib')}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "writable").touch()
    before = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", *KEEP_ALL)}
    _set({"jax_compilation_cache_dir": str(folder), **KEEP_ALL})
    if _hits():
        return CompileCache(folder, True)
    _set(before)
    warnings.warn(
        f"compiled programs are not kept: this JAX, {jax.__version__}, does not read again what it has written to"
        f" {str(folder)!r}. Another release may, see github.com/jax-ml/jax/issues/38445",
        stacklevel=2,
    )
    return CompileCache(folder, False)


def _default_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "surfacefit"


def _set(options: dict[str, Any]) -> None:
    """Sets options of JAX, which looks at its cache folder only once."""
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _hits() -> bool:
    """Whether a program that was compiled and written just now, or before, is read, and computes the same."""
    found: list[str] = []

    def note(event: str, **_: Any) -> None:
        if event == HIT_EVENT:
            found.append(event)

    first = _probed()
    jax.monitoring.register_event_listener(note)
    try:
        return bool(np.array_equal(_probed(), first)) and bool(found)
    finally:
        jax.monitoring.unregister_event_listener(note)


def _probed() -> np.ndarray:
    """A program of its own each time, for which nothing is left in memory, but the same one on disk."""

    def probe(x: Any) -> Any:
        matrix = jnp.exp(-((x[:, None] - x) ** 2)) + jnp.eye(PROBE_ROWS, dtype=x.dtype)
        return jax.lax.fori_loop(0, 3, lambda _, y: jnp.linalg.cholesky(matrix) @ y, x)

    return np.asarray(jax.jit(probe)(np.arange(PROBE_ROWS, dtype=np.float32)))
