"""Options of `fit` as fields of a record, each with its rule beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any, NamedTuple, TypeVar

from .._data.data import SurfaceData
from .._model.surface import GaussianSurface

Spec = TypeVar("Spec")


class Given(NamedTuple):
    """What the rule of an option may look at.

    ``options`` holds all keywords of `fit` as they were given, ``n_components`` the number of components, 1 where it is
    to be chosen. ``moves_components`` says that growth or a search will put components elsewhere than at their start.
    """

    options: Mapping[str, Any]
    data: SurfaceData
    n_components: int
    moves_components: bool

    @property
    def start(self) -> GaussianSurface | None:
        """The surface to start from, if one was given."""
        init = self.options["init"]
        return init if isinstance(init, GaussianSurface) else None


Rule = Callable[[str, Given], Any]


def rule(check: Rule) -> dict[str, Rule]:
    """The metadata of a field: a function of the field's name and of all that is `Given`.

    The function returns the clean value or raises ValueError or TypeError.
    """
    return {"rule": check}


def simple_rule(coercer: Callable[..., Any], *arguments: Any) -> dict[str, Rule]:
    """The metadata of an option that depends on no other: ``coercer(name, value, *arguments)``."""
    return rule(lambda name, given: coercer(name, given.options[name], *arguments))


def checked(kind: type[Spec], given: Given) -> Spec:
    """A record of checked options, in the order of its fields."""
    own: tuple[Field[Any], ...] = fields(kind)  # type: ignore[arg-type]
    return kind(**{one.name: one.metadata["rule"](one.name, given) for one in own})
