"""Example maps that come with the package, by name."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from .._base.checks import one_of

# Names of the maps that come with the package.
EXAMPLES = ("jacksboro",)


def example_map(name: str = "jacksboro") -> np.ndarray:
    """An example map as an array of heights.

    "jacksboro": elevation in metres (344, 403) around the Jacksboro fault, Tennessee, on a grid of 3 arc seconds
    (about 92 m by 75 m), rows from north to south. Source: U.S. Geological Survey, public domain, as distributed
    with matplotlib's sample data.

    >>> import surfacefit as sf
    >>> sf.example_map("jacksboro").shape
    (344, 403)
    """
    path = files("surfacefit") / "data" / f"{one_of('name', name, EXAMPLES)}.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        return np.asarray(members["elevation"])
