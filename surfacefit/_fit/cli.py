"""The command line: `surfacefit fit`, `show`, `report`, `table`, ..., with errors of one line and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .._system.interrupts import INTERRUPTED_CODE, interrupts_kept
from . import cli_actions
from .cli_parser import TRACEBACK_VARIABLE, USER_ERROR_CODE, parser

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


def _answered(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a sign that a terminal does not have is no reason to end without a word
            stream.reconfigure(errors="replace")
    try:
        options = parser().parse_args(arguments)
        getattr(cli_actions, options.action)(options)
        return 0
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


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
