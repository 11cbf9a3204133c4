"""How many points and components a compiled program has room for: a few sizes, so that similar fits share it."""

from __future__ import annotations

from .._base.compile import rounded_up

# Points up to which their number is rounded up. Below, compiling costs more than running on the spare points does;
# above, running outweighs compiling.
LARGEST_ROUNDED_POINTS = 8192
# Base-2 logarithm of the sizes an octave for more than 8 components: with four sizes there is room for at most a
# quarter more components than needed, and growth by a few components often finds its program compiled.
LOG2_SIZES_PER_OCTAVE = 2
# Components between two sizes at least: 1, since a fit of few components would run longer with room for more. Tests,
# which compile far longer than they run, share programs by more.
LEAST_STEP_OF_SIZES = 1


def point_capacity(n_points: int) -> int:
    """Points to make room for: small maps of about the same size share a program."""
    return n_points if n_points > LARGEST_ROUNDED_POINTS else rounded_up(n_points)


def component_capacity(n_components: int) -> int:
    """Components to make room for: all numbers up to 8, then four sizes an octave."""
    unit = max(LEAST_STEP_OF_SIZES, 1 << max(0, (n_components - 1).bit_length() - 1 - LOG2_SIZES_PER_OCTAVE))
    return -(-n_components // unit) * unit
