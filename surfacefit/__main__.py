"""`python -m surfacefit`: the command line."""

from ._fit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
