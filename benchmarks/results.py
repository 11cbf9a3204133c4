"""Writes RESULTS.md: a section a suite, between markers, with machine, versions and commit."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# This folder.
BENCHMARKS = Path(__file__).resolve().parent
# The file of all last results.
RESULTS = BENCHMARKS / "RESULTS.md"
# How that file begins.
TITLE = "# Last results\n\nWritten by `python -m benchmarks <suite> --write`; README.md says what is measured.\n"
# Packages whose versions are named with every result.
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "lmfit", "astropy", "optimistix")
# Variables that hold BLAS to fewer threads, named where they are set.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


# Characters a line, as in the code and the texts.
LINE_LENGTH = 120


def write(suite: str, measured_on: str, section: str) -> None:
    """Replace the suite's section and keep the others."""
    begin, end = f"<!-- {suite}: begin -->", f"<!-- {suite}: end -->"
    block = f"{begin}\n## {suite}\n\n{wrapped(measured_on)}\n\n{wrapped(section.strip())}\n{end}"
    text = RESULTS.read_text() if RESULTS.exists() else TITLE
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = pattern.sub(lambda _: block, text) if pattern.search(text) else f"{text.rstrip()}\n\n{block}\n"
    RESULTS.write_text(text)


def wrapped(text: str) -> str:
    """The text with its prose and list items broken at `LINE_LENGTH`; tables stay as they are."""
    lines = []
    for line in text.splitlines():
        indent = "  " if line.startswith("- ") else ""
        is_table = line.startswith("|")
        lines += [line] if is_table or not line else textwrap.wrap(line, LINE_LENGTH, subsequent_indent=indent)
    return "\n".join(lines)


def environment() -> str:
    """Date, commit, machine and versions as one paragraph; ask before the run, during which they may change."""
    packages = ", ".join(f"{name} {number}" for name in PACKAGES if (number := _version(name)))
    return (
        f"{datetime.date.today().isoformat()}, commit {_commit()}; {_cpu()}, {os.cpu_count()} cores;"
        f" Python {platform.python_version()}, {packages}; {_load()}."
    )


def _load() -> str:
    """How busy the machine was, and whether BLAS was held to fewer threads."""
    load = f"load average {os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return load + "".join(f", {name}={os.environ[name]}" for name in THREADS if name in os.environ)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    head, changes = (
        _git("rev-parse", "--short", "HEAD"),
        _git("status", "--porcelain", "--", "surfacefit", "benchmarks/*.py"),
    )
    return (head or "unknown") + (" with local changes" if changes else "")


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=BENCHMARKS.parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
