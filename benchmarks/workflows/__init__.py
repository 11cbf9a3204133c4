"""The suite `workflows`: five scientists' tasks from a file to a result, here and with the tool of each field.

- suite: runs the tasks and prints the table
- tasks: which scripts, files and packages each task has
- scripts: lines between the marks, and a run in a fresh process
- quality: how good a result is, from the files that a script leaves
- terrain_astropy, radio_pybdsf, microscopy_picasso, waveforms_lmfit, volume_mixture: the peers' scripts
"""

from __future__ import annotations

from ..options import Options


def run(options: Options) -> str:
    """The table of all tasks and tools; only this needs the packages that read the scripts' files."""
    from . import suite

    return suite.run(options)
