"""Where a fit stands, in a file that is whole whenever a process is killed: written beside, then put in its place.

The file is an ``.npz``, whose parts have checksums, with the arrays of a pytree and a text that says what they belong
to. Nothing is pickled: the structure comes from the fit that reads it.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._base.array_files import Archive, BadArray, reason
from .._batches.fingerprint import differences

# What a file says it is.
CHECKPOINT_FORMAT = "surfacefit checkpoint"
# Of the file: counted up by a change after which older files cannot be continued.
CHECKPOINT_VERSION = 1
# What to do about one that does not serve.
WAY_OUT = "give another path, or resume=False to begin anew"
# Bytes of the text of a checkpoint, at most: names of options and a few numbers.
MOST_TEXT = 2**20


class BadCheckpoint(ValueError):
    """A file from which no fit can go on."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file at ``path`` for the fit of these ``arguments`` (as of `fingerprint`)."""

    path: Path
    arguments: Mapping[str, list[str]]

    def exists(self) -> bool:
        return self.path.exists()

    def write(self, tree: Any, told: Mapping[str, Any]) -> None:
        """Writes a pytree and what is ``told`` of it, in place of what was there; raises OSError where the disk does
        not take it, and leaves what was there.
        """
        text = json.dumps(
            {
                "format": CHECKPOINT_FORMAT,
                "version": CHECKPOINT_VERSION,
                "arguments": dict(self.arguments),
                "told": dict(told),
            }
        )
        arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                np.savez(file, text=np.array(text), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            kept = "the one before it is kept" if self.path.exists() else "there is none yet"
            raise OSError(
                error.errno,
                f"the checkpoint could not be written ({error.strerror}); {kept}: make room, and call again to go on",
                str(self.path),
            ) from None

    def read(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        """The arrays of the tree, in the order of its leaves, and what was told of it; raises `BadCheckpoint` for
        another file, one that is damaged, and one of another fit.
        """
        try:
            archive = Archive(self.path)
            stored = archive["text"]
            if stored.n_bytes > MOST_TEXT:
                raise BadArray("its text is too long")
            found = json.loads(str(stored.read()))
            known = found["format"], found["version"]
            arguments, told = dict(found["arguments"]), dict(found["told"])
            names = [f"leaf_{i}" for i in range(len(archive) - 1)]
            arrays = [archive[name].checked(may_repeat=True).read() for name in names]
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BadCheckpoint(f"{self._named} is damaged ({reason(error)}): {WAY_OUT}") from None
        if known != (CHECKPOINT_FORMAT, CHECKPOINT_VERSION):
            raise BadCheckpoint(f"{self._named} is none of this version of surfacefit, but {known}: {WAY_OUT}")
        unlike = differences(arguments, self.arguments)
        if unlike:
            raise BadCheckpoint(f"{self._named} holds another fit: {'; '.join(unlike)}: {WAY_OUT}")
        return arrays, told

    @property
    def _named(self) -> str:
        return f"the checkpoint {str(self.path)!r}"


def filled(template: Any, arrays: list[np.ndarray]) -> Any:
    """A pytree like the template with these arrays as its leaves."""
    leaves, structure = jax.tree.flatten(template)
    expected, found = ([(np.shape(one), np.asarray(one).dtype) for one in some] for some in (leaves, arrays))
    if expected != found:
        raise BadCheckpoint(f"the checkpoint holds other arrays than this fit carries: {WAY_OUT}")
    return jax.tree.unflatten(structure, arrays)
