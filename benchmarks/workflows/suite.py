"""Runs the scripts of `docs/workflows`, and for each the peer's script in this folder, in fresh processes.

Lines are counted between the marks ``# begin`` and ``# end`` by one rule, and one rule judges the files that both
leave. Peers run with the interpreter that ``SURFACEFIT_PEERS_PYTHON`` names, else with this one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..maps import DATA_FOLDER
from ..options import Options
from ..table import Table, seconds
from . import scripts
from .quality import found
from .tasks import OWN, TASKS, THEIRS, Peer, Task

# The variable that names the interpreter of the peers.
PEERS_PYTHON = "SURFACEFIT_PEERS_PYTHON"
# Columns of the table with their widths in characters.
COLUMNS = {"task": 41, "tool": 18, "lines": 5, "wall s": 6, "CPU s": 6, "quality": 80}


def run(options: Options) -> str:
    """The table of all tasks and tools, and what each tool leaves to its user."""
    if not DATA_FOLDER.is_dir():
        return f"no folder {DATA_FOLDER.name} with real surfaces beside the repository: nothing measured"
    python = os.environ.get(PEERS_PYTHON, sys.executable)
    table, notes = Table(COLUMNS), []
    with tempfile.TemporaryDirectory() as folder:
        for n, task in enumerate(TASKS[:1] if options.quick else TASKS):
            notes += _measured(task, python, Path(folder) / str(n), table)
    said = "\n".join(f"- {note}" for note in notes)
    print(said)
    return "\n\n".join([INTRODUCTION, "\n".join(table.lines), said])


INTRODUCTION = (
    "A fresh process each, from its start to the end of the task, imports and compilation included, pictures not; the"
    " first tool's process also makes the input files, which takes it less than a second. Lines are those between"
    " `# begin` and `# end` in the scripts, without empty ones, comments, imports and prints."
)


def _measured(task: Task, python: str, folder: Path, table: Table) -> list[str]:
    """Rows of one task, and its notes."""
    own, theirs = folder / "own", folder / "theirs"
    for place in (own, theirs):
        place.mkdir(parents=True)
    done = _row(table, task, "surfacefit", sys.executable, OWN / task.script, own)
    if task.peer is None:
        table.row([task.name, "", "", "", "", task.without])
        return []
    versions = {name: scripts.version_of(python, name) for name in task.peer.packages}
    missing = [name for name, version in versions.items() if version is None]
    if missing or not done:
        table.row([task.name, task.peer.name, "", "", "", f"skipped: {', '.join(missing) or 'no input'} missing"])
        return []
    for name in task.inputs:
        shutil.copy(found(own, name), theirs)
    done = _row(table, task, task.peer.name, python, THEIRS / task.peer.script, theirs)
    compared = [f"{task.name}: {task.compare(own, theirs)}."] if done and task.compare else []
    return [_note(task.peer, versions), *compared]


def _row(table: Table, task: Task, tool: str, python: str, script: Path, folder: Path) -> bool:
    """Run a script's part of the task and print its row; whether it came to an end."""
    head, pieces = scripts.parts(script.read_text(encoding="utf-8"))
    pieces = task.own(pieces) if tool == "surfacefit" else pieces
    lines = sum(scripts.lines_of_code(piece) for piece in pieces)
    source = "\n".join([head, *pieces])
    done = scripts.run(python, source, folder, {"SURFACEFIT_DATA": str(DATA_FOLDER)})
    judged = f"failed: {done.failure}" if done.failure else task.judge(folder)
    table.row([task.name, tool, str(lines), seconds(done.wall), seconds(done.cpu), judged])
    return done.failure is None


def _note(peer: Peer, versions: dict[str, str | None]) -> str:
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{peer.name} ({used}): {peer.lacks}."
