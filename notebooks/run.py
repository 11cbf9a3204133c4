"""Runs every notebook beside this file from clean, in a folder of its own, and fails on the first error.

    python notebooks/run.py            # check
    python notebooks/run.py --write    # and keep the outputs in the notebooks
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
        print(f"{path.name}: {len(notebook.cells)} cells ran")
        if "--write" in sys.argv:
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
