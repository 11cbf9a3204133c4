"""The option `tie` as rules, each of which sets some numbers, checked and in an order that can be followed.

Every number is either free or set by one rule. A rule reads numbers that are free or that rules before it have set:
where rules read each other's numbers in a circle, or set one number twice, there is no such order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from .formulas import NAMES, Formula, Reference, reference_of
from .places import Places

# The word for what keeps the value it has at the start.
HELD = "fixed"
# Names of groups besides those of numbers, and of the one number of the whole sum.
SPACING, TOTAL = "spacing", "volume"
# Names whose numbers may be equal in a group.
GROUPED = tuple(name for name in NAMES if name != "background")


@dataclass(frozen=True)
class Rule:
    """A rule: ``kind`` "equal" or "spaced" for a group of components in ``value``, "number", "held", "formula" or
    "function" for what sets the numbers of ``target``. It writes and reads numbers at some places. ``total`` is the sum
    of all volumes where the user gave that, and a formula for the last volume follows from it.
    """

    kind: str
    target: Reference
    value: Any
    writes: frozenset[int]
    reads: frozenset[int]
    total: float | None = None

    @property
    def key(self) -> str:
        """The key of `tie` that the rule is from."""
        return str(self.target) if self.total is None else TOTAL

    def __str__(self) -> str:
        if self.kind in ("equal", "spaced"):
            name = SPACING if self.kind == "spaced" else self.target.name
            return f"{name!r}: {[list(self.value)]}"
        if self.total is not None:
            return f"{TOTAL!r}: {self.total!r}"
        if self.kind == "function":
            return f"{str(self.target)!r}: {getattr(self.value, '__name__', 'function')}"
        return f"{str(self.target)!r}: {self.value.text if self.kind == 'formula' else self.value!r}"


Items = tuple[tuple[str, Any], ...]
"""The option `tie` as it is remembered: keys with a number, a text, a function, or groups as tuples."""


def checked_items(tie: Any, count: int) -> dict[str, Any]:
    """The option `tie` with every value in its plain form, for so many components."""
    if tie is None:
        return {}
    if not isinstance(tie, dict):
        raise TypeError(
            f"`tie` must be a dict like {{'centers': [[0, 1]], 'amplitudes[1]': 'amplitudes[0] / 3'}}, got {tie!r}"
        )
    items: dict[str, Any] = {}
    for key, value in tie.items():
        if not isinstance(key, str):
            raise TypeError(f"`tie` has names of numbers as keys, as 'centers[1]', got {key!r}")
        name = key.strip()
        items[name] = _total(value) if name == TOTAL else _plain(name, value, count)
    return items


def _plain(name: str, value: Any, count: int) -> Any:
    if isinstance(value, str) or (callable(value) and not isinstance(value, type)):
        return value
    if isinstance(value, bool | list | tuple) and (value is True or isinstance(value, list | tuple)):
        return _groups(name, value, count)
    if isinstance(value, int | float | np.number | np.ndarray) and not isinstance(value, bool) and np.ndim(value) == 0:
        if not np.isfinite(number := float(value)):
            raise ValueError(f"`tie[{name!r}]` must be finite, got {value!r}")
        return number
    raise TypeError(
        f"`tie[{name!r}]` must be groups of components, a number, a formula like 'centers[0] + 5', a function of the"
        f" surface, or 'fixed', got {value!r}"
    )


def _total(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise ValueError(f"`tie['volume']` must be the sum of all volumes, a finite number, got {value!r}")
    return float(value)


def _groups(name: str, value: Any, count: int) -> tuple[tuple[int, ...], ...]:
    if name not in (*GROUPED, SPACING):
        raise ValueError(f"`tie[{name!r}]` has groups, which belong to {', '.join((*GROUPED, SPACING))}, got {value!r}")
    if value is True:
        value = [list(range(count))]
    rows = [value] if value and not any(isinstance(one, list | tuple | np.ndarray) for one in value) else list(value)
    groups = [_group(name, row, count) for row in rows]
    return tuple(groups if name == SPACING else _merged(groups))


def _group(name: str, row: Any, count: int) -> tuple[int, ...]:
    array, least = np.asarray(row), 3 if name == SPACING else 2
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"`tie[{name!r}]` must be groups of numbers of components, [[0, 1], ...], got {row!r}")
    array = np.where(array < 0, array + count, array)
    if len(array) < least or len(set(array.tolist())) < len(array):
        raise ValueError(f"`tie[{name!r}]` must have groups of at least {least} different components, got {row!r}")
    if (array < 0).any() or (array >= count).any():
        raise ValueError(
            f"`tie[{name!r}]` must name components from 0 to {count - 1}, or from -1 for the last, got {row!r}"
        )
    return tuple(int(k) for k in array)


def _merged(groups: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Groups without a common member: those that have one are one group."""
    merged: list[tuple[int, ...]] = []
    for group in groups:
        joined = [one for one in merged if set(one) & set(group)]
        merged = [one for one in merged if one not in joined]
        merged.append(tuple(dict.fromkeys(k for one in (*joined, group) for k in one)))
    return merged


def rules_of(items: Items, places: Places, held: frozenset[int]) -> tuple[Rule, ...]:
    """The rules in an order in which each reads only what is free or set before it; ``held`` are places that `fixed`
    holds. ValueError where there is none.
    """
    single = [_rule(name, value, places) for name, value in items if not isinstance(value, tuple)]
    owners: dict[int, str] = dict.fromkeys(held, "`fixed`")
    for rule in single:
        _own(owners, rule)
    grouped = []
    for name, groups in items:
        for group in groups if isinstance(groups, tuple) else ():
            rule = _of_group(name, group, places, owners)
            _own(owners, rule)
            grouped.append(rule)
    return _in_order(_with_readings(single + grouped))


def _own(owners: dict[int, str], rule: Rule) -> None:
    for place in rule.writes:
        if place in owners:
            raise ValueError(f"`tie` sets a number twice, by {rule} and by {owners[place]}: leave one out")
        owners[place] = str(rule)


def _of_total(total: float, places: Places) -> Rule:
    """A fixed sum of all volumes as a formula for the last of them."""
    last = places.count - 1
    rest = "".join(f" - volumes[{k}]" for k in range(last))
    return replace(_rule(f"volumes[{last}]", f"{total!r}{rest}", places), total=total)


def _rule(name: str, value: Any, places: Places) -> Rule:
    if name == TOTAL:
        return _of_total(value, places)
    target = reference_of(name)
    writes = places.written(target)
    if isinstance(value, float):
        return Rule("number", target, value, writes, frozenset())
    if isinstance(value, str) and value.strip() == HELD:
        return Rule("held", target, HELD, writes, frozenset())
    if not isinstance(value, str):
        return Rule("function", target, value, writes, frozenset())
    formula = Formula(value.strip())
    reads = frozenset(place for one in formula.reads for place in places.read(one))
    return Rule("formula", target, formula, writes, _with_shapes(target, writes, reads, places))


def _with_shapes(target: Reference, writes: frozenset[int], reads: frozenset[int], places: Places) -> frozenset[int]:
    """What a rule reads, and the shape by which a volume becomes an amplitude, or the width by which an aspect ratio
    becomes another.
    """
    if target.name == "volumes":
        return reads | places.read(target) - writes
    return reads | places.read(target) - writes if target.name == "aspects" else reads


def _of_group(name: str, group: tuple[int, ...], places: Places, owners: dict[int, str]) -> Rule:
    """The rule of a group, whose first is a component with numbers that something else sets."""
    if name == SPACING:
        writes = frozenset(int(p) for k in group[1:-1] for p in places.centers[k])
        reads = frozenset(int(p) for k in (group[0], group[-1]) for p in places.centers[k])
        return Rule("spaced", Reference("centers"), group, writes, reads)
    target = Reference(name)
    own = [places.written(Reference(name, (k,))) for k in group]
    given = [n for n, some in enumerate(own) if some & owners.keys()]
    if len(given) > 1:
        first, second = (owners[min(own[n] & owners.keys())] for n in given[:2])
        raise ValueError(
            f"`tie` makes `{name}` of components {group[given[0]]} and {group[given[1]]} equal, which {first} and"
            f" {second} set: leave one out"
        )
    leader = given[0] if given else 0
    members = (group[leader], *(k for n, k in enumerate(group) if n != leader))
    writes = frozenset(place for n, some in enumerate(own) if n != leader for place in some)
    reads = places.read(Reference(name, (members[0],)))
    for k in members[1:]:
        reads = _with_shapes(Reference(name, (k,)), writes, reads, places)
    return Rule("equal", target, members, writes, reads - writes)


def _with_readings(rules: list[Rule]) -> list[Rule]:
    """Rules of functions with what they read: nobody knows, so all numbers that rules set which need not come after."""
    known = [rule for rule in rules if rule.kind != "function"]
    ready: list[Rule] = []
    for rule in rules:
        if rule.kind != "function":
            continue
        after = _downstream(rule.writes, known)
        reads = frozenset(p for one in (*known, *ready) if one not in after for p in one.writes)
        ready.append(Rule(rule.kind, rule.target, rule.value, rule.writes, reads - rule.writes))
    return known + ready


def _downstream(writes: frozenset[int], rules: Sequence[Rule]) -> list[Rule]:
    """The rules that read some of these numbers, or what such rules set."""
    found: list[Rule] = []
    changed = True
    while changed:
        changed = False
        for rule in rules:
            if rule not in found and rule.reads & writes:
                found.append(rule)
                writes, changed = writes | rule.writes, True
    return found


def _in_order(rules: list[Rule]) -> tuple[Rule, ...]:
    graph = {n: {m for m, other in enumerate(rules) if rule.reads & other.writes} for n, rule in enumerate(rules)}
    try:
        return tuple(rules[n] for n in TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = ", ".join(dict.fromkeys(str(rules[n]) for n in error.args[1]))
        raise ValueError(f"`tie` goes round in a circle: {circle}; leave one of these numbers free") from None
