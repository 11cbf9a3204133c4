"""The command line: `surfacefit fit`, `show` and `evaluate`, with errors of one line and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import cli_actions
from .cli_parser import USER_ERROR_CODE, parser

# Exit code after Ctrl-C, as of shells: 128 + SIGINT.
INTERRUPTED_CODE = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 for what the user can correct, 130 for Ctrl-C."""
    options = parser().parse_args(arguments)
    try:
        getattr(cli_actions, options.action)(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output, `head` say, has gone: let the last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED_CODE)
    except (OSError, TypeError, ValueError) as error:
        return _failed(_one_line(error), USER_ERROR_CODE)
    return 0


def _failed(message: str, code: int) -> int:
    print(f"surfacefit: error: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {str(error.filename)!r}"
    return " ".join(str(error).splitlines())
