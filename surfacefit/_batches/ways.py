"""The ways of `fit_many` that are made of several fits: which of them some arguments ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._base.checks import one_of
from .labels import fit_labelled, is_labelled


def way_of(options: dict[str, Any]) -> Callable[[dict[str, Any]], Any] | None:
    """What makes the result from the arguments of `fit_many`, or None for one plain batch."""
    from .lazy import fit_lazily, is_lazy

    if options["match"] is not None:
        one_of("match", options["match"], ["neighbours"])
    if is_labelled(options["maps"]):
        return fit_labelled
    if is_lazy(options["maps"]):
        return fit_lazily
    if options["match"] is not None:
        return _fit_matched
    if options["out"] is not None:
        from .resumable import fit_into_group

        return fit_into_group
    return _way_of_starts(options)


def _way_of_starts(options: dict[str, Any]) -> Callable[[dict[str, Any]], Any] | None:
    from .chosen_numbers import fit_with_chosen_numbers, is_chosen

    if is_chosen(options["n_components"]):
        return fit_with_chosen_numbers
    if isinstance(options["init"], str) and options["init"] == "neighbours":
        from .neighbours import fit_from_neighbours

        return fit_from_neighbours
    return None


def _fit_matched(options: dict[str, Any]) -> Any:
    from .._many.fit_many import fit_many

    return fit_many(**{**options, "match": None}).matched()
