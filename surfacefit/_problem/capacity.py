"""How many points and components a compiled program has room for: a few sizes, so that similar fits share it."""

from __future__ import annotations

from .._base.compile import rounded_up, stepped_up

# Share of a map's points that are used, from which those left out are carried along with weight zero: a step costs a
# seventh more at most, where compiling its program anew takes as long as hundreds of steps.
MASKED_FROM_SHARE = 7 / 8
# Sizes an octave for more than 8 components: with four there is room for at most a quarter more components than needed,
# and growth by a few components often finds its program compiled.
COMPONENT_SIZES_PER_OCTAVE = 4
# Components from which there are more sizes: their blocks are gigabytes, and steps take longer than compiling them.
MANY_COMPONENTS = 4096
# Sizes an octave for so many: room for a thirty-second more at most. 100,000 had room for 114,688, and as much more of
# all lists and blocks.
MANY_SIZES_PER_OCTAVE = 32
# Components between two sizes at least: 1, since a fit of few components would run longer with room for more. Tests,
# which compile far longer than they run, share programs by more.
LEAST_STEP_OF_SIZES = 1


def point_capacity(n_used: int, n_points: int) -> int:
    """Points to make room for where ``n_used`` of a map's points are used: maps of about the same size share a program,
    and all maps of one shape do that miss a few points.
    """
    return rounded_up(n_points if n_used >= MASKED_FROM_SHARE * n_points else n_used)


def component_capacity(n_components: int) -> int:
    """Components to make room for: all numbers up to 8, then four sizes an octave, of very many 32."""
    many = n_components > MANY_COMPONENTS
    size = stepped_up(n_components, MANY_SIZES_PER_OCTAVE if many else COMPONENT_SIZES_PER_OCTAVE)
    return -(-size // LEAST_STEP_OF_SIZES) * LEAST_STEP_OF_SIZES
