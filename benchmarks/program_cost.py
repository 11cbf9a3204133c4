"""What a compiled program does: operations, exponentials and bytes, with its loops counted as often as they run.

XLA's own analysis counts the body of a loop once. Here each body is compiled by itself and counted as often as the loop
runs, which is known beforehand: `fori_loop` and `map` run from one integer to another, and those that depend on data
(chunks of a plan, rows of a rule) are entries of the arguments, which a walk through the program carries along. Nothing
is run, so arguments may be shapes alone, but for small ones. Factorisations and triangular solves are calls of LAPACK,
of which XLA counts nothing; their operations are added.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from surfacefit._base.compile import SMALL_COMPILER_OPTIONS, known_options

# Numbers of an argument up to which its values are carried along: limits of loops are single integers or a few.
SMALL_NUMBERS = 64
# Primitives that hold a program in a parameter and run it once.
WRAPPERS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}


@dataclass(frozen=True)
class Cost:
    """Operations on numbers, transcendental functions, bytes read and written (inside loops and outside), and how many
    pieces of work a device is given one after another.
    """

    flops: float = 0.0
    transcendentals: float = 0.0
    loop_bytes: float = 0.0
    other_bytes: float = 0.0
    launches: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self._numbers(), other._numbers(), strict=True)))

    def without(self, part: Cost) -> Cost:
        """What is left beside a part of it, none of it below zero: XLA fuses the part otherwise where it is alone."""
        return Cost(*(max(0.0, a - b) for a, b in zip(self._numbers(), part._numbers(), strict=True)))

    def __rmul__(self, times: float) -> Cost:
        return Cost(*(times * a for a in self._numbers()))

    def in_loop(self) -> Cost:
        """The same with all bytes counted as those of a loop."""
        return Cost(self.flops, self.transcendentals, self.loop_bytes + self.other_bytes, 0.0, self.launches)

    def _numbers(self) -> tuple[float, ...]:
        return self.flops, self.transcendentals, self.loop_bytes, self.other_bytes, self.launches


def program_cost(function: Callable[..., Any], *args: Any) -> Cost:
    """What one call of a function costs, from its compiled program; arguments are arrays or shapes."""
    closed = jax.make_jaxpr(function)(*args)
    return _cost(closed, [_known(leaf) for leaf in jax.tree.leaves(args)])


def _known(leaf: Any) -> Any:
    """The value of a small array, None of others."""
    if isinstance(leaf, jax.ShapeDtypeStruct) or np.size(leaf) > SMALL_NUMBERS:
        return None
    return np.asarray(leaf)


def _cost(closed: ClosedJaxpr, values: Sequence[Any]) -> Cost:
    """The program as XLA counts it, with each loop's body in the place of the one that it has counted."""
    total = compiled_cost(closed)
    for body, known, trips in _loops(closed, values):
        total = total.without(compiled_cost(body)) + trips * _cost(body, known).in_loop()
    return total + Cost(flops=_factorisations(closed))


def _loops(closed: ClosedJaxpr, values: Sequence[Any]) -> list[tuple[ClosedJaxpr, list[Any], float]]:
    """The loops of a program that are in no other loop: body, what is known of its arguments, how often it runs."""
    found: list[tuple[ClosedJaxpr, list[Any], float]] = []
    _walk(closed, values, found)
    return found


def _walk(closed: ClosedJaxpr, values: Sequence[Any], found: list[Any]) -> list[Any]:
    """What is known of a program's results; appends its loops to those found."""
    environment: dict[Any, Any] = dict(zip(closed.jaxpr.invars, values, strict=True))
    environment |= {var: _known(const) for var, const in zip(closed.jaxpr.constvars, closed.consts, strict=True)}

    def read(var: Any) -> Any:
        return np.asarray(var.val) if isinstance(var, Literal) else environment.get(var)

    for equation in closed.jaxpr.eqns:
        known = [read(var) for var in equation.invars]
        environment |= dict(zip(equation.outvars, _results(equation, known, found), strict=True))
    return [read(var) for var in closed.jaxpr.outvars]


def _results(equation: Any, known: list[Any], found: list[Any]) -> list[Any]:
    """What is known of the results of one operation."""
    name, nothing = equation.primitive.name, [None] * len(equation.outvars)
    if name in WRAPPERS:
        return _walk(_closed(equation.params[WRAPPERS[name]]), known, found)
    if name == "while":
        found.append(_while(equation.params, known))
        return nothing
    if name == "scan":
        body = _closed(equation.params["jaxpr"])
        pairs = zip(known, equation.invars, body.in_avals, strict=True)
        known = [value if var.aval.shape == aval.shape else None for value, var, aval in pairs]
        found.append((body, known, float(equation.params["length"])))
        return nothing
    if name == "cond":
        found += _dearest(equation.params["branches"], known)
        return nothing
    if any(value is None for value in known) or any(var.aval.size > SMALL_NUMBERS for var in equation.outvars):
        return nothing
    results = equation.primitive.bind(*known, **equation.params)
    return [np.asarray(one) for one in (results if equation.primitive.multiple_results else [results])]


def _while(params: Any, known: list[Any]) -> tuple[ClosedJaxpr, list[Any], float]:
    """The body of a loop from one integer up to another, as `fori_loop` makes it."""
    n_condition, n_body = params["cond_nconsts"], params["body_nconsts"]
    condition = params["cond_jaxpr"].jaxpr
    first, last, *_ = [*known[n_condition + n_body :], None, None]
    counts = [e.primitive.name for e in condition.eqns] == ["lt"] and condition.eqns[0].invars == condition.invars[
        n_condition : n_condition + 2
    ]
    if not counts or first is None or last is None:
        raise ValueError("a loop must run from one known integer to another for its cost to be known, got another one")
    body = [*known[n_condition : n_condition + n_body], first, last]
    return params["body_jaxpr"], body + [None] * (len(known) - n_condition - len(body)), max(0.0, float(last - first))


def _dearest(branches: Sequence[ClosedJaxpr], known: list[Any]) -> list[Any]:
    """The loops of the branch that has most operations in them; of those for other platforms, that of the CPU."""
    loops = [_loops(_closed(branch), known[1:]) for branch in branches]
    return max(loops, key=lambda some: sum(trips * compiled_cost(body).flops for body, _, trips in some))


def _closed(jaxpr: Any) -> ClosedJaxpr:
    return jaxpr if hasattr(jaxpr, "consts") else ClosedJaxpr(jaxpr, ())


def _factorisations(closed: ClosedJaxpr) -> float:
    """Operations of Cholesky factors and triangular solves outside of loops: n^3 / 3, and n^2 for each column."""
    total = 0.0
    for equation in closed.jaxpr.eqns:
        name = equation.primitive.name
        if name in WRAPPERS:
            total += _factorisations(_closed(equation.params[WRAPPERS[name]]))
        elif name in ("cholesky", "triangular_solve"):
            shape = equation.outvars[0].aval.shape
            n, many = equation.invars[0].aval.shape[-1], float(np.prod(shape[:-2]))
            columns = float(np.prod(shape[-2:])) / n
            total += many * (n**3 / 3 if name == "cholesky" else n**2 * columns)
    return total


def compiled_cost(closed: ClosedJaxpr) -> Cost:
    """XLA's count of a compiled program, in which each loop's body counts once."""
    return _compiled(_Same(closed))


class _Same:
    """A program by its identity, for the cache."""

    def __init__(self, closed: ClosedJaxpr):
        self.closed = closed

    def __hash__(self) -> int:
        return id(self.closed.jaxpr)

    def __eq__(self, other: Any) -> bool:
        return self.closed.jaxpr is other.closed.jaxpr


@cache
def _compiled(program: _Same) -> Cost:
    closed = program.closed
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in closed.in_avals]
    results = {(aval.shape, aval.dtype) for aval in closed.out_avals}
    kept = [i for i, aval in enumerate(closed.in_avals) if (aval.shape, aval.dtype) not in results]

    def body(*args: Any) -> Any:
        """As in a loop: what comes in goes out, and is changed in place."""
        return jaxpr_as_fun(closed)(*args), [args[i] for i in kept]

    options = known_options(SMALL_COMPILER_OPTIONS)  # the same operations, compiled sooner
    program = jax.jit(body, compiler_options=options, donate_argnums=range(len(shapes)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers")
        compiled = program.lower(*shapes).compile()
    counted = compiled.cost_analysis()
    counted = counted[0] if isinstance(counted, list) else counted
    text = compiled.as_text()
    return Cost(
        flops=counted.get("flops", 0.0),
        transcendentals=counted.get("transcendentals", 0.0),
        other_bytes=max(0.0, counted.get("bytes accessed", 0.0) - bytes_left_alone(text)),
        launches=float(pieces_of_work(text)),
    )


def pieces_of_work(text: str) -> int:
    """Operations of a compiled program's entry that a device is given by themselves, from its text."""
    entry = text[text.index("\nENTRY") :] if "\nENTRY" in text else text
    quiet = ("parameter(", "constant(", "tuple(", "get-tuple-element(", "bitcast(", "while(")
    lines = [line.split("=", 1)[1] for line in entry.splitlines()[1:] if " = " in line]
    return sum(not any(f" {word}" in line for word in quiet) for line in lines)


def bytes_left_alone(text: str) -> int:
    """Bytes of arrays of which a fused operation gathers some entries, and which XLA's analysis counts as read whole,
    from the text of a compiled program.
    """
    total = 0
    for computation in text.split("\n\n"):
        if computation.lstrip().startswith(("ENTRY", "HloModule")):
            continue
        defined = dict(re.findall(r"%([\w.-]+) = (.*)", computation))
        for line in defined.values():
            source = re.search(r" gather\(%([\w.-]+),", line)
            if source is not None:
                total += max(0, _bytes(_source(defined, source[1])) - _bytes(line))
    return total


def _source(defined: dict[str, str], name: str) -> str:
    """The definition of a parameter of which a name is another view; nothing where it is made inside."""
    line = defined.get(name, "")
    view = re.search(r" bitcast\(%([\w.-]+)\)", line)
    if view is not None:
        return _source(defined, view[1])
    return line if " parameter(" in line else ""


def _bytes(line: str) -> int:
    """The size of an operation's result, from a text that begins with its type."""
    found = re.match(r"[a-z]+(\d+)[a-z0-9]*\[([\d,]*)\]", line)
    if found is None:
        return 0
    return int(np.prod([int(n) for n in found[2].split(",") if n], dtype=np.int64)) * int(found[1]) // 8
