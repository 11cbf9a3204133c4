"""What a user writes of numbers: names with an index, and formulas of them, which are never run as Python."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

# Names of numbers of a surface, as a `GaussianSurface` has them; widths are the principal ones, angles the orientation
# in 2-D, aspects the ratio of both widths in 2-D.
NAMES = ("amplitudes", "centers", "widths", "angles", "aspects", "covariances", "volumes", "background")
# Functions of a formula, by the names that they have in mathematics.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": jnp.sqrt,
    "exp": jnp.exp,
    "log": jnp.log,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "abs": jnp.abs,
    "sum": jnp.sum,
}
# Constants of a formula, by name.
CONSTANTS = {"pi": math.pi}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


class Reference(NamedTuple):
    """Numbers of a name: ``centers[1, 0]`` has the index (1, 0), ``centers`` has none."""

    name: str
    index: Any = ()

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(map(_index_text, self.index))}]" if self.index else self.name

    @property
    def key(self) -> tuple[Any, ...]:
        """The index for an array."""
        return tuple(slice(*one) if isinstance(one, tuple) else one for one in self.index)


def _index_text(one: Any) -> str:
    if not isinstance(one, tuple):
        return str(one)
    return ":".join("" if end is None else str(end) for end in one)


def reference_of(text: str) -> Reference:
    """The numbers that a key of `tie` names; ValueError where it is no name with an index."""
    node = _parsed(text, text).body
    if isinstance(node, ast.Name | ast.Subscript):
        return _reference(node, text)
    raise ValueError(f"`tie` sets numbers by name, as 'centers[1]', got {text!r}")


class Formula(NamedTuple):
    """A formula of numbers; equal where the text is."""

    text: str

    @property
    def reads(self) -> list[Reference]:
        """The numbers in it."""
        found: list[Reference] = []
        try:
            _visit(_parsed(self.text, self.text).body, self.text, found)
        except RecursionError:
            raise ValueError(
                f"`tie` has formulas of some hundred terms, got {len(self.text)} characters: give a function of"
                " the surface in place of the formula"
            ) from None
        return found

    def value(self, numbers: Mapping[str, Any]) -> Any:
        """Its value for arrays by name."""
        return _value(_parsed(self.text, self.text).body, self.text, numbers)


def _parsed(text: str, whole: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"`tie` must be formulas like 'centers[0] + 5', got {whole!r}") from error


def _visit(node: ast.expr, text: str, found: list[Reference]) -> None:
    """Refuses all that is no formula, and collects the numbers that it reads."""
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return
    if isinstance(node, ast.Name | ast.Subscript):
        found.append(_reference(node, text))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        _visit(node.left, text, found)
        _visit(node.right, text, found)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        _visit(node.operand, text, found)
    elif isinstance(node, ast.Call):
        _visit(_argument(node, text), text, found)
    elif not isinstance(node, ast.Constant) or isinstance(node.value, bool | str | bytes | complex | type(None)):
        raise ValueError(
            f"`tie` reads numbers, names, + - * / ** and functions, got {ast.unparse(node)!r} in {text!r}: give a"
            " function of the surface in place of the formula"
        )


def _argument(node: ast.Call, text: str) -> ast.expr:
    known = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
    if not known or len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
        raise ValueError(
            f"`tie` knows the functions {', '.join(FUNCTIONS)} of one argument, got {ast.unparse(node)!r} in {text!r}:"
            " give a function of the surface in place of the formula"
        )
    return node.args[0]


def _reference(node: ast.Name | ast.Subscript, text: str) -> Reference:
    base = node.value if isinstance(node, ast.Subscript) else node
    if not isinstance(base, ast.Name) or base.id not in NAMES:
        raise ValueError(f"`tie` knows {', '.join(NAMES)}, got {ast.unparse(base)!r} in {text!r}")
    if isinstance(node, ast.Name):
        return Reference(base.id)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return Reference(base.id, tuple(_index(part, text) for part in parts))


def _index(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return tuple(None if end is None else _index(end, text) for end in ends)
    try:
        number = ast.literal_eval(node)
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"`tie` has indices that are integers or slices, got {ast.unparse(node)!r} in {text!r}")
    return number


def _value(node: ast.expr, text: str, numbers: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return CONSTANTS[node.id]
    if isinstance(node, ast.Name | ast.Subscript):
        read = _reference(node, text)
        return numbers[read.name][read.key]
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_value(node.left, text, numbers), _value(node.right, text, numbers))
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](_value(node.operand, text, numbers))
    assert isinstance(node, ast.Call)
    function = FUNCTIONS[node.func.id]  # type: ignore[attr-defined]
    return function(_value(node.args[0], text, numbers))
