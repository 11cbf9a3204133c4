"""Runs every notebook beside this file from clean, in a folder of its own, and fails on the first error.

    python notebooks/run.py            # check, two at a time
    python notebooks/run.py --write    # one by one, since they take times, and keep the outputs in the notebooks
"""

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    write = "--write" in sys.argv
    # by their size on disk, for want of better
    longest_first = sorted(Path(__file__).parent.glob("*.ipynb"), key=lambda path: -path.stat().st_size)
    with ProcessPoolExecutor(1 if write else 2) as pool:
        for line in pool.map(ran, longest_first, repeat(write)):
            print(line)


def ran(path: Path, write: bool) -> str:
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    if write:
        nbformat.write(notebook, path)
    return f"{path.name}: {len(notebook.cells)} cells ran"


if __name__ == "__main__":
    main()
