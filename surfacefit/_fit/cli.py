"""The command line: `surfacefit fit`, `show`, `report`, `table`, ..., with errors of one line and exit codes."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .._system.interrupts import INTERRUPTED_CODE, interrupts_kept
from . import cli_actions
from .cli_parser import TRACEBACK_VARIABLE, USER_ERROR_CODE, flags_of, parser

# Exit code for what nobody has foreseen: Python's own after a traceback.
UNFORESEEN_CODE = 1
# What a user can correct: files, options, data, packages that are missing, and sizes.
FORESEEN = (OSError, TypeError, ValueError, ImportError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 for what the user can correct, 130 for Ctrl-C.

    Errors are one line, 1 the code of those that nobody has foreseen. With the environment variable
    SURFACEFIT_TRACEBACK set they keep their traceback.
    """
    try:
        with interrupts_kept():
            return _answered(arguments)
    except BrokenPipeError:
        # Whoever read our output, `head` say, has gone: let the last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED_CODE)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return _failed(_one_line(error), USER_ERROR_CODE if isinstance(error, FORESEEN) else UNFORESEEN_CODE)


def _done(options: argparse.Namespace) -> None:
    """Do what a command says; errors name its options, `-k` say, and no arguments of functions, `n_components`."""
    try:
        getattr(cli_actions, options.action)(options)
    except (TypeError, ValueError) as error:
        error.args = tuple(_in_options(one, options) if isinstance(one, str) else one for one in error.args)
        raise


def _in_options(text: str, options: argparse.Namespace) -> str:
    """`f_scale` as `--f-scale`, `solver.max_steps` as `--max-steps`, `bounds.widths` as `--bounds widths`, and
    loss='huber' as --loss 'huber'; what is quoted stays. Where a fit starts from a file, `init` is `--start`.
    """
    flags = flags_of(options.action)
    if getattr(options, "start", None) is not None:
        flags["init"] = flags["start"]

    def option(found: re.Match[str]) -> str:
        tick, name, part, equals = found.groups()
        if name not in flags or not (tick or equals):  # a quoted text has no name at all
            return found[0]
        named = flags[name] if part is None else flags.get(part, f"{flags[name]} {part}")
        return f"{tick}{named}{' ' if equals else ''}"

    return re.sub(r"(?<!\w)'[^']*'|(`|(?<![^\s(]))(\w+)(?:\.(\w+))?\b(?:(=)(?=\S))?", option, text)


def _answered(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a sign that a terminal does not have is no reason to end without a word
            stream.reconfigure(errors="replace")
    try:
        options = parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _warned
            _done(options)
        return 0
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _warned(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"surfacefit: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _failed(message: str, code: int) -> int:
    print(f"surfacefit: error: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {str(error.filename)!r}"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"not enough memory: {text}" if text else "not enough memory"
    if isinstance(error, FORESEEN):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (unforeseen; {TRACEBACK_VARIABLE}=1 shows where it happened)"
