"""Scripts of a workflow: their lines between the marks ``# begin`` and ``# end``, and a run in a fresh process."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Comments, each on a line of its own, between which a script goes from the file to the result.
BEGIN, END = "# begin", "# end"
# Settings of every run: no windows, no bar of progress.
QUIET = {"MPLBACKEND": "agg", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Run:
    """A finished script: seconds by the wall and of CPU, and the last line of its complaint where it failed."""

    wall: float
    cpu: float
    failure: str | None


def parts(source: str) -> tuple[str, list[str]]:
    """What stands before the first mark, and the pieces between marks."""
    lines = source.splitlines()
    begins = [n for n, line in enumerate(lines) if line == BEGIN]
    ends = [n for n, line in enumerate(lines) if line == END]
    ordered = [n for pair in zip(begins, ends, strict=False) for n in pair]
    if not begins or len(begins) != len(ends) or ordered != sorted(ordered):
        raise ValueError(f"marks must be pairs of '{BEGIN}' and '{END}'; got lines {begins} and {ends}")
    return "\n".join(lines[: begins[0]]), ["\n".join(lines[b + 1 : e]) for b, e in zip(begins, ends, strict=True)]


def lines_of_code(piece: str) -> int:
    """Lines without empty ones, comments, imports and prints."""
    counted = {n for n, line in enumerate(piece.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
    for statement in ast.walk(ast.parse(piece)):
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_print(statement):
            counted -= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return len(counted)


def _is_print(statement: ast.AST) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"


def run(python: str, source: str, folder: Path, settings: dict[str, str]) -> Run:
    """Run a source as a script of its own, which gets the folder as its argument and as the place of its files."""
    script = folder / "script.py"
    script.write_text(source + "\n")
    environment = {**os.environ, **QUIET, "TMPDIR": str(folder), **settings}
    used, begun = _cpu_of_children(), time.perf_counter()
    done = subprocess.run([python, script, folder], capture_output=True, text=True, env=environment)
    wall, cpu = time.perf_counter() - begun, _cpu_of_children() - used
    failure = (done.stderr.strip().splitlines() or ["no word"])[-1] if done.returncode else None
    return Run(wall, cpu, failure)


def version_of(python: str, package: str) -> str | None:
    """The version of a package for an interpreter, None where it is missing."""
    ask = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
