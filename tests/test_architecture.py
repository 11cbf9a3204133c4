"""The house: imports point down and name only what docs/design.md lists; public names are documented; examples run."""

import ast
import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import surfacefit as sf

PACKAGE = Path(sf.__file__).parent
DESIGN = (Path(__file__).parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")}


def unit(name):
    """Module or folder of a file: a folder's siblings belong together."""
    return name.split("/")[0]


def layers():
    """The modules of design.md's layer table, lowest first: rows `| 3 | a, b |`."""
    rows = re.findall(r"^\| (\d+) \| ([_a-z, `]+) \|", DESIGN, re.MULTILINE)
    return {module.strip(" `"): int(level) for level, modules in rows for module in modules.split(",")}


def allowed_packages():
    """The packages of design.md's dependency table: rows `| name | why |` under its heading."""
    table = DESIGN.split("## Dependencies")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([A-Za-z]+)` \|", table, re.MULTILINE))


def imports(path):
    """(relative level, module, is it at the top of the file) of each import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", node in tree.body
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, node in tree.body


def test_every_module_has_its_layer():
    assert {unit(name) for name in MODULES} - {"__init__", "__main__"} == set(layers())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name):
    if name in ("__init__", "__main__"):
        return
    own, levels = unit(name), layers()
    depth = name.count("/") + 1
    for level, module, at_top in imports(MODULES[name]):
        target = module.split(".")[0]
        if level < depth or level == 0 or not target:
            continue  # a sibling, another package, or the package itself
        assert not at_top or levels[target] < levels[own], f"{name} imports {target}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_are_in_the_dependency_table(name):
    for level, module, _ in imports(MODULES[name]):
        package = module.split(".")[0]
        if level == 0 and package not in sys.stdlib_module_names:
            assert package in allowed_packages() | {"surfacefit"}, f"{name} imports {package}"


def test_public_names_are_documented():
    for name in sf.__all__:
        doc = getattr(sf, name).__doc__
        assert doc, name
        assert len(doc) > 60, name


@pytest.mark.parametrize(
    "module", sorted(m.name for m in pkgutil.walk_packages(sf.__path__, "surfacefit.") if "__main__" not in m.name)
)
def test_examples_run(module):
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
