"""`python -m surfacefit` and `surfacefit`: the command line. Here is only what can be imported in no time."""

from ._system.interrupts import ended_by_interrupts


def main() -> int:
    """Run the command line; returns the exit code. Ctrl-C ends it with 130, also while NumPy is imported."""
    with ended_by_interrupts():
        from ._fit.cli import main as answered
    return answered()


if __name__ == "__main__":
    raise SystemExit(main())
