"""The house: imports point down and name only what docs/design.md lists; public names are documented; examples run."""

import ast
import doctest
import enum
import importlib
import inspect
import itertools
import pkgutil
import re
import statistics
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import surfacefit as sf

PACKAGE = Path(sf.__file__).parent
DESIGN = (Path(__file__).parents[1] / "docs" / "design.md").read_text(encoding="utf-8")


def module(path):
    """Dotted name of a file below the package; a folder's ``__init__`` is the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ENTRY_POINTS = ("", "__main__", "sklearn", "xarray")

# A record may know its own views, where its methods are called, and `fit_many` the ways that are made of several fits:
# (record, view). Nothing else imports upwards.
VIEWS = {
    ("_fit.fit", "_streamed.fit_streamed"),
    ("_results.io", "_streamed.result"),
    ("_many.fit_many", "_batches.ways"),
    ("_many.batch_result", "_batch_errors.batch_errors"),
    ("_many.batch_result", "_batch_errors.batch_flags"),
    ("_many.batch_result", "_batches.io"),
    ("_many.batch_result", "_batches.labels"),
    ("_many.batch_result", "_batches.matching"),
    ("_many.batch_result", "_batches.plot"),
    ("_results.io", "_batches.io"),
    ("_results.io", "_many.batch_result"),  # for the type of what it returns
    ("_data.map", "interop.files.formats"),
    ("_base.progress", "_model.surface"),  # for the type of what a callback sees
    ("_model.surface", "_plots.surface"),
    ("_base.exchange", "_model.surface"),  # for the type of what it returns
    ("_base.exchange", "interop.exports.formats"),
    ("_base.exchange", "interop.exports.hills"),
    ("_base.exchange", "interop.tables.columns"),
    ("_base.exchange", "interop.tables.reading"),
    ("_base.exchange", "interop.tables.record"),  # for the type of what it returns
    ("_model.surface", "_problem.evaluation"),
    ("_derivatives.sensitivity", "_plots.influence"),
    ("_channels.result", "_channels.errors"),
    ("_channels.result", "_channels.io"),
    ("_channels.result", "_channels.plot"),
    ("_channels.result", "_channels.report"),
    ("_channels.result", "interop.tables.channel_columns"),
    ("_channels.result", "interop.tables.libraries"),
    ("_mixture.result", "_mixture.io"),
    ("_mixture.result", "_mixture.sklearn"),
    ("_mixture.result", "_mixture.report"),
    ("_mixture.result", "_plots.mixture"),
    ("_results.criteria", "_plots.path"),
    ("_results.result", "_derivatives.sensitivity"),
    ("_results.result", "_fit.merging"),
    ("_results.own_sizes", "_instrument.deconvolution"),
    ("_results.result", "_results.flags"),
    ("_results.result", "_results.io"),
    ("_results.result", "_plots.result"),
    ("_results.result", "interop.widget.view"),
    ("_results.result", "interop.widget.surface_view"),  # for the type of what it returns
    ("_results.result", "_results.report"),
    ("_results.result", "interop.tables.columns"),
    ("_results.result", "_statistics.bootstrap"),
    ("_results.result", "_statistics.diagnostics"),
    ("_results.result", "_statistics.redundancy"),
    ("_results.result", "_statistics.statistics"),
    ("_results.result", "_statistics.covariance_methods"),
    ("_results.result", "_statistics.uncertainty"),  # for the type of what it returns
    ("_statistics.diagnostics", "_plots.residuals"),
    ("interop.tables.record", "interop.tables.libraries"),
    ("interop.tables.record", "interop.tables.saving"),
}


def chapters():
    """The layer of each chapter in design.md's table: rows `| 3 | `_problem/` | what |`."""
    rows = re.findall(r"^\| (\d+) \| `([_a-z/]+)/` \|", DESIGN, re.MULTILINE)
    return {name.replace("/", "."): int(layer) for layer, name in rows}


def allowed_packages():
    """The packages of design.md's dependency table: rows `| name | why |` under its heading."""
    table = DESIGN.split("## Dependencies")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([A-Za-z]+)` \|", table, re.MULTILINE))


def imports(name):
    """(target, is it at the top of the file) of each import of a file, lazy and type-only ones among them."""
    path = FILES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = name.split(".") if name else []
    here = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module, node in tree.body
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield "." + (whole if whole in FILES else ".".join(base)), node in tree.body


def own_imports(name):
    """(target, at the top) of the imports of this package's files, but for its entry points."""
    return [(target[1:], at_top) for target, at_top in imports(name) if target.startswith(".") and target != "."]


def chapter(name):
    """The first folder of a file; below `interop`, which holds a chapter for each kind of thing, the first two."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "interop" else 1])


def modules(folder):
    return [name for name, path in FILES.items() if name.startswith(folder + ".") and path.name != "__init__.py"]


def test_every_chapter_has_its_layer():
    assert {chapter(name) for name in FILES} - {*ENTRY_POINTS, "interop"} == set(chapters())


@pytest.mark.parametrize("folder", sorted(chapters()))
def test_a_chapter_is_neither_a_drawer_nor_a_warehouse(folder):
    assert (2 if folder.startswith("interop") else 4) <= len(modules(folder)) <= 14


@pytest.mark.parametrize("folder", sorted(chapters()))
def test_a_chapter_lists_its_modules(folder):
    """Its ``__init__`` is a table of contents: a line a module or subfolder, without code unless it is a choice."""
    contents = ast.get_docstring(ast.parse(FILES[folder].read_text(encoding="utf-8"))) or ""
    here = {name.removeprefix(folder + ".").split(".")[0] for name in modules(folder)}
    assert not {name for name in here if not re.search(rf"\b{name}\b", contents)}, folder


@pytest.mark.parametrize("folder", ["", *sorted(chapters())])
def test_imports_point_down(folder):
    levels = chapters()
    for name in [FILE for FILE in FILES if chapter(FILE) == folder and FILE not in (*ENTRY_POINTS, "interop")]:
        for target, at_top in own_imports(name):
            if chapter(target) == chapter(name) or ((name, target) in VIEWS and not at_top):
                continue
            assert levels[chapter(target)] < levels[chapter(name)], f"{name} imports {target}"


def test_no_circle_of_files():
    graph = {
        name: {target for target, at_top in own_imports(name) if (name, target) not in VIEWS or at_top} - {name}
        for name in FILES
        if name not in ENTRY_POINTS
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_every_listed_view_is_there():
    for name, target in VIEWS:
        assert target in dict(own_imports(name)), f"{name} no longer imports {target}"


def executed(name):
    """A file, the packages around it, and all that they import at their top, or rather their own files among these."""
    seen, waiting = set(), {name}
    while waiting:
        one = waiting.pop()
        seen.add(one)
        targets = {target.lstrip(".") for target, at_top in imports(one) if at_top and target.startswith(".")}
        around = {".".join(one.split(".")[:n]) for n in range(len(one.split(".")))}
        waiting |= {target for target in targets | around if target in FILES} - seen
    return seen


def test_the_command_line_begins_without_jax():
    """Its help and `show` answer at once: what needs JAX is imported where it is used."""
    for name in executed("_fit.cli"):
        packages = {target.split(".")[0] for target, at_top in imports(name) if at_top}
        assert not packages & (allowed_packages() - {"numpy"}), name


def test_the_table_of_lazy_names_is_whole():
    tree = ast.parse(FILES[""].read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {alias.name: node.module for node in block.body for alias in node.names}
    assert homes == sf._HOMES
    assert list(homes) == sf.__all__
    assert {*sf.__all__, "__version__"} <= set(dir(sf))


def test_imports_are_in_the_dependency_table():
    for name in FILES:
        for target, _ in imports(name):
            package = target.split(".")[0]
            if package and package not in sys.stdlib_module_names:
                assert package in allowed_packages() | {"surfacefit"}, f"{name} imports {package}"


def test_files_are_short():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in lengths.items() if n > 400} == {}
    assert 80 <= statistics.median(n for name, n in lengths.items() if FILES[name].name != "__init__.py") <= 200


def public_members(kind):
    """Fields and methods that a class adds to its bases."""
    names = {*vars(kind), *vars(kind).get("__annotations__", {}), *getattr(kind, "_fields", ())}
    return sorted(name for name in names if not name.startswith("_"))


def test_classes_are_small():
    large = {}
    for name in FILES:
        if name in ENTRY_POINTS:
            continue
        for label, kind in inspect.getmembers(importlib.import_module(f"surfacefit.{name}"), inspect.isclass):
            if kind.__module__ == f"surfacefit.{name}" and not issubclass(kind, enum.Enum):
                large[f"{name}.{label}"] = len(public_members(kind))
    assert {label: count for label, count in large.items() if count > 15} == {}


def test_public_names_are_documented():
    for name in sf.__all__:
        doc = getattr(sf, name).__doc__
        assert doc, name
        assert len(doc) > 60, name


# Examples that fit with a search, or differentiate through a fit.
LONG = [
    "surfacefit._constraints.bounds",
    "surfacefit._constraints.prior",
    "surfacefit._derivatives.implicit",
    "surfacefit._derivatives.sensitivity",
    "surfacefit._fit.fit",
    "surfacefit._problem.problem",
]


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_examples_run(part):
    names = sorted(m.name for m in pkgutil.walk_packages(sf.__path__, "surfacefit.") if "__main__" not in m.name)
    with_examples = [name for name in names if ">>>" in FILES[name.removeprefix("surfacefit.")].read_text("utf-8")]
    short = [name for name in with_examples if name not in LONG]
    for name in [part] if part in LONG else short[part::2]:
        failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
        assert failed == 0, name


def constants():
    """(file, line, name, its value's text, the comment on it or above its group) of every module constant."""
    for name, path in FILES.items():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            for target in [node.target] if isinstance(node, ast.AnnAssign) else node.targets:
                for label in re.findall(r"\b_?[A-Z][A-Z0-9_]+\b", ast.unparse(target)):
                    before = lines[: node.lineno - 1]
                    for _ in range(2):  # at most three in a group
                        before = before[:-1] if re.match(r"_?[A-Z][A-Z0-9_]+\b.* = ", before[-1]) else before
                    above = itertools.takewhile(lambda line: line.startswith("#"), reversed(before))
                    on_it = re.findall(r"  # (.*)", "\n".join(lines[node.lineno - 1 : node.end_lineno]))
                    yield name, node.lineno, label, ast.unparse(node.value), " ".join([*above, *on_it])


def is_number(value):
    """Whether an expression is of numbers alone, like `5`, `4 * 2**20` or `(1, 2)`; tables and objects are not."""
    return not re.search(r"[A-Za-z]{2,}|[\[{\"']", re.sub(r"\d[\d_.]*(e[-+]?\d+)?", "0", value))


def test_every_number_says_why():
    silent = [
        f"{name}:{line} {label}"
        for name, line, label, value, comment in constants()
        if is_number(value) and len(re.findall(r"\w+", comment)) < 5
    ]
    assert silent == []


def test_no_constant_has_two_meanings():
    values = {}
    for _, _, label, value, _ in constants():
        if is_number(value):
            values.setdefault(label, set()).add(value)
    assert {label: found for label, found in values.items() if len(found) > 1} == {}
